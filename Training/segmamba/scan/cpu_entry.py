"""The kernels of the processor, compiled once per machine and kept in numba's cache."""

from functools import lru_cache
from typing import NamedTuple

from numba import njit

from segmamba.native import simd, simd_code
from segmamba.native.compiled import kept
from segmamba.scan import cpu_kernels
from segmamba.scan.cpu_kernels import backward_range, forward_range, gather


class Kernels(NamedTuple):
    """The compiled functions; arguments as in ``cpu_kernels``. All release the interpreter lock."""

    forward: object
    backward: object
    gather: object


def _build(salt: int, cache: bool) -> Kernels:
    # salt is for numba's cache only, see ``compiled``.
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
    return kept(_build, "scan", simd, simd_code, cpu_kernels)
