"""The index map of ``orders`` for the kernels."""

from numba import njit

from segmamba.native.simd import OPTIONS


@njit(**OPTIONS)
def place(t, length, backwards, run, full, rest):
    """The token that an order reads at its step t; for the plain order also before the sequence begins."""
    if backwards:
        return length - 1 - t
    if full == 1 and rest == 0:
        return t
    across = full + 1
    if t < rest * across:
        i = t // across
        return (t - i * across) * run + i
    t -= rest * across
    i = t // full
    return (t - i * full) * run + rest + i
