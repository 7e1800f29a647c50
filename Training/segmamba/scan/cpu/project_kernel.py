"""The way back through the projections of a mixer, and through its gate; all of them by spans of tokens."""

from numba import njit

from segmamba.native.simd import (
    LANES,
    OPTIONS,
    fma,
    load_bf16_lanes,
    load_lanes,
    mul,
    sigmoid,
    store_lanes,
    sub_from_one,
)
from segmamba.scan.cpu.backward_kernel import gather
from segmamba.scan.cpu.product_kernel import multiply
from segmamba.scan.cpu.sizes import TILE


@njit(**OPTIONS)
def project_back_range(
    padded, rank, states, worker_part, vectors, rank_vectors, chunks, workers, first, last, skip, partial_b, partial_c,
    u, ddelta, du, projected, dprojected, dt_weight, x_weight, d_dt_weight, d_x_weight,
):  # fmt: skip
    """From the gradients of delta, B and C to those of u and of the projections' weights, tokens ``first`` to ``last``.

    Everything is of one sequence's span: u, ddelta, du (length, padded); projected and its gradient (length,
    16 * vectors): rank, B, C.  ``partial_b`` and ``partial_c`` are the workers' parts as ``gather`` reads them.
    dt_weight is (padded, 16 * rank_vectors); x_weight and the gradients of weights have rows of ``padded`` columns.
    du and the gradients of the weights are added to.  A worker's part of all sequences is ``worker_part`` long.
    """
    wide = vectors * LANES
    depth = rank + 2 * states
    for start in range(first, last, TILE):
        stop = min(start + TILE, last)
        rows = stop - start
        at, at_p = start * padded, start * wide
        # Its last columns are of no meaning, and overwritten by dB's.
        multiply(
            rows, rank_vectors, padded, ddelta, at, padded, 1, dt_weight, 0, rank_vectors * LANES,
            dprojected, at_p, wide, True,
        )  # fmt: skip
        gather(
            1, chunks, states, states, workers, start, stop, partial_b, worker_part, skip, dprojected, rank, 0, wide
        )  # fmt: skip
        gather(
            1, chunks, states, states, workers, start, stop, partial_c, worker_part, skip,
            dprojected, rank + states, 0, wide,
        )  # fmt: skip
        multiply(
            rows, padded // LANES, depth, dprojected, at_p, wide, 1, x_weight, 0, padded, du, at, padded, False
        )  # fmt: skip
        multiply(
            depth, padded // LANES, rows, dprojected, at_p, 1, wide, u, at, padded, d_x_weight, 0, padded, False
        )  # fmt: skip
        multiply(
            rank, padded // LANES, rows, projected, at_p, 1, wide, ddelta, at, padded, d_dt_weight, 0, padded, False
        )  # fmt: skip


@njit(**OPTIONS)
def gate_back_range(channels, first, last, halves, dout, dout_token, z, z_half, z_token, y, y_token, to, to_token):
    """``to`` = dout SiLU(z), or where there is a y (``y_token`` > 0), dout y SiLU'(z); tokens ``first`` to ``last``."""
    for t in range(first, last):
        for c in range(0, channels, LANES):
            lanes = min(LANES, channels - c)
            at = t * z_token + c
            zt = load_bf16_lanes(z_half, at, lanes) if halves else load_lanes(z, at, lanes)
            s = sigmoid(zt)
            zs = mul(zt, s)
            factor = zs
            if y_token > 0:
                # d(z s)/dz = s + z s (1 - s)
                factor = mul(fma(zs, sub_from_one(s), s), load_lanes(y, t * y_token + c, lanes))
            store_lanes(to, t * to_token + c, mul(load_lanes(dout, t * dout_token + c, lanes), factor), lanes)
