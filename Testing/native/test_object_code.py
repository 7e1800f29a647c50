"""What cannot be kept as machine code is refused, and object files are read as far as that takes."""

import sys

import llvmlite.binding as llvm
import pytest

from segmamba.native import object_code

CALLS = """
declare double @elsewhere(double)
define double @here(double %x) {
  %y = call double @elsewhere(double %x)
  ret double %y
}
"""


def code_for(triple: str) -> bytes:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm.Target.from_triple(triple).create_target_machine().emit_object(llvm.parse_assembly(CALLS))


@pytest.mark.parametrize("system", ["unknown-linux-gnu", "apple-darwin", "pc-windows-msvc-elf"])
def test_undefined_names_are_found(system):
    architecture = llvm.get_process_triple().split("-")[0]
    assert object_code.undefined(code_for(f"{architecture}-{system}")) == ["elsewhere"]


def test_damaged_and_unknown_object_files_are_told():
    code = code_for(llvm.get_process_triple())
    with pytest.raises(ValueError, match="damaged"):
        object_code.undefined(code[:80])
    with pytest.raises(ValueError, match="unknown kind"):
        object_code.undefined(b"MZ" + code)


def test_code_that_calls_what_is_not_there_is_not_loaded():
    # LLVM itself would end the process.
    with pytest.raises(LookupError, match="elsewhere"):
        object_code.load(("here",), code_for(llvm.get_process_triple()))


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("if p[0] < 0: raise ValueError", "the kernel .*entry may raise"),
        ("a = np.zeros(p[0]); a[p[1]] = 1; p[2] = int(a.sum())", "may raise"),
        ("print(p[0])", "may raise"),
        ("p[0] = getpid()", "call getpid"),
    ],
    ids=["exception", "array", "Python", "function"],
)
def test_an_entry_that_needs_more_than_the_processor_is_refused(tmp_path, monkeypatch, body, problem):
    name = f"refused_{abs(hash(body))}"
    begin = "import numpy as np\nfrom numba import types\ngetpid = types.ExternalFunction('getpid', types.int32())\n"
    (tmp_path / f"{name}.py").write_text(f"{begin}def entry(p):\n    {body}\nENTRIES = (entry,)\n")
    monkeypatch.syspath_prepend(tmp_path)
    try:
        with pytest.raises(RuntimeError, match=problem):
            object_code.compile_entries(name)
    finally:
        sys.modules.pop(name, None)
