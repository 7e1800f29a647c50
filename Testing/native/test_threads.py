"""Shares run on PyTorch's threads or on a pool: every call once, each share's in order, and after a fork, too."""

import importlib
import os
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import wait
from pathlib import Path

import numpy as np
import pytest
import torch

from segmamba.native import threads
from segmamba.native.compiled import native
from segmamba.native.team import team

HERE = Path(__file__).resolve().parent


@pytest.fixture(scope="module")
def kernels(tmp_path_factory):
    """Those of ``toy_kernels``."""
    folder = tmp_path_factory.mktemp("toy")
    shutil.copy(HERE / "toy_kernels.py", folder)
    (folder / "toy_factor.py").write_text("FACTOR = 1\n")
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield native("toy", "toy_kernels", ("toy_factor",), folder / "kept")
    finally:
        sys.path.remove(str(folder))


@pytest.fixture(params=["team", "pool"])
def way(request, monkeypatch) -> str:
    """Both ways to run shares."""
    if request.param == "team" and team() is None:
        pytest.skip("this PyTorch has no OpenMP that kernels could run on")
    if request.param == "pool":
        monkeypatch.setattr(threads, "team", lambda: None)
    return request.param


@pytest.fixture(params=[1, 2, 3])
def torch_threads(request) -> int:
    """So many threads of PyTorch's."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


X = np.linspace(-3, 3, 64, dtype=np.float32)
TWO = np.full(1, 2, np.float32)


def sine_plus_twice(kernels, y: np.ndarray) -> list[threads.Call]:
    """y = sin(x), then y += 2 x twice: right in this order alone."""
    axpy = kernels.axpy.packed(X.size, TWO.ctypes.data, X.ctypes.data, y.ctypes.data)
    return [kernels.sines.packed(X.size, X.ctypes.data, y.ctypes.data), axpy, axpy]


def right(rows: np.ndarray) -> bool:
    return bool(np.allclose(rows, np.sin(X) + 4 * X, atol=1e-5))


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_every_call_is_made_once_and_those_of_a_share_in_order(kernels, way, torch_threads, count):
    rows = np.zeros((count, X.size), np.float32)
    for _ in range(20):
        rows[:] = 100
        threads.run([sine_plus_twice(kernels, row) for row in rows])
        assert right(rows)


def test_a_share_may_have_nothing_to_do(kernels, way, torch_threads):
    row = np.zeros(X.size, np.float32)
    threads.run([[], sine_plus_twice(kernels, row), []])
    assert right(row)
    threads.run([[], []])


def test_callers_in_many_threads_do_not_disturb_one_another(kernels, way):
    rows = np.zeros((4, 3, X.size), np.float32)

    def call(mine: np.ndarray) -> None:
        for _ in range(50):
            threads.run([sine_plus_twice(kernels, row) for row in mine])

    callers = [threading.Thread(target=call, args=(mine,)) for mine in rows]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert right(rows.reshape(-1, X.size))


def test_the_team_uses_threads_of_pytorch_and_starts_none(kernels):
    if team() is None:
        pytest.skip("this PyTorch has no OpenMP that kernels could run on")
    if not Path("/proc/self/task").is_dir():
        pytest.skip("threads are counted in /proc")
    kept = str(Path(sys.modules["toy_kernels"].__file__).parent / "kept")
    code = f"""
import os, sys
sys.path[:0] = {sys.path!r}
import torch, numpy as np
from pathlib import Path
from segmamba.native import threads
from segmamba.native.compiled import native
torch.set_num_threads(2)
a = torch.ones(1 << 22)
(a * 2 + a).sum().item()
kernels = native("toy", "toy_kernels", ("toy_factor",), Path({kept!r}))
x = np.ones(64, np.float32)
before = len(os.listdir("/proc/self/task"))
for _ in range(10):
    threads.run([[kernels.sines.packed(64, x.ctypes.data, x.ctypes.data)], []])
    (a * 2 + a).sum().item()
print(len(os.listdir("/proc/self/task")) - before)
"""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OMP_")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=120)
    assert done.stdout.strip() == "0", done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_does_not_wait_for_threads_that_it_does_not_have(kernels, way, torch_threads):
    rows = np.zeros((3, X.size), np.float32)
    threads.run([sine_plus_twice(kernels, row) for row in rows])
    child = os.fork()
    if child == 0:
        rows[:] = 0
        threads.run([sine_plus_twice(kernels, row) for row in rows])
        os._exit(0 if right(rows) else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_an_interrupted_caller_still_waits_for_the_others(kernels, monkeypatch):
    """Their memory would be freed under them."""
    monkeypatch.setattr(threads, "team", lambda: None)
    done = []
    waits = []

    class Slow:
        def call(self, integers: bytes) -> None:
            time.sleep(0.3)
            done.append(integers)

    def interrupted(futures):
        waits.append(1)
        if len(waits) == 1:
            raise KeyboardInterrupt
        return wait(futures)

    monkeypatch.setattr(threads, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        threads.run([[], [(Slow(), b"a")], [(Slow(), b"b")]])
    assert sorted(done) == [b"a", b"b"]
