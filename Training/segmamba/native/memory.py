"""Uninitialised tensors whose first touch is cheap."""

import ctypes
import sys
from functools import cache

import torch

_HUGE = 1 << 21  # bytes of a huge page on the processors that Linux runs PyTorch on
_MADV_HUGEPAGE = 14


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


def empty(*shape: int) -> torch.Tensor:
    """Float32 tensor on the processor, as ``torch.empty``.

    A large tensor is fresh memory, and its page faults can cost a third of a scan: the kernel is asked for huge
    pages.  It is only advice; where it is not taken, nothing changes.
    """
    tensor = torch.empty(*shape, dtype=torch.float32, device="cpu")
    size = tensor.numel() * 4
    advise = _advise() if size >= 4 * _HUGE else None
    if advise is not None:
        first = -(-tensor.data_ptr() // _HUGE) * _HUGE
        last = (tensor.data_ptr() + size) // _HUGE * _HUGE
        advise(first, last - first, _MADV_HUGEPAGE)
    return tensor
