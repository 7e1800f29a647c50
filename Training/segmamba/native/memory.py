"""Uninitialised tensors whose first touch is cheap.

Fresh memory comes page by page, each cleared by the system at its first touch, which can take a third of a scan.  The
memory of tensors that are gone is therefore handed out again; what is too large to be kept for that, is asked for in
huge pages.
"""

import ctypes
import math
import os
import sys
import threading
import weakref
from functools import cache

import torch

_HUGE = 1 << 21  # bytes of a huge page on the processors that Linux runs PyTorch on
_MADV_HUGEPAGE = 14
_LEAST = 1 << 17  # bytes; the C library itself hands smaller blocks out again
_LIMIT = 1 << 26  # bytes that are kept


@cache
def _advise():
    """The C library's madvise, or None where there is none with this advice."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        function = ctypes.CDLL(None).madvise
    except (OSError, AttributeError):
        return None
    function.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    function.restype = ctypes.c_int
    return function


class Pool:
    """Blocks of memory that no tensor uses; of more than ``limit`` bytes the oldest are freed."""

    def __init__(self, limit: int) -> None:
        self._limit, self._size = limit, 0
        self._blocks: list[torch.Tensor] = []  # oldest first
        self._lock = threading.Lock()

    def take(self, numel: int) -> torch.Tensor | None:
        """A block of ``numel`` floats, or None where there is none."""
        with self._lock:
            for i in range(len(self._blocks) - 1, -1, -1):
                if self._blocks[i].numel() == numel:
                    self._size -= 4 * numel
                    return self._blocks.pop(i)
        return None

    def give(self, block: torch.Tensor) -> None:
        """Keeps a block that is free again."""
        # Python may free a tensor anywhere, even in a thread that is in here already: never wait.
        if not self._lock.acquire(blocking=False):
            return
        try:
            self._blocks.append(block)
            self._size += 4 * block.numel()
            while self._size > self._limit:
                self._size -= 4 * self._blocks.pop(0).numel()
        finally:
            self._lock.release()

    def release(self) -> None:
        """Frees all blocks."""
        with self._lock:
            self._blocks, self._size = [], 0

    def renew(self) -> None:
        """In a forked child: the lock may be held by a thread that does not exist there."""
        self._lock = threading.Lock()


_pool = Pool(_LIMIT)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.renew)


def _fresh(numel: int) -> torch.Tensor:
    block = torch.empty(numel, dtype=torch.float32, device="cpu")
    size = 4 * numel
    advise = _advise() if size >= 4 * _HUGE else None
    if advise is not None:
        # Only advice: where it is not taken, nothing changes.
        first = -(-block.data_ptr() // _HUGE) * _HUGE
        last = (block.data_ptr() + size) // _HUGE * _HUGE
        advise(first, last - first, _MADV_HUGEPAGE)
    return block


def release() -> None:
    """Gives back what is kept for the next tensors; it never is more than 64 MiB."""
    _pool.release()


def empty(*shape: int) -> torch.Tensor:
    """Float32 tensor on the processor, as ``torch.empty``."""
    numel = math.prod(shape)
    if not _LEAST <= 4 * numel <= _LIMIT // 2:
        return _fresh(numel).view(shape)
    block = _pool.take(numel)
    if block is None:
        block = _fresh(numel)
    # The tensor's memory is this array's, which lives until nothing refers to the tensor's memory any more.
    lease = block.numpy()
    weakref.finalize(lease, _pool.give, block).atexit = False
    return torch.from_numpy(lease).view(shape)
