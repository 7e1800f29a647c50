"""A small matrix product for the projections of a mixer, which are narrow on one side.

torch's own would do, but each call costs more than such a product.
"""

from numba import njit

from segmamba.native.simd import LANES, OPTIONS, add, fma, load, splat_at, store, zero


@njit(**OPTIONS)
def multiply(rows, vectors, depth, a, a_at, a_row, a_depth, b, b_at, b_depth, c, c_at, c_row, fresh):
    """c[i, j] = (if ``fresh``) or += sum over k of a[i, k] b[k, j], j < 16 * vectors.

    ``a_at`` and so on say where a matrix begins, ``a_row`` and ``a_depth`` its strides; rows of b and c are adjacent.
    Six rows by two vectors stay in registers.  The last rows of six may be the same row: it is read before it is
    written, so that nothing is added twice.
    """
    for j in range(0, vectors - 1, 2):
        for i in range(0, rows, 6):
            i1, i2, i3 = min(i + 1, rows - 1), min(i + 2, rows - 1), min(i + 3, rows - 1)
            i4, i5 = min(i + 4, rows - 1), min(i + 5, rows - 1)
            at0, at1, at2 = a_at + i * a_row, a_at + i1 * a_row, a_at + i2 * a_row
            at3, at4, at5 = a_at + i3 * a_row, a_at + i4 * a_row, a_at + i5 * a_row
            p0, p1, p2, p3, p4, p5 = zero(), zero(), zero(), zero(), zero(), zero()
            q0, q1, q2, q3, q4, q5 = zero(), zero(), zero(), zero(), zero(), zero()
            at_b = b_at + j * LANES
            for k in range(depth):
                x, y = load(b, at_b + k * b_depth), load(b, at_b + k * b_depth + LANES)
                d = k * a_depth
                s = splat_at(a, at0 + d)
                p0, q0 = fma(s, x, p0), fma(s, y, q0)
                s = splat_at(a, at1 + d)
                p1, q1 = fma(s, x, p1), fma(s, y, q1)
                s = splat_at(a, at2 + d)
                p2, q2 = fma(s, x, p2), fma(s, y, q2)
                s = splat_at(a, at3 + d)
                p3, q3 = fma(s, x, p3), fma(s, y, q3)
                s = splat_at(a, at4 + d)
                p4, q4 = fma(s, x, p4), fma(s, y, q4)
                s = splat_at(a, at5 + d)
                p5, q5 = fma(s, x, p5), fma(s, y, q5)
            at = c_at + j * LANES
            at0, at1, at2 = at + i * c_row, at + i1 * c_row, at + i2 * c_row
            at3, at4, at5 = at + i3 * c_row, at + i4 * c_row, at + i5 * c_row
            if not fresh:
                p0, p1, p2 = add(p0, load(c, at0)), add(p1, load(c, at1)), add(p2, load(c, at2))
                p3, p4, p5 = add(p3, load(c, at3)), add(p4, load(c, at4)), add(p5, load(c, at5))
                q0, q1, q2 = add(q0, load(c, at0 + LANES)), add(q1, load(c, at1 + LANES)), add(q2, load(c, at2 + LANES))
                q3, q4, q5 = add(q3, load(c, at3 + LANES)), add(q4, load(c, at4 + LANES)), add(q5, load(c, at5 + LANES))
            store(c, at0, p0)
            store(c, at1, p1)
            store(c, at2, p2)
            store(c, at3, p3)
            store(c, at4, p4)
            store(c, at5, p5)
            store(c, at0 + LANES, q0)
            store(c, at1 + LANES, q1)
            store(c, at2 + LANES, q2)
            store(c, at3 + LANES, q3)
            store(c, at4 + LANES, q4)
            store(c, at5 + LANES, q5)
    if vectors % 2:
        _multiply_last(
            rows, (vectors - 1) * LANES, depth, a, a_at, a_row, a_depth, b, b_at, b_depth, c, c_at, c_row, fresh
        )


@njit(**OPTIONS)
def _multiply_last(rows, j, depth, a, a_at, a_row, a_depth, b, b_at, b_depth, c, c_at, c_row, fresh):
    """``multiply`` for the one vector of columns that begins at ``j``."""
    for i in range(0, rows, 6):
        i1, i2, i3 = min(i + 1, rows - 1), min(i + 2, rows - 1), min(i + 3, rows - 1)
        i4, i5 = min(i + 4, rows - 1), min(i + 5, rows - 1)
        at0, at1, at2 = a_at + i * a_row, a_at + i1 * a_row, a_at + i2 * a_row
        at3, at4, at5 = a_at + i3 * a_row, a_at + i4 * a_row, a_at + i5 * a_row
        p0, p1, p2, p3, p4, p5 = zero(), zero(), zero(), zero(), zero(), zero()
        for k in range(depth):
            x = load(b, b_at + j + k * b_depth)
            d = k * a_depth
            p0, p1 = fma(splat_at(a, at0 + d), x, p0), fma(splat_at(a, at1 + d), x, p1)
            p2, p3 = fma(splat_at(a, at2 + d), x, p2), fma(splat_at(a, at3 + d), x, p3)
            p4, p5 = fma(splat_at(a, at4 + d), x, p4), fma(splat_at(a, at5 + d), x, p5)
        at = c_at + j
        at0, at1, at2 = at + i * c_row, at + i1 * c_row, at + i2 * c_row
        at3, at4, at5 = at + i3 * c_row, at + i4 * c_row, at + i5 * c_row
        if not fresh:
            p0, p1, p2 = add(p0, load(c, at0)), add(p1, load(c, at1)), add(p2, load(c, at2))
            p3, p4, p5 = add(p3, load(c, at3)), add(p4, load(c, at4)), add(p5, load(c, at5))
        store(c, at0, p0)
        store(c, at1, p1)
        store(c, at2, p2)
        store(c, at3, p3)
        store(c, at4, p4)
        store(c, at5, p5)
