"""numba kernels of instance and group norm on channels-last maps: the way back of ``norm_forward``.

The table of a map is float32 rows (mean, p, q, s) of ``padded`` channels, so that dx = p g + q (x - mean) + s, where g
is the gradient before the activation: rstd * (w g - mean of w g - xhat * mean of w g xhat), with what does not depend
on the voxel taken together.
"""

import numpy as np
from numba import njit

from segmamba.native.simd import OPTIONS, add, bf16s, floats, fma, load, prefetch, zero
from segmamba.native.simd_norm import add_wide, difference, double_of_bits, doubles, leaky_gradient, read, write
from segmamba.networks.norm_modes import AHEAD, BEFORE, LANES, SHORT, TILE


@njit(**OPTIONS)
def _gradient(v, offset, scale, y, i, ahead, mode, slope, g, lanes):
    """The gradient before the activation; v is x - mean, or with ``BEFORE`` the output stands in y."""
    if mode == BEFORE:
        prefetch(y, i + ahead)
        return leaky_gradient(g, read(y, i, lanes), slope)
    return leaky_gradient(g, fma(v, scale, offset), slope)


@njit(**OPTIONS)
def gradient_sums_range(
    channels, padded, first, last, mode, slope, normed, x, at, stride, table, r, r_at, r_stride, r_table, y, dy, y_at,
    sums,
):  # fmt: skip
    """Adds to ``sums``, (3, padded) float64: those of g, g (x - mean) and, if ``normed``, g (r - mean of r)."""
    for start in range(first, last, TILE):
        stop = min(start + TILE, last)
        for c in range(0, channels, LANES):
            lanes = min(LANES, channels - c)
            mean, scale, offset = load(table, c), load(table, padded + c), load(table, 2 * padded + c)
            r_mean = load(r_table, c)
            s, sx, sr = zero(), zero(), zero()
            for t in range(start, stop):
                i = y_at + t * channels + c
                prefetch(x, at + (t + AHEAD) * stride + c)
                prefetch(dy, i + AHEAD * channels)
                v = difference(read(x, at + t * stride + c, lanes), mean)
                g = _gradient(v, offset, scale, y, i, AHEAD * channels, mode, slope, read(dy, i, lanes), lanes)
                s, sx = add(s, g), fma(g, v, sx)
                if normed:
                    sr = fma(g, difference(read(r, r_at + t * r_stride + c, lanes), r_mean), sr)
            add_wide(sums, c, s)
            add_wide(sums, padded + c, sx)
            if normed:
                add_wide(sums, 2 * padded + c, sr)


@njit(**OPTIONS)
def gradient_range(
    channels, padded, first, last, mode, slope, normed, x, at, stride, table, back, r, r_at, r_stride, r_back,
    y, dy, y_at, dx, dr,
):  # fmt: skip
    """Gradients of x and, with ``BEFORE``, of r; both dense like dy.  ``back`` and ``r_back`` as described above."""
    for start in range(first, last, SHORT):
        stop = min(start + SHORT, last)
        for c in range(0, channels, LANES):
            lanes = min(LANES, channels - c)
            mean, scale, offset = load(table, c), load(table, padded + c), load(table, 2 * padded + c)
            p, q, s = load(back, padded + c), load(back, 2 * padded + c), load(back, 3 * padded + c)
            r_mean, r_p = load(r_back, c), load(r_back, padded + c)
            r_q, r_s = load(r_back, 2 * padded + c), load(r_back, 3 * padded + c)
            for t in range(start, stop):
                i = y_at + t * channels + c
                prefetch(x, at + (t + AHEAD) * stride + c)
                prefetch(dy, i + AHEAD * channels)
                v = difference(read(x, at + t * stride + c, lanes), mean)
                g = _gradient(v, offset, scale, y, i, AHEAD * channels, mode, slope, read(dy, i, lanes), lanes)
                write(dx, i, fma(p, g, fma(q, v, s)), lanes)
                if mode == BEFORE:
                    if normed:
                        w = difference(read(r, r_at + t * r_stride + c, lanes), r_mean)
                        g = fma(r_p, g, fma(r_q, w, r_s))
                    write(dr, i, g, lanes)


@njit(**OPTIONS)
def fill_tables(
    batch, tokens, channels, padded, groups, workers, which, sums, weight, table, rstd, rest, back, gradients
):
    """Fills ``back`` (batch, 4, padded) from the workers' ``sums`` (workers, batch, 3, padded), rows 0 and ``which``.

    ``gradients``, (2, channels) float64 and zero before, get the gradients of weight and bias.
    """
    width = channels // groups
    count = tokens * width
    for b in range(batch):
        for g in range(groups):
            m1, m2 = 0.0, 0.0
            for c in range(g * width, (g + 1) * width):
                k = b * channels + c
                s, sx = 0.0, 0.0
                for w in range(workers):
                    i = (w * batch + b) * 3 * padded + c
                    s += sums[i]
                    sx += sums[i + which * padded]
                sx = (sx - rest[k] * s) * rstd[k]
                gradients[c] += sx
                gradients[channels + c] += s
                m1 += weight[c] * s
                m2 += weight[c] * sx
            m1 /= count
            m2 /= count
            for c in range(g * width, (g + 1) * width):
                k, t = b * channels + c, b * 4 * padded + c
                q = -rstd[k] * rstd[k] * m2
                back[t] = table[b * 3 * padded + c]
                back[t + padded] = rstd[k] * weight[c]
                back[t + 2 * padded] = q
                back[t + 3 * padded] = -rstd[k] * m1 - q * rest[k]


def gradient_sums(p):
    """``gradient_sums_range`` of float32 or, if the first integer says so, bf16."""
    slope, table, r_table, sums = np.float32(double_of_bits(p[6])), floats(p[11]), floats(p[15]), doubles(p[19])
    if p[0] != 0:
        gradient_sums_range(
            p[1], p[2], p[3], p[4], p[5], slope, p[7] != 0, bf16s(p[8]), p[9], p[10], table,
            bf16s(p[12]), p[13], p[14], r_table, bf16s(p[16]), bf16s(p[17]), p[18], sums,
        )  # fmt: skip
    else:
        gradient_sums_range(
            p[1], p[2], p[3], p[4], p[5], slope, p[7] != 0, floats(p[8]), p[9], p[10], table,
            floats(p[12]), p[13], p[14], r_table, floats(p[16]), floats(p[17]), p[18], sums,
        )  # fmt: skip


def gradient(p):
    """``gradient_range`` of float32 or, if the first integer says so, bf16."""
    slope, table, back, r_back = np.float32(double_of_bits(p[6])), floats(p[11]), floats(p[12]), floats(p[16])
    if p[0] != 0:
        gradient_range(
            p[1], p[2], p[3], p[4], p[5], slope, p[7] != 0, bf16s(p[8]), p[9], p[10], table, back,
            bf16s(p[13]), p[14], p[15], r_back, bf16s(p[17]), bf16s(p[18]), p[19], bf16s(p[20]), bf16s(p[21]),
        )  # fmt: skip
    else:
        gradient_range(
            p[1], p[2], p[3], p[4], p[5], slope, p[7] != 0, floats(p[8]), p[9], p[10], table, back,
            floats(p[13]), p[14], p[15], r_back, floats(p[17]), floats(p[18]), p[19], floats(p[20]), floats(p[21]),
        )  # fmt: skip


def backward_tables(p):
    """``fill_tables``."""
    fill_tables(
        p[0], p[1], p[2], p[3], p[4], p[5], p[6], doubles(p[7]), floats(p[8]), floats(p[9]), doubles(p[10]),
        doubles(p[11]), floats(p[12]), doubles(p[13]),
    )  # fmt: skip


ENTRIES = (gradient_sums, gradient, backward_tables)
