"""LLVM instructions on vectors of sixteen floats: what the intrinsics of ``simd`` are made of.

Every function takes numba's IR builder first and emits where the builder stands.  Arithmetic may be contracted and
reordered but not assumed finite: LLVM's whole ``fast`` set would swallow a NaN.
"""

import struct

import llvmlite.binding as llvm
from llvmlite import ir
from numba.core import cgutils
from numba.core.registry import cpu_target

LANES = 16

# Names of LLVM's functions are those of opaque pointers (".p0").  LLVM 14 and 15 as llvmlite 0.43 and 0.44 use them
# know typed pointers, too (".p0v16f32"), but rename the function when they read it, and pass the self-test.

FLOAT = ir.FloatType()
INT = ir.IntType(32)
VECTOR = ir.VectorType(FLOAT, LANES)
INTS = ir.VectorType(INT, LANES)
MASK = ir.VectorType(ir.IntType(1), LANES)
_UNDEFINED = ir.Constant(VECTOR, ir.Undefined)
# No "nnan" and no "ninf": see above.
_RELAXED = ("contract", "reassoc", "nsz", "arcp")

# Minimax polynomials (own fit), in float64 accurate to 9e-8 (2**f, |f| <= 1/2) and 4e-9 (2 atanh(s)/s in s**2,
# s <= 1/3).  2**0 is exactly one, so that a slow decay has no bias.
_EXP2 = (1.32646813e-3, 9.67150888e-3, 5.55073432e-2, 2.40222435e-1, 6.93146981e-1, 1.0)
ATANH = (2.81783353e-1, 2.79606034e-1, 4.00249099e-1, 6.66663149e-1, 2.00000001)
# Adding 1.5 * 2**23 rounds to the nearest whole number and leaves it in the low bits.
_ROUND = 12582912.0


def constant(value: float) -> ir.Constant:
    """A vector of sixteen times ``value``, rounded to float32."""
    single = struct.unpack("f", struct.pack("f", value))[0]
    return ir.Constant(VECTOR, [single] * LANES)


def integers(value: int) -> ir.Constant:
    """A vector of sixteen 32-bit integers ``value``."""
    return ir.Constant(INTS, [value] * LANES)


def splat(builder, scalar):
    """A vector of sixteen times a scalar that is known at run time."""
    first = builder.insert_element(_UNDEFINED, scalar, ir.Constant(INT, 0))
    return builder.shuffle_vector(first, _UNDEFINED, ir.Constant(INTS, [0] * LANES))


def add(builder, a, b):
    """``a + b``."""
    return builder.fadd(a, b, flags=_RELAXED)


def sub(builder, a, b):
    """``a - b``."""
    return builder.fsub(a, b, flags=_RELAXED)


def mul(builder, a, b):
    """``a * b``."""
    return builder.fmul(a, b, flags=_RELAXED)


def fma(builder, a, b, c):
    """``a * b + c``, in one rounding where LLVM sees fit."""
    return builder.fadd(builder.fmul(a, b, flags=_RELAXED), c, flags=_RELAXED)


def at_least(builder, a, bound):
    """``max(a, bound)``."""
    # Written so that a NaN in a stays.
    return builder.select(builder.fcmp_ordered("<", a, bound), bound, a)


def at_most(builder, a, bound):
    """``min(a, bound)``."""
    return builder.select(builder.fcmp_ordered(">", a, bound), bound, a)


def absolute(builder, a):
    """``|a|``."""
    return builder.bitcast(builder.and_(builder.bitcast(a, INTS), integers(0x7FFFFFFF)), VECTOR)


def polynomial(builder, coefficients, x):
    """The polynomial of ``x`` with these coefficients, the highest power's first."""
    value = constant(coefficients[0])
    for coefficient in coefficients[1:]:
        value = fma(builder, value, x, constant(coefficient))
    return value


def target_has(feature: str) -> bool:
    """Whether numba compiles for processors with this feature: the host, unless numba's settings say otherwise."""
    return f"+{feature}" in cpu_target.target_context.codegen().magic_tuple()[2].split(",")


def fused(builder, a, b, c):
    """``a * b + c`` in one rounding, where the processor can; elsewhere fma would be a call into the C library."""
    if target_has("fma") or llvm.get_process_triple().startswith(("aarch64", "arm64")):
        kind = ir.FunctionType(VECTOR, [VECTOR] * 3)
        function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fma.v{LANES}f32")
        return builder.call(function, [a, b, c])
    return builder.fadd(builder.fmul(a, b), c)


def _times_power(builder, value, rounded, k, scalef):
    """``value * 2**k``, where ``rounded`` is k + 1.5 * 2**23; out of range zero or infinity, or nearly so."""
    if scalef:
        # One instruction for every k, where integers need two and a clamp.
        kind = ir.FunctionType(VECTOR, [VECTOR, VECTOR, VECTOR, ir.IntType(16), INT])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.avx512.mask.scalef.ps.512")
        every, current_rounding = ir.Constant(ir.IntType(16), -1), ir.Constant(INT, 4)
        return builder.call(function, [value, k, value, every, current_rounding])
    rounded = at_least(builder, rounded, constant(_ROUND - 125.0))
    rounded = at_most(builder, rounded, constant(_ROUND + 127.0))
    # k stands in the low bits of the pattern.
    shift = builder.shl(builder.bitcast(rounded, INTS), integers(23))
    return builder.bitcast(builder.add(builder.bitcast(value, INTS), shift), VECTOR)


def exp2_of_product(builder, a, b, scalef, b_low=None):
    """2**(a * (b + b_low))."""
    rounded = fused(builder, a, b, constant(_ROUND))
    k = builder.fsub(rounded, constant(_ROUND))
    f = fused(builder, a, b, builder.fneg(k))
    if b_low is not None:
        # Not reorderable: LLVM would cancel this sum against the rounding, whatever the other operations allow.
        f = builder.fadd(builder.fmul(a, b_low, flags=("contract",)), f, flags=("contract",))
    return _times_power(builder, polynomial(builder, _EXP2, f), rounded, k, scalef)


def exp(builder, x):
    """e**x, relative error 1.5e-7; log2(e) in two parts, so that the error does not grow with |x|."""
    return exp2_of_product(
        builder, x, constant(1.4426950216293335), target_has("avx512f"), constant(1.9259629911266175e-8)
    )


def reciprocal(builder, a):
    """1 / a, a >= 1: an estimate and a Newton step where there is one, since division costs as much as eight
    multiplications."""
    if not target_has("avx512f"):
        return builder.fdiv(constant(1.0), a, flags=_RELAXED)
    kind = ir.FunctionType(VECTOR, [VECTOR, VECTOR, ir.IntType(16)])
    function = cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.avx512.rcp14.ps.512")
    r = builder.call(function, [a, a, ir.Constant(ir.IntType(16), -1)])
    error = fused(builder, builder.fneg(a), r, constant(1.0))
    return fused(builder, r, error, r)


def sum_rows(builder, rows):
    """Sixteen vectors -> one, whose lane i is the sum of the lanes of row i.

    Each stage folds two vectors into one with a shuffle, a blend and an addition.
    """
    held = [[i] for i in range(LANES)]  # which rows a vector holds, one for each of its segments
    width = LANES
    while len(rows) > 1:
        half, segment = len(rows) // 2, width // 2
        folded, order = [], []
        for i in range(half):
            a, b = rows[i], rows[i + half]
            crossed, kept, sources = [], [], []
            for s in range(LANES // width):
                low = s * width
                # a's upper half comes down onto its lower half; b's lower half goes up onto its upper half.
                crossed += [low + segment + j for j in range(segment)]
                crossed += [LANES + low + j for j in range(segment)]
                kept += [low + j for j in range(segment)]
                kept += [LANES + low + segment + j for j in range(segment)]
                sources += [held[i][s], held[i + half][s]]
            moved = builder.shuffle_vector(a, b, ir.Constant(INTS, crossed))
            blended = builder.shuffle_vector(a, b, ir.Constant(INTS, kept))
            folded.append(add(builder, moved, blended))
            order.append(sources)
        rows, held, width = folded, order, segment
    if held[0] == list(range(LANES)):
        return rows[0]
    back = ir.Constant(INTS, [held[0].index(i) for i in range(LANES)])
    return builder.shuffle_vector(rows[0], rows[0], back)


def lane_mask(builder, lanes):
    """A mask of the first ``lanes`` lanes."""
    count = builder.trunc(lanes, INT)
    first = builder.insert_element(ir.Constant(INTS, ir.Undefined), count, ir.Constant(INT, 0))
    counts = builder.shuffle_vector(first, ir.Constant(INTS, ir.Undefined), ir.Constant(INTS, [0] * LANES))
    return builder.icmp_signed("<", ir.Constant(INTS, list(range(LANES))), counts)


# bf16 is the upper half of a float32.
HALVES = ir.VectorType(ir.IntType(16), LANES)


def widen_bf16(builder, halves):
    """Sixteen bf16, as their bit patterns, to floats; exact."""
    return builder.bitcast(builder.shl(builder.zext(halves, INTS), integers(16)), VECTOR)


def narrow_bf16(builder, value):
    """Sixteen floats to bf16 bit patterns: to the nearest, ties to even, denormals kept, a NaN stays a (quiet) NaN.

    In integers, because LLVM's own truncation is a call into a library on most processors.
    """
    bits = builder.bitcast(value, INTS)
    odd = builder.and_(builder.lshr(bits, integers(16)), integers(1))
    rounded = builder.add(builder.add(bits, integers(0x7FFF)), odd)
    quiet = builder.or_(bits, integers(0x400000))
    chosen = builder.select(builder.fcmp_unordered("uno", value, value), quiet, rounded)
    return builder.trunc(builder.lshr(chosen, integers(16)), HALVES)
