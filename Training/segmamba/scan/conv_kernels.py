"""numba kernels of the causal depthwise convolution with SiLU, for sixteen channels at a time, four taps.

Arrays are flat float32 with adjacent channels; x has a stride of its own between tokens, everything else is
(length, channels) contiguous.  Weights lie tap by tap: ``weight[k * channels + c]``, tap 3 meets the current token.
A call covers the tokens ``first`` to ``last`` of one sequence, in tiles that stay in the first-level cache.
"""

from numba import njit

from segmamba.native.simd import (
    LANES,
    add,
    fma,
    load,
    load_lanes,
    mul,
    sigmoid,
    store,
    store_lanes,
    sub_from_one,
    zero,
)

TAPS = 4
TILE = 64
BACKWARD_SCRATCH = (TILE + TAPS - 1) * LANES

_options = {"nogil": True, "error_model": "numpy", "boundscheck": False}


@njit(**_options)
def _tap(x, at, stride, t, lanes):
    """x of token t, zero before the start."""
    return load_lanes(x, at + t * stride, lanes) if t >= 0 else zero()


@njit(**_options)
def convolve_range(channels, stride, first, last, x, at, weight, bias, out, out_at):
    """out = SiLU(bias + causal convolution of x)."""
    for start in range(first, last, TILE):
        stop = min(start + TILE, last)
        for c in range(0, channels, LANES):
            lanes = min(LANES, channels - c)
            w0 = load_lanes(weight, c, lanes)
            w1 = load_lanes(weight, channels + c, lanes)
            w2 = load_lanes(weight, 2 * channels + c, lanes)
            w3 = load_lanes(weight, 3 * channels + c, lanes)
            b = load_lanes(bias, c, lanes)
            x0 = _tap(x, at + c, stride, start - 3, lanes)
            x1 = _tap(x, at + c, stride, start - 2, lanes)
            x2 = _tap(x, at + c, stride, start - 1, lanes)
            for t in range(start, stop):
                x3 = load_lanes(x, at + t * stride + c, lanes)
                r = fma(w0, x0, fma(w1, x1, fma(w2, x2, fma(w3, x3, b))))
                store_lanes(out, out_at + t * channels + c, mul(r, sigmoid(r)), lanes)
                x0, x1, x2 = x1, x2, x3


@njit(**_options)
def differentiate_range(channels, stride, length, first, last, x, at, weight, bias, dout, out_at, dx, sums, scratch):
    """Gradients: dx of the tokens first to last; their shares of the weights' and the bias' are added to ``sums``.

    ``sums`` is (5, channels): four taps, then the bias.  ``dout`` and ``dx`` begin at ``out_at``.
    """
    for start in range(first, last, TILE):
        stop = min(start + TILE, last)
        reach = min(stop + TAPS - 1, length)  # dx of a token needs the three tokens after it
        for c in range(0, channels, LANES):
            lanes = min(LANES, channels - c)
            w0 = load_lanes(weight, c, lanes)
            w1 = load_lanes(weight, channels + c, lanes)
            w2 = load_lanes(weight, 2 * channels + c, lanes)
            w3 = load_lanes(weight, 3 * channels + c, lanes)
            b = load_lanes(bias, c, lanes)
            s0, s1, s2, s3, sb = zero(), zero(), zero(), zero(), zero()
            x0 = _tap(x, at + c, stride, start - 3, lanes)
            x1 = _tap(x, at + c, stride, start - 2, lanes)
            x2 = _tap(x, at + c, stride, start - 1, lanes)
            for t in range(start, reach):
                x3 = load_lanes(x, at + t * stride + c, lanes)
                r = fma(w0, x0, fma(w1, x1, fma(w2, x2, fma(w3, x3, b))))
                s = sigmoid(r)
                # d SiLU(r) = s (1 + r (1 - s))
                slope = fma(mul(s, r), sub_from_one(s), s)
                g = mul(load_lanes(dout, out_at + t * channels + c, lanes), slope)
                store(scratch, (t - start) * LANES, g)
                if t < stop:
                    s0, s1, s2, s3 = fma(g, x0, s0), fma(g, x1, s1), fma(g, x2, s2), fma(g, x3, s3)
                    sb = add(sb, g)
                x0, x1, x2 = x1, x2, x3
            for t in range(reach, stop + TAPS - 1):
                store(scratch, (t - start) * LANES, zero())
            for t in range(start, stop):
                i = (t - start) * LANES
                d = mul(w3, load(scratch, i))
                d = fma(w2, load(scratch, i + LANES), d)
                d = fma(w1, load(scratch, i + 2 * LANES), d)
                d = fma(w0, load(scratch, i + 3 * LANES), d)
                store_lanes(dx, out_at + t * channels + c, d, lanes)
            store_lanes(sums, c, add(load_lanes(sums, c, lanes), s0), lanes)
            store_lanes(sums, channels + c, add(load_lanes(sums, channels + c, lanes), s1), lanes)
            store_lanes(sums, 2 * channels + c, add(load_lanes(sums, 2 * channels + c, lanes), s2), lanes)
            store_lanes(sums, 3 * channels + c, add(load_lanes(sums, 3 * channels + c, lanes), s3), lanes)
            store_lanes(sums, 4 * channels + c, add(load_lanes(sums, 4 * channels + c, lanes), sb), lanes)
