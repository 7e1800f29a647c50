"""numba kernels of instance and group norm on channels-last maps, for sixteen channels at a time: the way there.

A map is (batch, tokens, channels) of float32 or bf16 with adjacent channels; statistics and arithmetic are in
float32 about a value of the map itself, sums over more than a tile in float64: the error does not grow with the map's
size or mean.  With n = (x - mean) * rstd * weight + bias and a second map r, the output is one of

- ``PLAIN``: act(n),
- ``BEFORE``: act(n + r'), where r' is r, or r normalised by statistics of its own,
- ``AFTER``: act(n) + r.

The table of a map is float32 rows (mean, scale, offset) of ``padded`` channels, a multiple of sixteen, so that
n = (x - mean) * scale + offset.  The mean is rounded to float32 and its rest is in the offset, without which a large
mean would show in n.

An entry is a function of one pointer to integers, which ``norm_cpu`` names: sizes, strides, addresses.
"""

from math import sqrt

import numpy as np
from numba import njit

from segmamba.native.simd import OPTIONS, add, bf16s, floats, fma, load, load_lanes, prefetch, zero
from segmamba.native.simd_norm import add_moments, difference, double_of_bits, doubles, leaky, read, write
from segmamba.networks.norm_modes import AFTER, AHEAD, LANES, PLAIN, SHORT, TILE


@njit(**OPTIONS)
def moments_range(channels, padded, first, last, x, at, stride, origin, sums):
    """Adds the tokens' sums about ``origin`` (channels) to ``sums``: (2, padded) float64, of x and of x squared."""
    for start in range(first, last, TILE):
        stop = min(start + TILE, last)
        for c in range(0, channels, LANES):
            lanes = min(LANES, channels - c)
            # About a token of the same tile: the sums then lose little even where values far off begin.
            shift = read(x, at + start * stride + c, lanes)
            s0, q0, s1, q1 = zero(), zero(), zero(), zero()
            i = at + start * stride + c
            for _ in range((stop - start) // 2):
                prefetch(x, i + AHEAD * stride)
                prefetch(x, i + (AHEAD + 1) * stride)
                a = difference(read(x, i, lanes), shift)
                b = difference(read(x, i + stride, lanes), shift)
                s0, q0 = add(s0, a), fma(a, a, q0)
                s1, q1 = add(s1, b), fma(b, b, q1)
                i += 2 * stride
            if (stop - start) % 2:
                a = difference(read(x, i, lanes), shift)
                s0, q0 = add(s0, a), fma(a, a, q0)
            base = load_lanes(origin, c, lanes)
            add_moments(sums, c, padded + c, stop - start, shift, base, add(s0, s1), add(q0, q1))


@njit(**OPTIONS)
def apply_range(channels, padded, first, last, mode, slope, x, at, stride, table, r, r_at, r_stride, r_table, y, y_at):
    """The tokens' output; ``y`` is dense and may be x's own memory, ``r_table`` makes r'."""
    for start in range(first, last, SHORT):
        stop = min(start + SHORT, last)
        for c in range(0, channels, LANES):
            lanes = min(LANES, channels - c)
            mean, scale, offset = load(table, c), load(table, padded + c), load(table, 2 * padded + c)
            r_mean, r_scale, r_offset = load(r_table, c), load(r_table, padded + c), load(r_table, 2 * padded + c)
            for t in range(start, stop):
                prefetch(x, at + (t + AHEAD) * stride + c)
                v = fma(difference(read(x, at + t * stride + c, lanes), mean), scale, offset)
                if mode == PLAIN:
                    v = leaky(v, slope)
                else:
                    prefetch(r, r_at + (t + AHEAD) * r_stride + c)
                    other = read(r, r_at + t * r_stride + c, lanes)
                    if mode == AFTER:
                        v = add(leaky(v, slope), other)
                    else:
                        v = leaky(add(v, fma(difference(other, r_mean), r_scale, r_offset)), slope)
                write(y, y_at + t * channels + c, v, lanes)


@njit(**OPTIONS)
def fill_tables(batch, tokens, channels, padded, groups, workers, eps, origin, sums, weight, bias, table, rstd, rest):
    """Fills ``table`` (batch, 3, padded) from the workers' ``sums`` (workers, batch, 2, padded).

    Also kept for the way back, in float64 (batch, channels): rstd and what the rounding of the mean left.
    """
    width = channels // groups
    for b in range(batch):
        for c in range(channels):
            # Sums of the first worker become each channel's mean about its origin, and squared deviation.
            i = b * 2 * padded + c
            for w in range(1, workers):
                sums[i] += sums[w * batch * 2 * padded + i]
                sums[i + padded] += sums[w * batch * 2 * padded + i + padded]
            mean = sums[i] / tokens
            sums[i + padded] -= tokens * mean * mean
            sums[i] = origin[b * channels + c] + mean
        for g in range(groups):
            i = b * 2 * padded + g * width
            mean = 0.0
            for c in range(width):
                mean += sums[i + c]
            mean /= width
            squares = 0.0
            for c in range(width):
                d = sums[i + c] - mean
                squares += sums[i + c + padded] + tokens * d * d
            if squares < 0.0:  # written so that a NaN stays
                squares = 0.0
            inverse = 1.0 / sqrt(squares / (tokens * width) + eps)
            for c in range(g * width, (g + 1) * width):
                t = b * 3 * padded + c
                table[t] = mean
                left = mean - table[t]
                scale = inverse * weight[c]
                table[t + padded] = scale
                table[t + 2 * padded] = bias[c] - left * scale
                rstd[b * channels + c] = inverse
                rest[b * channels + c] = left


def moments(p):
    """``moments_range`` of float32 or, if the first integer says so, bf16."""
    origin, sums = floats(p[8]), doubles(p[9])
    if p[0] != 0:
        moments_range(p[1], p[2], p[3], p[4], bf16s(p[5]), p[6], p[7], origin, sums)
    else:
        moments_range(p[1], p[2], p[3], p[4], floats(p[5]), p[6], p[7], origin, sums)


def apply(p):
    """``apply_range`` of float32 or, if the first integer says so, bf16."""
    slope, table, r_table = np.float32(double_of_bits(p[6])), floats(p[10]), floats(p[14])
    if p[0] != 0:
        apply_range(
            p[1], p[2], p[3], p[4], p[5], slope, bf16s(p[7]), p[8], p[9], table,
            bf16s(p[11]), p[12], p[13], r_table, bf16s(p[15]), p[16],
        )  # fmt: skip
    else:
        apply_range(
            p[1], p[2], p[3], p[4], p[5], slope, floats(p[7]), p[8], p[9], table,
            floats(p[11]), p[12], p[13], r_table, floats(p[15]), p[16],
        )  # fmt: skip


def forward_tables(p):
    """``fill_tables``."""
    fill_tables(
        p[0], p[1], p[2], p[3], p[4], p[5], double_of_bits(p[6]), floats(p[7]), doubles(p[8]), floats(p[9]),
        floats(p[10]), floats(p[11]), doubles(p[12]), doubles(p[13]),
    )  # fmt: skip


ENTRIES = (moments, apply, forward_tables)
