"""numba kernels of the scan: forward with checkpoints, backward by recomputation, for sixteen channels at a time.

Vocabulary. A *row* is one (batch, group) pair. The channels of a row are cut into *blocks* of sixteen lanes, the last
one perhaps partly filled; a (row, block) pair is an *item*, numbered row-major. Time is cut into chunks of ``CHUNK``
tokens; the state at the start of every chunk is the checkpoint from which backward recomputes the chunk. States are
padded to a multiple of four (with A = B = C = 0 they stay zero) and handled four at a time, because four independent
chains hide the latency of the recurrence and their factors stay in registers.

A call covers a range of items and a range of chunks, with the carried state in arrays of the caller: so work can be
divided by items or by time. All arrays are flat; all offsets are 64-bit.

``shape`` is (length, blocks, width, groups, states): width = channels of a row, states = padded.
``strides`` are, in elements, of u, delta, z, B, C and then of dout: batch and token; B and C also their group, last.
"""

import numpy as np
from numba import njit

from segmamba.native.simd import (
    LANES,
    add,
    copy_four,
    exp2_product,
    flush,
    fma,
    fma_at,
    load,
    load_lanes,
    mul,
    prefetch,
    scale,
    sigmoid,
    softplus,
    store,
    store_lanes,
    sub_from_one,
    sum_rows,
    zero,
)

CHUNK = 32
FORWARD_SCRATCH = 3 * CHUNK * LANES
BACKWARD_SCRATCH = (9 + 3 * 4) * CHUNK * LANES

_ROW = LANES
_PLANE = CHUNK * LANES
_LN2 = np.float32(0.6931471805599453)

_options = {"nogil": True, "error_model": "numpy", "boundscheck": False}


@njit(**_options)
def _advance(steps, at_b, at_c, n, dt, x, y, scratch, state, h_at, rates, a_at, B, C):
    """Move four states (n .. n + 3) of one item through a chunk and add their share to y."""
    a0 = load(rates, a_at)
    a1 = load(rates, a_at + _ROW)
    a2 = load(rates, a_at + 2 * _ROW)
    a3 = load(rates, a_at + 3 * _ROW)
    h0 = load(state, h_at)
    h1 = load(state, h_at + _ROW)
    h2 = load(state, h_at + 2 * _ROW)
    h3 = load(state, h_at + 3 * _ROW)
    for t in range(steps):
        d = load(scratch, dt + t * _ROW)
        xt = load(scratch, x + t * _ROW)
        yt = load(scratch, y + t * _ROW)
        b = at_b[t] + n
        c = at_c[t] + n
        h0 = fma_at(xt, B, b, mul(exp2_product(d, a0), h0))
        h1 = fma_at(xt, B, b + 1, mul(exp2_product(d, a1), h1))
        h2 = fma_at(xt, B, b + 2, mul(exp2_product(d, a2), h2))
        h3 = fma_at(xt, B, b + 3, mul(exp2_product(d, a3), h3))
        yt = fma_at(h0, C, c, yt)
        yt = fma_at(h1, C, c + 1, yt)
        yt = fma_at(h2, C, c + 2, yt)
        yt = fma_at(h3, C, c + 3, yt)
        store(scratch, y + t * _ROW, yt)
    store(state, h_at, flush(h0))
    store(state, h_at + _ROW, flush(h1))
    store(state, h_at + 2 * _ROW, flush(h2))
    store(state, h_at + 3 * _ROW, flush(h3))


@njit(**_options)
def _recompute(steps, at_b, at_c, n, dt, x, y, dy, decay, carried, weighted, scratch, states, h_at, rates, a_at, B, C):
    """``_advance`` from a checkpoint, which also keeps exp(delta A), exp(delta A) h_(t-1) and dy h_t of every token.

    The last sums over the lanes to dC.
    """
    a0 = load(rates, a_at)
    a1 = load(rates, a_at + _ROW)
    a2 = load(rates, a_at + 2 * _ROW)
    a3 = load(rates, a_at + 3 * _ROW)
    h0 = load(states, h_at)
    h1 = load(states, h_at + _ROW)
    h2 = load(states, h_at + 2 * _ROW)
    h3 = load(states, h_at + 3 * _ROW)
    for t in range(steps):
        d = load(scratch, dt + t * _ROW)
        xt = load(scratch, x + t * _ROW)
        yt = load(scratch, y + t * _ROW)
        dyt = load(scratch, dy + t * _ROW)
        b = at_b[t] + n
        c = at_c[t] + n
        k = 4 * t * _ROW
        e0 = exp2_product(d, a0)
        e1 = exp2_product(d, a1)
        e2 = exp2_product(d, a2)
        e3 = exp2_product(d, a3)
        h0 = mul(e0, h0)
        h1 = mul(e1, h1)
        h2 = mul(e2, h2)
        h3 = mul(e3, h3)
        store(scratch, decay + k, e0)
        store(scratch, decay + k + _ROW, e1)
        store(scratch, decay + k + 2 * _ROW, e2)
        store(scratch, decay + k + 3 * _ROW, e3)
        store(scratch, carried + k, h0)
        store(scratch, carried + k + _ROW, h1)
        store(scratch, carried + k + 2 * _ROW, h2)
        store(scratch, carried + k + 3 * _ROW, h3)
        h0 = fma_at(xt, B, b, h0)
        h1 = fma_at(xt, B, b + 1, h1)
        h2 = fma_at(xt, B, b + 2, h2)
        h3 = fma_at(xt, B, b + 3, h3)
        store(scratch, weighted + k, mul(dyt, h0))
        store(scratch, weighted + k + _ROW, mul(dyt, h1))
        store(scratch, weighted + k + 2 * _ROW, mul(dyt, h2))
        store(scratch, weighted + k + 3 * _ROW, mul(dyt, h3))
        yt = fma_at(h0, C, c, yt)
        yt = fma_at(h1, C, c + 1, yt)
        yt = fma_at(h2, C, c + 2, yt)
        yt = fma_at(h3, C, c + 3, yt)
        store(scratch, y + t * _ROW, yt)


@njit(**_options)
def _retreat(
    steps, at_b, at_c, n, dt, x, dy, dx, dd, decay, carried, scratch, adjoint, d_rates, h_at, rates, a_at, B, C
):
    """Carry the adjoint of four states back through a chunk.

    Leaves in ``decay`` what sums over the lanes to dB.
    """
    a0 = load(rates, a_at)
    a1 = load(rates, a_at + _ROW)
    a2 = load(rates, a_at + 2 * _ROW)
    a3 = load(rates, a_at + 3 * _ROW)
    g0 = load(adjoint, h_at)
    g1 = load(adjoint, h_at + _ROW)
    g2 = load(adjoint, h_at + 2 * _ROW)
    g3 = load(adjoint, h_at + 3 * _ROW)
    p0 = load(d_rates, h_at)
    p1 = load(d_rates, h_at + _ROW)
    p2 = load(d_rates, h_at + 2 * _ROW)
    p3 = load(d_rates, h_at + 3 * _ROW)
    for t in range(steps - 1, -1, -1):
        d = load(scratch, dt + t * _ROW)
        xt = load(scratch, x + t * _ROW)
        dyt = load(scratch, dy + t * _ROW)
        dxt = load(scratch, dx + t * _ROW)
        ddt = load(scratch, dd + t * _ROW)
        b = at_b[t] + n
        c = at_c[t] + n
        k = 4 * t * _ROW
        g0 = fma_at(dyt, C, c, g0)
        g1 = fma_at(dyt, C, c + 1, g1)
        g2 = fma_at(dyt, C, c + 2, g2)
        g3 = fma_at(dyt, C, c + 3, g3)
        dxt = fma_at(g0, B, b, dxt)
        dxt = fma_at(g1, B, b + 1, dxt)
        dxt = fma_at(g2, B, b + 2, dxt)
        dxt = fma_at(g3, B, b + 3, dxt)
        w0 = load(scratch, carried + k)
        w1 = load(scratch, carried + k + _ROW)
        w2 = load(scratch, carried + k + 2 * _ROW)
        w3 = load(scratch, carried + k + 3 * _ROW)
        w0 = mul(g0, w0)
        w1 = mul(g1, w1)
        w2 = mul(g2, w2)
        w3 = mul(g3, w3)
        ddt = fma(w0, a0, ddt)
        ddt = fma(w1, a1, ddt)
        ddt = fma(w2, a2, ddt)
        ddt = fma(w3, a3, ddt)
        p0 = fma(w0, d, p0)
        p1 = fma(w1, d, p1)
        p2 = fma(w2, d, p2)
        p3 = fma(w3, d, p3)
        e0 = load(scratch, decay + k)
        e1 = load(scratch, decay + k + _ROW)
        e2 = load(scratch, decay + k + 2 * _ROW)
        e3 = load(scratch, decay + k + 3 * _ROW)
        store(scratch, decay + k, mul(g0, xt))
        store(scratch, decay + k + _ROW, mul(g1, xt))
        store(scratch, decay + k + 2 * _ROW, mul(g2, xt))
        store(scratch, decay + k + 3 * _ROW, mul(g3, xt))
        g0 = mul(g0, e0)
        g1 = mul(g1, e1)
        g2 = mul(g2, e2)
        g3 = mul(g3, e3)
        store(scratch, dx + t * _ROW, dxt)
        store(scratch, dd + t * _ROW, ddt)
    store(adjoint, h_at, flush(g0))
    store(adjoint, h_at + _ROW, flush(g1))
    store(adjoint, h_at + 2 * _ROW, flush(g2))
    store(adjoint, h_at + 3 * _ROW, flush(g3))
    store(d_rates, h_at, p0)
    store(d_rates, h_at + _ROW, p1)
    store(d_rates, h_at + 2 * _ROW, p2)
    store(d_rates, h_at + 3 * _ROW, p3)


@njit(**_options)
def forward_range(
    shape, strides, items, chunks, gated, soft, keep, u, delta, z, B, C, D, bias, rates, state, kept, out, scratch
):
    """Scan ``items`` (first, last) over ``chunks`` (first, last); ``state`` is carried, ``kept`` gets checkpoints."""
    length, blocks, width, groups, states = shape
    u_batch, u_token, delta_batch, delta_token, z_batch, z_token = strides[:6]
    b_batch, b_token, b_group, c_batch, c_token, c_group = strides[6:12]
    at_b = np.empty(CHUNK, np.int64)
    at_c = np.empty(CHUNK, np.int64)
    dt, x, y = 0, _PLANE, 2 * _PLANE
    channels = groups * width
    n_chunks = (length + CHUNK - 1) // CHUNK
    for chunk in range(chunks[0], chunks[1]):
        start = chunk * CHUNK
        steps = min(CHUNK, length - start)
        row = -1
        for item in range(items[0], items[1]):
            if item // blocks != row:
                row = item // blocks
                batch, group = row // groups, row % groups
                for t in range(steps):
                    at_b[t] = batch * b_batch + group * b_group + (start + t) * b_token
                    at_c[t] = batch * c_batch + group * c_group + (start + t) * c_token
            block = item % blocks
            lanes = min(LANES, width - block * LANES)
            channel = group * width + block * LANES
            skip = load_lanes(D, channel, lanes)
            shift = load_lanes(bias, channel, lanes)
            for t in range(steps):
                u_at = batch * u_batch + (start + t) * u_token + channel
                delta_at = batch * delta_batch + (start + t) * delta_token + channel
                prefetch(u, u_at + CHUNK * u_token)
                prefetch(delta, delta_at + CHUNK * delta_token)
                ut = load_lanes(u, u_at, lanes)
                d = add(load_lanes(delta, delta_at, lanes), shift)
                if soft:
                    d = softplus(d)
                store(scratch, dt + t * _ROW, d)
                store(scratch, x + t * _ROW, mul(d, ut))
                store(scratch, y + t * _ROW, mul(skip, ut))
            for n in range(0, states, 4):
                h_at = (item * states + n) * _ROW
                a_at = ((group * blocks + block) * states + n) * _ROW
                if keep:
                    k_at = (((row * n_chunks + chunk) * blocks + block) * states + n) * _ROW
                    for j in range(4):
                        store(kept, k_at + j * _ROW, load(state, h_at + j * _ROW))
                _advance(steps, at_b, at_c, n, dt, x, y, scratch, state, h_at, rates, a_at, B, C)
            for t in range(steps):
                yt = load(scratch, y + t * _ROW)
                if gated:
                    z_at = batch * z_batch + (start + t) * z_token + channel
                    prefetch(z, z_at + CHUNK * z_token)
                    zt = load_lanes(z, z_at, lanes)
                    yt = mul(yt, mul(zt, sigmoid(zt)))
                store_lanes(out, (batch * length + start + t) * channels + channel, yt, lanes)


@njit(**_options)
def backward_range(
    shape, strides, items, chunks, gated, soft, u, delta, z, B, C, D, bias, rates, kept, dout,
    adjoint, du, ddelta, dz, d_rates, dD, dbias, dB, dC, scratch,
):  # fmt: skip
    """Gradients of ``items`` over ``chunks`` (first, last), last chunk first; ``adjoint`` is carried.

    ``d_rates``, ``dD``, ``dbias`` accumulate one vector an item (and state). ``dB`` and ``dC`` get this call's sum over
    its channels, laid out (row, chunk - first, state / 4, CHUNK, 4).
    """
    length, blocks, width, groups, states = shape
    u_batch, u_token, delta_batch, delta_token, z_batch, z_token = strides[:6]
    b_batch, b_token, b_group, c_batch, c_token, c_group = strides[6:12]
    g_batch, g_token = strides[12:14]
    at_b = np.empty(CHUNK, np.int64)
    at_c = np.empty(CHUNK, np.int64)
    dt, x, y, slope, ug = 0, _PLANE, 2 * _PLANE, 3 * _PLANE, 4 * _PLANE
    dy, dx, dd, dg = 5 * _PLANE, 6 * _PLANE, 7 * _PLANE, 8 * _PLANE
    decay, carried, weighted = 9 * _PLANE, 13 * _PLANE, 17 * _PLANE
    channels = groups * width
    n_chunks = (length + CHUNK - 1) // CHUNK
    for chunk in range(chunks[1] - 1, chunks[0] - 1, -1):
        start = chunk * CHUNK
        steps = min(CHUNK, length - start)
        row = -1
        for item in range(items[0], items[1]):
            fresh = item // blocks != row
            if fresh:
                row = item // blocks
                batch, group = row // groups, row % groups
                for t in range(steps):
                    at_b[t] = batch * b_batch + group * b_group + (start + t) * b_token
                    at_c[t] = batch * c_batch + group * c_group + (start + t) * c_token
            block = item % blocks
            lanes = min(LANES, width - block * LANES)
            channel = group * width + block * LANES
            skip = load_lanes(D, channel, lanes)
            shift = load_lanes(bias, channel, lanes)
            sum_dD = load(dD, item * _ROW)
            for t in range(steps):
                u_at = batch * u_batch + (start + t) * u_token + channel
                delta_at = batch * delta_batch + (start + t) * delta_token + channel
                g_at = batch * g_batch + (start + t) * g_token + channel
                prefetch(u, u_at - CHUNK * u_token)
                prefetch(delta, delta_at - CHUNK * delta_token)
                prefetch(dout, g_at - CHUNK * g_token)
                ut = load_lanes(u, u_at, lanes)
                raw = add(load_lanes(delta, delta_at, lanes), shift)
                gt = load_lanes(dout, g_at, lanes)
                d = raw
                if soft:
                    d = softplus(raw)
                    store(scratch, slope + t * _ROW, sigmoid(raw))
                store(scratch, dt + t * _ROW, d)
                store(scratch, x + t * _ROW, mul(d, ut))
                store(scratch, ug + t * _ROW, ut)
                store(scratch, y + t * _ROW, mul(skip, ut))
                if gated:
                    z_at = batch * z_batch + (start + t) * z_token + channel
                    prefetch(z, z_at - CHUNK * z_token)
                    zt = load_lanes(z, z_at, lanes)
                    s = sigmoid(zt)
                    # d(z s)/dz = s + z s (1 - s)
                    zs = mul(zt, s)
                    store(scratch, dg + t * _ROW, mul(gt, fma(zs, sub_from_one(s), s)))
                    gt = mul(gt, zs)
                store(scratch, dy + t * _ROW, gt)
                store(scratch, dx + t * _ROW, zero())
                store(scratch, dd + t * _ROW, zero())
                sum_dD = fma(gt, ut, sum_dD)
            store(dD, item * _ROW, sum_dD)
            for n in range(0, states, 4):
                h_at = (item * states + n) * _ROW
                a_at = ((group * blocks + block) * states + n) * _ROW
                k_at = (((row * n_chunks + chunk) * blocks + block) * states + n) * _ROW
                _recompute(
                    steps, at_b, at_c, n, dt, x, y, dy, decay, carried, weighted, scratch, kept, k_at, rates,
                    a_at, B, C,
                )  # fmt: skip
                _retreat(
                    steps, at_b, at_c, n, dt, x, dy, dx, dd, decay, carried, scratch, adjoint, d_rates,
                    h_at, rates, a_at, B, C,
                )  # fmt: skip
                # Four tokens by four states make one vector of sums.
                s_at = ((row * (chunks[1] - chunks[0]) + chunk - chunks[0]) * states + n) * CHUNK
                for t in range(0, steps, 4):
                    vb = sum_rows(scratch, decay + 4 * t * _ROW)
                    vc = sum_rows(scratch, weighted + 4 * t * _ROW)
                    if not fresh:
                        vb = add(vb, load(dB, s_at + 4 * t))
                        vc = add(vc, load(dC, s_at + 4 * t))
                    store(dB, s_at + 4 * t, vb)
                    store(dC, s_at + 4 * t, vc)
            sum_bias = load(dbias, item * _ROW)
            for t in range(steps):
                at = (batch * length + start + t) * channels + channel
                dxt = load(scratch, dx + t * _ROW)
                ddt = fma(dxt, load(scratch, ug + t * _ROW), scale(load(scratch, dd + t * _ROW), _LN2))
                if soft:
                    ddt = mul(ddt, load(scratch, slope + t * _ROW))
                sum_bias = add(sum_bias, ddt)
                store_lanes(ddelta, at, ddt, lanes)
                dut = fma(load(scratch, dt + t * _ROW), dxt, mul(skip, load(scratch, dy + t * _ROW)))
                store_lanes(du, at, dut, lanes)
                if gated:
                    dzt = mul(load(scratch, dg + t * _ROW), load(scratch, y + t * _ROW))
                    store_lanes(dz, at, dzt, lanes)
            store(dbias, item * _ROW, sum_bias)


@njit(**_options)
def gather(shape, true_states, chunks, tokens, splits, partial, total):
    """Add the workers' partial sums of dB (or dC), in the workers' order, into ``total`` (row, token, state).

    ``partial`` is (worker, row, chunk, state / 4, CHUNK, 4), ``splits[w] : splits[w + 1]`` the items of worker w;
    ``tokens`` (first, last) bounds what this call writes.
    """
    length, blocks, _, _, states = shape
    rows = splits[-1] // blocks
    span = (chunks[1] - chunks[0]) * states * CHUNK
    whole = true_states // 4 * 4
    for row in range(rows):
        first = True
        for w in range(len(splits) - 1):
            if splits[w] >= (row + 1) * blocks or splits[w + 1] <= row * blocks:
                continue  # none of the row's channels were this worker's
            for token in range(tokens[0], tokens[1]):
                chunk = token // CHUNK
                at = (w * rows + row) * span + (chunk - chunks[0]) * states * CHUNK + 4 * (token - chunk * CHUNK)
                to = (row * length + token) * true_states
                for n in range(0, whole, 4):
                    copy_four(total, to + n, partial, at + n * CHUNK, first)
                for n in range(whole, true_states):
                    value = partial[at + whole * CHUNK + n - whole]
                    total[to + n] = value if first else total[to + n] + value
            first = False
