"""Finding mamba_ssm's compiled module: what is said where it is missing or broken."""

import importlib.util
import json
import subprocess
import sys

import pytest

# Packages as they may be found on a path, and what is said of each.
PACKAGES = {
    "nothing": ({}, "mamba_ssm is not installed"),
    "no symbol": (
        {"mamba_ssm/__init__.py": "raise RuntimeError('imports of the package are not needed')"},
        "mamba_ssm is installed, but without its compiled module selective_scan_cuda",
    ),
    "half a symbol": ({"selective_scan_cuda.py": "def fwd(): pass"}, "selective_scan_cuda has no function bwd"),
    "other torch": (
        {"selective_scan_cuda.py": "raise ImportError('undefined symbol: _ZN3c10.\\nand more')"},
        "selective_scan_cuda is installed, but cannot be loaded: undefined symbol: _ZN3c10",
    ),
    "other error": (
        {"selective_scan_cuda.py": "raise OSError()"},
        "selective_scan_cuda is installed, but cannot be loaded: OSError",
    ),
    "needs more": (
        {"selective_scan_cuda.py": "import not_there_at_all"},
        "selective_scan_cuda is installed, but needs not_there_at_all",
    ),
}
# Each package in turn; of CUDA devices the first, which need not be there: the module is looked for before it is used.
FIND = """
import json, sys
import segmamba.scan
from segmamba.scan import cuda, dispatch
assert not {"selective_scan_cuda", "mamba_ssm"} & set(sys.modules), "importing the scan looks for nothing"
found = {}
for folder in sys.argv[1:]:
    sys.path.insert(0, folder)
    found[folder] = dispatch._state("mamba_ssm", "cuda", 0)
    sys.path.remove(folder)
    sys.modules.pop("selective_scan_cuda", None)
    dispatch._state.cache_clear()
print(json.dumps(found))
"""


def process(program, *arguments):
    """Output of a program in a process of its own that neither fails nor shows a traceback."""
    command = [sys.executable, "-c", program, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """{name: (usable, reason)} of every package."""
    folders = {}
    for name, (files, _) in PACKAGES.items():
        folders[name] = tmp_path_factory.mktemp("package")
        for file, text in files.items():
            (folders[name] / file).parent.mkdir(exist_ok=True)
            (folders[name] / file).write_text(text)
    answers = json.loads(process(FIND, *folders.values()))
    return {name: answers[str(folder)] for name, folder in folders.items()}


@pytest.mark.skipif(bool(importlib.util.find_spec("mamba_ssm")), reason="mamba_ssm is installed here")
@pytest.mark.parametrize("package", PACKAGES)
def test_a_module_that_cannot_be_had_gives_its_reason_in_a_line(found, package):
    assert found[package] == [False, f"cannot be imported: {PACKAGES[package][1]}"]


def test_the_module_is_enough_without_the_package(tmp_path):
    (tmp_path / "selective_scan_cuda.py").write_text("def fwd(): pass\ndef bwd(): pass")
    program = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from segmamba.scan import cuda"
    assert process(f"{program}; print(cuda.extension().__file__)") == str(tmp_path / "selective_scan_cuda.py")
