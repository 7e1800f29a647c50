"""A small pool of threads for kernels that release the interpreter lock.

numba's own layers will not do: "workqueue" is not safe under concurrent calls, GNU OpenMP not after a fork (data
loaders).  Tasks never wait for one another, so callers in several threads can share the pool.
"""

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait

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


def run(task: Callable[[int], object], count: int) -> None:
    """Call ``task(0) ... task(count - 1)`` at the same time and wait; ``task(0)`` runs in the calling thread."""
    if count == 1:
        task(0)
        return
    pool = _pool_of(count - 1)
    others = [pool.submit(task, i) for i in range(1, count)]
    try:
        task(0)
    finally:
        wait(others)
    for other in others:
        other.result()
