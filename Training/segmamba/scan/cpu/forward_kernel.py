"""The scan forward, for sixteen channels at a time: what a sequence, or a span of a longer one, is moved through.

Vocabulary. A *row* is one (batch, group) pair. The channels of a row are cut into *blocks* of sixteen lanes, the last
one perhaps partly filled; a (row, block) pair is an *item*, numbered row-major. Time is cut into chunks of ``CHUNK``
tokens; the state at the start of every chunk is the checkpoint from which backward recomputes the chunk. States are
padded to a multiple of four (with A = B = C = 0 they stay zero) and handled four at a time, because four independent
chains hide the latency of the recurrence and their factors stay in registers.

A call covers a range of items, with the carried state in memory of the caller: so work is divided by items, and a
sequence can be cut into spans.  All memory is given as pointers; all offsets are 64-bit.
"""

from numba import njit

from segmamba.native.simd import (
    LANES,
    OPTIONS,
    add,
    exp2_product,
    flush,
    fma_at,
    load,
    load_bf16_lanes,
    load_lanes,
    mul,
    prefetch,
    sigmoid,
    softplus,
    store,
    store_bf16_lanes,
    store_lanes,
)
from segmamba.scan.cpu.place_kernel import place
from segmamba.scan.cpu.sizes import CHUNK

_ROW = LANES
_PLANE = CHUNK * LANES


@njit(**OPTIONS)
def read_steps(delta, at, token, steps, lanes, rank, weight, channels, channel, shift, scratch, dt):
    """Rows of delta before softplus: read, or (``rank`` > 0) projected from the ranks that ``delta`` then holds.

    ``weight`` is dt_proj's, (rank, channels): the product of a chunk needs no memory beyond the cache.
    """
    if rank == 0:
        for t in range(steps):
            store(scratch, dt + t * _ROW, add(load_lanes(delta, at + t * token, lanes), shift))
        return
    for t in range(steps):
        store(scratch, dt + t * _ROW, shift)
    for r in range(0, rank - rank % 3, 3):
        w0 = load_lanes(weight, r * channels + channel, lanes)
        w1 = load_lanes(weight, (r + 1) * channels + channel, lanes)
        w2 = load_lanes(weight, (r + 2) * channels + channel, lanes)
        for t in range(steps):
            d = load(scratch, dt + t * _ROW)
            d = fma_at(w0, delta, at + t * token + r, d)
            d = fma_at(w1, delta, at + t * token + r + 1, d)
            d = fma_at(w2, delta, at + t * token + r + 2, d)
            store(scratch, dt + t * _ROW, d)
    for r in range(rank - rank % 3, rank):
        w0 = load_lanes(weight, r * channels + channel, lanes)
        for t in range(steps):
            d = fma_at(w0, delta, at + t * token + r, load(scratch, dt + t * _ROW))
            store(scratch, dt + t * _ROW, d)


@njit(**OPTIONS)
def _advance(steps, b_at, b_token, c_at, c_token, dt, x, y, scratch, state, h_at, rates, a_at, B, C):
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
        b = b_at + t * b_token
        c = c_at + t * c_token
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


@njit(**OPTIONS)
def forward_range(
    shape, strides, items, kept_at, order, flags, u, delta, weight, z, z_half, B, C, D, bias, rates,
    state, kept, out, gated_out, gated_half, scratch, places,
):  # fmt: skip
    """Scan ``items`` (first, last) over a span; ``state`` is carried, ``kept`` gets checkpoints.

    Args:
        shape: length of the span, blocks, width = channels of a row, groups, padded states, rank of dt_proj or 0.
        strides: in elements, (batch, token) of u, delta, z and out, (batch, token, group) of B and C.
        kept_at: the span's first chunk, and chunks of the whole sequence.
        order: where the span's tokens lie in z and out: first token of the span, then ``orders.place``'s.
        flags: gate, softplus, keep checkpoints, add to out, output of the gate apart, z in bf16, that output in bf16.
    """
    length, blocks, width, groups, states, rank = shape
    u_batch, u_token, delta_batch, delta_token, z_batch, z_token, o_batch, o_token = strides[:8]
    b_batch, b_token, b_group, c_batch, c_token, c_group = strides[8:]
    gated, soft, keep, accumulate, apart, halves, halves_out = flags
    begin, total, backwards, run, full, rest = order
    dt, x, y = 0, _PLANE, 2 * _PLANE
    channels = groups * width
    for chunk in range((length + CHUNK - 1) // CHUNK):
        start = chunk * CHUNK
        steps = min(CHUNK, length - start)
        for t in range(steps):
            places[t] = place(begin + start + t, total, backwards, run, full, rest)
        for item in range(items[0], items[1]):
            row, block = item // blocks, item % blocks
            batch, group = row // groups, row % groups
            lanes = min(LANES, width - block * LANES)
            channel = group * width + block * LANES
            skip = load_lanes(D, channel, lanes)
            shift = load_lanes(bias, channel, lanes)
            u_at = batch * u_batch + start * u_token + channel
            delta_at = batch * delta_batch + start * delta_token
            if rank == 0:
                delta_at += channel
                for t in range(steps):
                    prefetch(delta, delta_at + (t + CHUNK) * delta_token)
            read_steps(delta, delta_at, delta_token, steps, lanes, rank, weight, channels, channel, shift, scratch, dt)
            for t in range(steps):
                prefetch(u, u_at + (t + CHUNK) * u_token)
                ut = load_lanes(u, u_at + t * u_token, lanes)
                d = load(scratch, dt + t * _ROW)
                if soft:
                    d = softplus(d)
                    store(scratch, dt + t * _ROW, d)
                store(scratch, x + t * _ROW, mul(d, ut))
                store(scratch, y + t * _ROW, mul(skip, ut))
            b_at = batch * b_batch + group * b_group + start * b_token
            c_at = batch * c_batch + group * c_group + start * c_token
            for n in range(0, states, 4):
                h_at = (item * states + n) * _ROW
                a_at = ((group * blocks + block) * states + n) * _ROW
                if keep:
                    k_at = (((row * kept_at[1] + kept_at[0] + chunk) * blocks + block) * states + n) * _ROW
                    for j in range(4):
                        store(kept, k_at + j * _ROW, load(state, h_at + j * _ROW))
                _advance(steps, b_at + n, b_token, c_at + n, c_token, dt, x, y, scratch, state, h_at, rates, a_at, B, C)
            for t in range(steps):
                yt = load(scratch, y + t * _ROW)
                o_at = batch * o_batch + places[t] * o_token + channel
                if accumulate:
                    yt = add(yt, load_lanes(out, o_at, lanes))
                if gated:
                    z_at = batch * z_batch + places[t] * z_token + channel
                    zt = load_bf16_lanes(z_half, z_at, lanes) if halves else load_lanes(z, z_at, lanes)
                    gt = mul(yt, mul(zt, sigmoid(zt)))
                    if apart:
                        store_lanes(out, o_at, yt, lanes)
                    if halves_out:
                        store_bf16_lanes(gated_half, o_at, gt, lanes)
                    else:
                        store_lanes(gated_out, o_at, gt, lanes)
                else:
                    store_lanes(out, o_at, yt, lanes)
