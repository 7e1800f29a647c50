"""The scan backward by recomputation, for sixteen channels at a time; vocabulary as in ``forward_kernel``."""

import numpy as np
from numba import njit

from segmamba.native.simd import (
    LANES,
    OPTIONS,
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
from segmamba.scan.cpu.forward_kernel import read_steps
from segmamba.scan.cpu.place_kernel import place
from segmamba.scan.cpu.sizes import CHUNK

_ROW = LANES
_PLANE = CHUNK * LANES
_LN2 = np.float32(0.6931471805599453)


@njit(**OPTIONS)
def _recompute(
    steps,
    b_at,
    b_token,
    c_at,
    c_token,
    dt,
    x,
    y,
    dy,
    decay,
    carried,
    weighted,
    scratch,
    states,
    h_at,
    rates,
    a_at,
    B,
    C,
):
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
        b = b_at + t * b_token
        c = c_at + t * c_token
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


@njit(**OPTIONS)
def _retreat(
    steps,
    b_at,
    b_token,
    c_at,
    c_token,
    dt,
    x,
    dy,
    dx,
    dd,
    decay,
    carried,
    scratch,
    adjoint,
    d_rates,
    h_at,
    rates,
    a_at,
    B,
    C,
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
        b = b_at + t * b_token
        c = c_at + t * c_token
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


@njit(**OPTIONS)
def backward_range(
    shape, strides, items, kept_at, order, flags, u, delta, weight, z, B, C, D, bias, rates, kept, dout,
    adjoint, du, ddelta, dz, d_rates, dD, dbias, dB, dC, scratch, places,
):  # fmt: skip
    """Gradients of ``items`` (first, last) over a span, last chunk first; ``adjoint`` is carried.

    ``d_rates``, ``dD``, ``dbias`` accumulate one vector an item (and state). ``dB`` and ``dC`` get this call's sum over
    its channels, laid out (row, chunk, state / 4, CHUNK, 4).

    Args:
        shape, items, kept_at: as of ``forward_range``.
        strides: in elements, (batch, token) of u, delta, z, dout and of du, ddelta, dz; (batch, token, group) of B, C.
        order: where the span's tokens lie in dout.
        flags: gate, softplus.
    """
    length, blocks, width, groups, states, rank = shape
    u_batch, u_token, delta_batch, delta_token, z_batch, z_token, g_batch, g_token, o_batch, o_token = strides[:10]
    b_batch, b_token, b_group, c_batch, c_token, c_group = strides[10:]
    gated, soft = flags
    begin, total, backwards, run, full, rest = order
    dt, x, y, slope, ug = 0, _PLANE, 2 * _PLANE, 3 * _PLANE, 4 * _PLANE
    dy, dx, dd, dg = 5 * _PLANE, 6 * _PLANE, 7 * _PLANE, 8 * _PLANE
    decay, carried, weighted = 9 * _PLANE, 13 * _PLANE, 17 * _PLANE
    channels = groups * width
    chunks = (length + CHUNK - 1) // CHUNK
    for chunk in range(chunks - 1, -1, -1):
        start = chunk * CHUNK
        steps = min(CHUNK, length - start)
        for t in range(steps):
            places[t] = place(begin + start + t, total, backwards, run, full, rest)
        last_row = -1
        for item in range(items[0], items[1]):
            row, block = item // blocks, item % blocks
            fresh = row != last_row
            last_row = row
            batch, group = row // groups, row % groups
            lanes = min(LANES, width - block * LANES)
            channel = group * width + block * LANES
            skip = load_lanes(D, channel, lanes)
            shift = load_lanes(bias, channel, lanes)
            sum_dD = load(dD, item * _ROW)
            u_at = batch * u_batch + start * u_token + channel
            z_at = batch * z_batch + start * z_token + channel
            delta_at = batch * delta_batch + start * delta_token
            if rank == 0:
                delta_at += channel
                for t in range(steps):
                    prefetch(delta, delta_at + (t - CHUNK) * delta_token)
            read_steps(delta, delta_at, delta_token, steps, lanes, rank, weight, channels, channel, shift, scratch, dt)
            for t in range(steps):
                prefetch(u, u_at + (t - CHUNK) * u_token)
                ut = load_lanes(u, u_at + t * u_token, lanes)
                gt = load_lanes(dout, batch * g_batch + places[t] * g_token + channel, lanes)
                d = load(scratch, dt + t * _ROW)
                if soft:
                    store(scratch, slope + t * _ROW, sigmoid(d))
                    d = softplus(d)
                    store(scratch, dt + t * _ROW, d)
                store(scratch, x + t * _ROW, mul(d, ut))
                store(scratch, ug + t * _ROW, ut)
                store(scratch, y + t * _ROW, mul(skip, ut))
                if gated:
                    prefetch(z, z_at + (t - CHUNK) * z_token)
                    zt = load_lanes(z, z_at + t * z_token, lanes)
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
            b_at = batch * b_batch + group * b_group + start * b_token
            c_at = batch * c_batch + group * c_group + start * c_token
            for n in range(0, states, 4):
                h_at = (item * states + n) * _ROW
                a_at = ((group * blocks + block) * states + n) * _ROW
                k_at = (((row * kept_at[1] + kept_at[0] + chunk) * blocks + block) * states + n) * _ROW
                _recompute(
                    steps, b_at + n, b_token, c_at + n, c_token, dt, x, y, dy, decay, carried, weighted, scratch,
                    kept, k_at, rates, a_at, B, C,
                )  # fmt: skip
                _retreat(
                    steps, b_at + n, b_token, c_at + n, c_token, dt, x, dy, dx, dd, decay, carried, scratch, adjoint,
                    d_rates, h_at, rates, a_at, B, C,
                )  # fmt: skip
                # Four tokens by four states make one vector of sums.
                s_at = ((row * chunks + chunk) * states + n) * CHUNK
                for t in range(0, steps, 4):
                    vb = sum_rows(scratch, decay + 4 * t * _ROW)
                    vc = sum_rows(scratch, weighted + 4 * t * _ROW)
                    if not fresh:
                        vb = add(vb, load(dB, s_at + 4 * t))
                        vc = add(vc, load(dC, s_at + 4 * t))
                    store(dB, s_at + 4 * t, vb)
                    store(dC, s_at + 4 * t, vc)
            sum_bias = load(dbias, item * _ROW)
            o_at = batch * o_batch + start * o_token + channel
            for t in range(steps):
                dxt = load(scratch, dx + t * _ROW)
                ddt = fma(dxt, load(scratch, ug + t * _ROW), scale(load(scratch, dd + t * _ROW), _LN2))
                if soft:
                    ddt = mul(ddt, load(scratch, slope + t * _ROW))
                sum_bias = add(sum_bias, ddt)
                store_lanes(ddelta, o_at + t * o_token, ddt, lanes)
                dut = fma(load(scratch, dt + t * _ROW), dxt, mul(skip, load(scratch, dy + t * _ROW)))
                store_lanes(du, o_at + t * o_token, dut, lanes)
                if gated:
                    dzt = mul(load(scratch, dg + t * _ROW), load(scratch, y + t * _ROW))
                    store_lanes(dz, o_at + t * o_token, dzt, lanes)
            store(dbias, item * _ROW, sum_bias)


@njit(**OPTIONS)
def gather(
    rows, chunks, states, true_states, workers, first, last, partial, worker_part, skip,
    total, at_total, row_stride, token_stride,
):  # fmt: skip
    """Sum the workers' parts of dB (or dC), in the workers' order, into ``total``: tokens ``first`` to ``last``.

    ``partial`` is (worker, row, chunk, state / 4, CHUNK, 4), a worker's part ``worker_part`` long; ``skip`` tells, for
    each worker and row, whether none of the row's channels were this worker's.
    """
    span = chunks * states * CHUNK
    whole = true_states // 4 * 4
    for row in range(rows):
        fresh = True
        for w in range(workers):
            if skip[w * rows + row] != 0:
                continue
            for token in range(first, last):
                chunk = token // CHUNK
                at = w * worker_part + row * span + chunk * states * CHUNK + 4 * (token - chunk * CHUNK)
                to = at_total + row * row_stride + token * token_stride
                for n in range(0, whole, 4):
                    copy_four(total, to + n, partial, at + n * CHUNK, fresh)
                for n in range(whole, true_states):
                    value = partial[at + whole * CHUNK + n - whole]
                    total[to + n] = value if fresh else total[to + n] + value
            fresh = False
