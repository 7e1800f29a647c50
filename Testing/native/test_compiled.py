"""Kernels are compiled once and kept: without numba at the next start, anew when they must be, safe at every turn."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
PACKAGE = HERE.parents[1] / "Training"

# What every process below begins with.
BEGIN = """
import json, logging, sys, threading, os, time
from pathlib import Path
import numpy as np
from segmamba.native.compiled import native

log = []
handler = logging.Handler()
handler.emit = lambda record: log.append(record.getMessage())
logging.getLogger("segmamba").addHandler(handler)
logging.getLogger("segmamba").setLevel(logging.INFO)

def get():
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    return native("toy", "toy_kernels", ("toy_factor",), folder)

x = np.linspace(-3, 3, 37, dtype=np.float32)

def axpy(kernels):
    a, y = np.full(1, 2, np.float32), np.ones_like(x)
    kernels.axpy(x.size, a.ctypes.data, x.ctypes.data, y.ctypes.data)
    return y

def right(kernels, factor=1):
    return bool(np.allclose(axpy(kernels), 1 + 2 * factor * x, rtol=1e-6))
"""
# What they do unless a test says otherwise: compute, and tell.
COMPUTE = """
kernels = get()
curves, sines = np.empty_like(x), np.empty_like(x)
kernels.curves(x.size, x.ctypes.data, curves.ctypes.data)
kernels.sines(x.size, x.ctypes.data, sines.ctypes.data)
wide = x.astype(np.float64)
print(json.dumps({
    "numba": "numba" in sys.modules,
    "factor": round(float((axpy(kernels) - 1)[-1] / 6), 3),
    "curves": bool(np.allclose(curves, np.log1p(np.exp(wide)) + 2 ** (wide * wide), rtol=1e-6)),
    "sines": bool(np.allclose(sines, np.sin(wide), atol=1e-6)),
    "log": log,
}))
"""


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """A folder with the toy's two modules."""
    folder = tmp_path / "sources"
    folder.mkdir()
    shutil.copy(HERE / "toy_kernels.py", folder)
    (folder / "toy_factor.py").write_text("FACTOR = 1\n")
    return folder


@pytest.fixture
def start(sources: Path) -> Callable[..., subprocess.Popen]:
    """``start(code, folder, **environment)``: a process that runs the code with kernels kept in the folder."""

    def call(code: str, folder: Path | None, **environment: str) -> subprocess.Popen:
        names = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
        path = os.pathsep.join([str(sources), str(PACKAGE)])
        command = [sys.executable, "-c", BEGIN + code, *([] if folder is None else [str(folder)])]
        environment = {**names, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", **environment}
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)

    return call


@pytest.fixture
def compute(start) -> Callable[..., dict]:
    """``compute(folder, code)``: what such a process tells, which must come to a good end."""

    def call(folder: Path | None, code: str = COMPUTE, **environment: str) -> dict:
        return told(start(code, folder, **environment))

    return call


def told(process: subprocess.Popen) -> dict:
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return json.loads(out)


def correct(result: dict) -> bool:
    return (result["factor"], result["curves"], result["sines"]) == (1, True, True)


@pytest.fixture(scope="session")
def compiled_once(tmp_path_factory) -> Path:
    """The folder of a finished compilation; tests copy it."""
    return tmp_path_factory.mktemp("compiled") / "kept"


@pytest.fixture
def folder(compiled_once: Path, compute, tmp_path: Path) -> Path:
    """A folder in which the toy's kernels are kept."""
    if not compiled_once.exists():
        compute(compiled_once)
    folder = tmp_path / "kept"
    shutil.copytree(compiled_once, folder)
    return folder


def only_file(folder: Path) -> Path:
    (file,) = folder.iterdir()
    return file


def test_a_second_process_computes_the_same_without_numba(tmp_path, compute):
    first, second = compute(tmp_path / "kept"), compute(tmp_path / "kept")
    assert correct(first) and correct(second)
    assert (first["numba"], second["numba"]) == (True, False)
    assert [line for line in first["log"] if "compiling the toy" in line] and not second["log"]


@pytest.mark.parametrize("name", ["toy_kernels.py", "toy_factor.py"])
def test_an_edited_source_is_compiled_again(folder, sources, compute, name):
    assert not compute(folder)["numba"]
    if name == "toy_factor.py":
        (sources / name).write_text("FACTOR = 3\n")
    else:
        text = (sources / name).read_text()
        (sources / name).write_text(text.replace("FACTOR * a[0]", "3 * a[0]"))
    result = compute(folder)
    assert result["numba"] and result["factor"] == 3


def test_settings_of_numba_that_change_the_code_are_heeded(folder, compute):
    assert not compute(folder, NUMBA_NUM_THREADS="1")["numba"]
    changed = compute(folder, NUMBA_OPT="1")
    assert changed["numba"] and correct(changed)
    assert len(list(folder.iterdir())) == 2


def damage_end(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


@pytest.mark.parametrize(
    "damage",
    [lambda data: b"", lambda data: data[:30], lambda data: data[:-100], damage_end, lambda data: b"\0" * len(data)],
    ids=["empty", "header cut", "end cut", "one bit", "zeros"],
)
def test_a_damaged_file_is_replaced(folder, compute, damage):
    file = only_file(folder)
    file.write_bytes(damage(file.read_bytes()))
    result = compute(folder)
    assert result["numba"] and correct(result)
    assert not compute(folder)["numba"]


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="POSIX's modes")
def test_what_others_may_write_is_not_executed(folder, compute):
    only_file(folder).chmod(0o666)
    assert compute(folder)["numba"]
    # That wrote the file anew.
    assert not compute(folder)["numba"]
    folder.chmod(0o777)
    result = compute(folder)
    assert result["numba"] and correct(result)
    assert [line for line in result["log"] if "cannot be kept" in line and "others may write" in line]


def test_kernels_work_where_no_folder_can_be_written(tmp_path, compute):
    (tmp_path / "file").write_text("in the way")
    result = compute(tmp_path / "file" / "kept")
    assert result["numba"] and correct(result)
    assert len([line for line in result["log"] if "cannot be kept" in line]) == 1


def test_the_folder_is_numbas_or_the_users(tmp_path, compute):
    assert compute(None, NUMBA_CACHE_DIR=str(tmp_path / "chosen"))["numba"]
    assert only_file(tmp_path / "chosen" / "segmamba-kernels").suffix == ".kernels"
    if sys.platform.startswith("linux"):
        assert compute(None, XDG_CACHE_HOME=str(tmp_path / "user"))["numba"]
        assert only_file(tmp_path / "user" / "segmamba" / "kernels").suffix == ".kernels"


def test_processes_that_compile_at_once_leave_one_good_file(tmp_path, start, compute):
    results = [told(process) for process in [start(COMPUTE, tmp_path / "kept") for _ in range(3)]]
    assert all(map(correct, results))
    only_file(tmp_path / "kept")
    assert not compute(tmp_path / "kept")["numba"]


def test_threads_that_ask_at_once_compile_once(tmp_path, compute):
    code = """
found = []
threads = [threading.Thread(target=lambda: found.append(right(get()))) for _ in range(4)]
[t.start() for t in threads]
[t.join() for t in threads]
print(json.dumps({"right": found, "times": len([line for line in log if line.startswith("compiling")])}))
"""
    assert compute(tmp_path / "kept", code) == {"right": [True] * 4, "times": 1}


FORK = """
def in_child(task):
    child = os.fork()
    if not child:
        os._exit(0 if task() else 1)
    return os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_kernels_work_in_forked_children(folder, compute):
    code = """
before = in_child(lambda: right(get()))
kernels = get()
print(json.dumps([before, in_child(lambda: right(kernels)), in_child(lambda: right(get())), right(kernels)]))
"""
    assert compute(folder, FORK + code) == [True] * 4


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_fork_during_the_compilation_does_no_harm(tmp_path, compute):
    code = """
thread = threading.Thread(target=get)
thread.start()
while not log:
    time.sleep(0.001)
busy = thread.is_alive()
child = in_child(lambda: right(get()))
thread.join()
print(json.dumps([busy, child, right(get())]))
"""
    assert compute(tmp_path / "kept", FORK + code) == [True] * 3


def test_other_threads_go_on_while_a_kernel_runs(folder, compute):
    code = """
kernels, result, steps = get(), np.zeros(1, np.float32), 1 << 16
taken = 0.0
while taken < 0.5:
    steps *= 2
    start = time.perf_counter()
    kernels.work(steps, result.ctypes.data)
    taken = time.perf_counter() - start
thread = threading.Thread(target=kernels.work, args=(steps, result.ctypes.data))
ticks = 0
thread.start()
while thread.is_alive():
    time.sleep(0.001)
    ticks += 1
print(json.dumps(ticks))
"""
    assert compute(folder, code) > 10


def test_arguments_must_be_integers(folder, compute):
    code = """
import struct
try:
    get().work(1.5, 0)
    refused = False
except struct.error:
    refused = True
print(json.dumps(refused))
"""
    assert compute(folder, code) is True
