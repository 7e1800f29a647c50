"""Calls of kernels at the same time: on PyTorch's own threads where they can be had, else on a small pool.

numba's layers will not do: "workqueue" is not safe under concurrent calls, GNU OpenMP not after a fork (data loaders).
Shares never wait for one another, so callers in several threads can share the pool.
"""

import os
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait

from segmamba.native.compiled import Kernel
from segmamba.native.team import team

Call = tuple[Kernel, bytes]  # as ``Kernel.packed`` gives it

_lock = threading.Lock()
_pool: ThreadPoolExecutor | None = None
_size = 0


def _forget() -> None:
    # A forked child has the pool's object but none of its threads, and perhaps a lock that nobody will release.
    global _lock, _pool, _size
    _lock, _pool, _size = threading.Lock(), None, 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def _pool_of(size: int) -> ThreadPoolExecutor:
    global _pool, _size
    with _lock:
        if _pool is None or _size < size:
            # A smaller pool may still be at work for another caller; it ends by itself when its tasks are done.
            _pool, _size = ThreadPoolExecutor(size, thread_name_prefix="segmamba-scan"), size
        return _pool


def run(shares: Sequence[Sequence[Call]]) -> None:
    """Make the calls of every share one after the other, the shares at the same time, and wait."""
    if len(shares) == 1:
        _work(shares[0])
        return
    together = team()
    if together is not None:
        together.run([[(kernel.address, integers) for kernel, integers in share] for share in shares])
        return
    others: list[Future] = []
    try:
        for share in shares[1:]:
            others.append(_pool_of(len(shares) - 1).submit(_work, share))
        _work(shares[0])
    finally:
        _wait(others)
    for other in others:
        other.result()


def _wait(others: list[Future]) -> None:
    """Waits, whatever interrupts it: kernels still write to memory that the caller would free."""
    interrupted = None
    while True:
        try:
            wait(others)
            break
        except BaseException as error:
            interrupted = error
    if interrupted is not None:
        raise interrupted


def _work(share: Sequence[Call]) -> None:
    for kernel, integers in share:
        kernel.call(integers)
