"""The kernels of the processor, compiled once per machine and kept in numba's cache."""

import logging
import zlib
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from numba import njit

from segmamba.scan import cpu_kernels, simd
from segmamba.scan.cpu_kernels import backward_range, forward_range, gather

_log = logging.getLogger(__name__)


class Kernels(NamedTuple):
    """The compiled functions; arguments as in ``cpu_kernels``. All release the interpreter lock."""

    forward: object
    backward: object
    gather: object


def _fingerprint() -> int:
    """Non-zero number that changes with the sources: numba's cache looks at the calling file only."""
    value = 0
    for module in (simd, cpu_kernels):
        value = zlib.crc32(Path(module.__file__).read_bytes(), value)
    return value or 1


def _build(salt: int, cache: bool) -> Kernels:
    # A variable of the closure enters the key of numba's cache; that is all that salt is for.
    @njit(nogil=True, cache=cache)
    def forward(
        shape, strides, items, chunks, gated, soft, keep, u, delta, z, B, C, D, bias, rates, state, kept, out, scratch
    ):
        if salt != 0:
            forward_range(
                shape, strides, items, chunks, gated, soft, keep,
                u, delta, z, B, C, D, bias, rates, state, kept, out, scratch,
            )  # fmt: skip

    @njit(nogil=True, cache=cache)
    def backward(
        shape, strides, items, chunks, gated, soft, u, delta, z, B, C, D, bias, rates, kept, dout,
        adjoint, du, ddelta, dz, d_rates, dD, dbias, dB, dC, scratch,
    ):  # fmt: skip
        if salt != 0:
            backward_range(
                shape, strides, items, chunks, gated, soft, u, delta, z, B, C, D, bias, rates, kept, dout,
                adjoint, du, ddelta, dz, d_rates, dD, dbias, dB, dC, scratch,
            )  # fmt: skip

    @njit(nogil=True, cache=cache)
    def collect(shape, true_states, chunks, tokens, splits, partial, total):
        if salt != 0:
            gather(shape, true_states, chunks, tokens, splits, partial, total)

    return Kernels(forward, backward, collect)


@lru_cache(maxsize=1)
def kernels() -> Kernels:
    """The kernels, built on first use."""
    try:
        return _build(_fingerprint(), cache=True)
    except (RuntimeError, OSError) as error:
        # numba finds no folder that it may write, or the sources are not files: compile anew in every process.
        _log.info("numba cannot keep the compiled scan (%s); it is compiled anew by every process", error)
        return _build(1, cache=False)
