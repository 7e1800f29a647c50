"""The causal depthwise convolution with SiLU and what follows it, x_proj, in the order of a direction.

Sixteen channels at a time, four taps.  x, dx and the places of their tokens are natural; u, its projection and their
gradients are of a span of tokens in the direction's order, with channels padded to whole vectors.  Weights lie tap by
tap, padded likewise: ``weight[k * padded + c]``, tap 3 meets the current token.
"""

from numba import njit

from segmamba.native.simd import (
    LANES,
    OPTIONS,
    add,
    fma,
    load,
    load_bf16_lanes,
    load_lanes,
    mul,
    sigmoid,
    store,
    store_lanes,
    sub_from_one,
    zero,
)
from segmamba.scan.cpu.place_kernel import place
from segmamba.scan.cpu.product_kernel import multiply
from segmamba.scan.cpu.sizes import TAPS, TILE

_BEFORE = TAPS - 1


@njit(**OPTIONS)
def _locate(places, start, stop, order):
    """The places of the tokens from three before ``start`` to ``stop``; -1 before the sequence, which reads zeros."""
    begin, total, backwards, run, full, rest, lowest = order
    for i in range(stop - start + _BEFORE):
        t = begin + start - _BEFORE + i
        places[i] = place(t, total, backwards, run, full, rest) if t >= lowest else -(1 << 62)


@njit(**OPTIONS)
def _read(x, x_half, halves, at, token, spot, lanes):
    if spot == -(1 << 62):
        return zero()
    if halves:
        return load_bf16_lanes(x_half, at + spot * token, lanes)
    return load_lanes(x, at + spot * token, lanes)


@njit(**OPTIONS)
def convolve_range(
    channels, first, last, order, halves, x, x_half, token, weight, bias, u, u_token,
    x_proj, vectors, projected, p_token, places,
):  # fmt: skip
    """u = SiLU(bias + causal convolution of x) of the tokens ``first`` to ``last`` of a span, and x_proj u.

    Args:
        order: first token of the span, ``orders.place``'s, and the first token that there is in the memory of x.
        x_proj: (channels, 16 * vectors); no projection where ``vectors`` is 0.
    """
    padded = (channels + LANES - 1) // LANES * LANES
    for start in range(first, last, TILE):
        stop = min(start + TILE, last)
        _locate(places, start, stop, order)
        for c in range(0, channels, LANES):
            lanes = min(LANES, channels - c)
            w0 = load(weight, c)
            w1 = load(weight, padded + c)
            w2 = load(weight, 2 * padded + c)
            w3 = load(weight, 3 * padded + c)
            b = load(bias, c)
            x0 = _read(x, x_half, halves, c, token, places[0], lanes)
            x1 = _read(x, x_half, halves, c, token, places[1], lanes)
            x2 = _read(x, x_half, halves, c, token, places[2], lanes)
            for t in range(start, stop):
                x3 = _read(x, x_half, halves, c, token, places[t - start + _BEFORE], lanes)
                r = fma(w0, x0, fma(w1, x1, fma(w2, x2, fma(w3, x3, b))))
                store(u, t * u_token + c, mul(r, sigmoid(r)))
                x0, x1, x2 = x1, x2, x3
        if vectors > 0:
            multiply(
                stop - start, vectors, channels, u, start * u_token, u_token, 1, x_proj, 0, vectors * LANES,
                projected, start * p_token, p_token, True,
            )  # fmt: skip


@njit(**OPTIONS)
def differentiate_range(
    channels, first, last, length, order, halves, x, x_half, token, weight, bias, du, u_token,
    after, before, accumulate, dx, dx_token, sums, scratch, places,
):  # fmt: skip
    """dx of the tokens ``first`` to ``last`` of a span of ``length``; shares of the weights' gradients into ``sums``.

    Args:
        after, before: (3, padded) gradients before the activation of the three tokens after the span, read, and of the
            span's own first three, written by the call that has ``first`` = 0: what lets spans follow one another.
        accumulate: whether dx is added to what is there.
        sums: (5, padded): four taps, then the bias; added to.
    """
    padded = (channels + LANES - 1) // LANES * LANES
    for start in range(first, last, TILE):
        stop = min(start + TILE, last)
        reach = min(stop + _BEFORE, length)  # dx of a token needs the three tokens after it
        _locate(places, start, reach, order)
        for c in range(0, channels, LANES):
            lanes = min(LANES, channels - c)
            w0 = load(weight, c)
            w1 = load(weight, padded + c)
            w2 = load(weight, 2 * padded + c)
            w3 = load(weight, 3 * padded + c)
            b = load(bias, c)
            s0, s1, s2, s3, sb = zero(), zero(), zero(), zero(), zero()
            x0 = _read(x, x_half, halves, c, token, places[0], lanes)
            x1 = _read(x, x_half, halves, c, token, places[1], lanes)
            x2 = _read(x, x_half, halves, c, token, places[2], lanes)
            for t in range(start, reach):
                x3 = _read(x, x_half, halves, c, token, places[t - start + _BEFORE], lanes)
                r = fma(w0, x0, fma(w1, x1, fma(w2, x2, fma(w3, x3, b))))
                s = sigmoid(r)
                # d SiLU(r) = s (1 + r (1 - s))
                slope = fma(mul(s, r), sub_from_one(s), s)
                g = mul(load_lanes(du, t * u_token + c, lanes), slope)
                store(scratch, (t - start) * LANES, g)
                if t < stop:
                    s0, s1, s2, s3 = fma(g, x0, s0), fma(g, x1, s1), fma(g, x2, s2), fma(g, x3, s3)
                    sb = add(sb, g)
                x0, x1, x2 = x1, x2, x3
            for t in range(reach, stop + _BEFORE):
                store(scratch, (t - start) * LANES, load(after, (t - length) * padded + c))
            if start == 0:
                for i in range(_BEFORE):
                    store(before, i * padded + c, load(scratch, i * LANES))
            for t in range(start, stop):
                i = (t - start) * LANES
                d = mul(w3, load(scratch, i))
                d = fma(w2, load(scratch, i + LANES), d)
                d = fma(w1, load(scratch, i + 2 * LANES), d)
                d = fma(w0, load(scratch, i + 3 * LANES), d)
                to = places[t - start + _BEFORE] * dx_token + c
                if accumulate:
                    d = add(d, load_lanes(dx, to, lanes))
                store_lanes(dx, to, d, lanes)
            store(sums, c, add(load(sums, c), s0))
            store(sums, padded + c, add(load(sums, padded + c), s1))
            store(sums, 2 * padded + c, add(load(sums, 2 * padded + c), s2))
            store(sums, 3 * padded + c, add(load(sums, 3 * padded + c), s3))
            store(sums, 4 * padded + c, add(load(sums, 4 * padded + c), sb))
