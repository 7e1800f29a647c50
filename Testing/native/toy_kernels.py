"""Small entries for the tests of kept compilation; the tests write toy_factor.py beside a copy of this file."""

import math

from numba import njit
from toy_factor import FACTOR

from segmamba.native.simd import LANES, add, exp2_product, floats, load_lanes, scale, softplus, store_lanes


@njit(error_model="numpy")
def _scaled(x, at, lanes, by):
    return scale(load_lanes(x, at, lanes), by)


def axpy(p):
    """y += FACTOR * a * x, for p = n and the addresses of a, x, y."""
    n, a, x, y = p[0], floats(p[1]), floats(p[2]), floats(p[3])
    for i in range(0, n, LANES):
        lanes = min(LANES, n - i)
        store_lanes(y, i, add(load_lanes(y, i, lanes), _scaled(x, i, lanes, FACTOR * a[0])), lanes)


def curves(p):
    """y = softplus(x) + 2**(x * x), for p = n and the addresses of x and y."""
    n, x, y = p[0], floats(p[1]), floats(p[2])
    for i in range(0, n, LANES):
        lanes = min(LANES, n - i)
        value = load_lanes(x, i, lanes)
        store_lanes(y, i, add(softplus(value), exp2_product(value, value)), lanes)


def sines(p):
    """y = sin(x) by the C library, for p = n and the addresses of x and y."""
    x, y = floats(p[1]), floats(p[2])
    for i in range(p[0]):
        y[i] = math.sin(x[i])


def work(p):
    """p[0] steps of something that cannot be shortened; p[1] is the address of where the result goes."""
    value, result = 1.0, floats(p[1])
    for _ in range(p[0]):
        value = math.sqrt(value + 1.0)
    result[0] = value


ENTRIES = (axpy, curves, sines, work)
