"""A vector of sixteen floats for numba kernels, with the few operations that the scan needs.

numba's own loop vectoriser loses half of the speed on the scan (alias checks, stores that are read back at once), so
the vectors are explicit: the type is LLVM's ``<16 x float>``, which LLVM lowers to one AVX-512 register, two of AVX2,
four of SSE or NEON.  Every operation is an intrinsic that emits its instructions where it is called.

Arithmetic may be contracted and reordered but not assumed finite: LLVM's whole ``fast`` set would swallow a NaN.
"""

import struct

import llvmlite.binding as llvm
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.registry import cpu_target
from numba.extending import intrinsic, models, register_model

LANES = 16

_FLOAT = ir.FloatType()
_INT = ir.IntType(32)
_VECTOR = ir.VectorType(_FLOAT, LANES)
_INTS = ir.VectorType(_INT, LANES)
_MASK = ir.VectorType(ir.IntType(1), LANES)
_UNDEFINED = ir.Constant(_VECTOR, ir.Undefined)
# No "nnan" and no "ninf": see the module's docstring.
_RELAXED = ("contract", "reassoc", "nsz", "arcp")

# Minimax polynomials (own fit), in float64 accurate to 9e-8 (2**f, |f| <= 1/2) and 4e-9 (2 atanh(s)/s in s**2,
# s <= 1/3).  2**0 is exactly one, so that a slow decay has no bias.
_EXP2 = (1.32646813e-3, 9.67150888e-3, 5.55073432e-2, 2.40222435e-1, 6.93146981e-1, 1.0)
_ATANH = (2.81783353e-1, 2.79606034e-1, 4.00249099e-1, 6.66663149e-1, 2.00000001)
# Adding 1.5 * 2**23 rounds to the nearest whole number and leaves it in the low bits.
_ROUND = 12582912.0


class Float32x16(types.Type):
    """numba's type of one vector."""

    def __init__(self) -> None:
        super().__init__(name="float32x16")


vector = Float32x16()


@register_model(Float32x16)
class _Float32x16Model(models.PrimitiveModel):
    def __init__(self, manager, kind) -> None:
        super().__init__(manager, kind, _VECTOR)


def _constant(value: float) -> ir.Constant:
    single = struct.unpack("f", struct.pack("f", value))[0]
    return ir.Constant(_VECTOR, [single] * LANES)


def _integers(value: int) -> ir.Constant:
    return ir.Constant(_INTS, [value] * LANES)


def _splat(builder, scalar):
    first = builder.insert_element(_UNDEFINED, scalar, ir.Constant(_INT, 0))
    return builder.shuffle_vector(first, _UNDEFINED, ir.Constant(_INTS, [0] * LANES))


def _address(context, builder, array_type, array, index):
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), _VECTOR.as_pointer())


def _add(builder, a, b):
    return builder.fadd(a, b, flags=_RELAXED)


def _mul(builder, a, b):
    return builder.fmul(a, b, flags=_RELAXED)


def _fma(builder, a, b, c):
    return builder.fadd(builder.fmul(a, b, flags=_RELAXED), c, flags=_RELAXED)


def _at_least(builder, a, bound):
    # Written so that a NaN in a stays.
    return builder.select(builder.fcmp_ordered("<", a, bound), bound, a)


def _at_most(builder, a, bound):
    return builder.select(builder.fcmp_ordered(">", a, bound), bound, a)


def _absolute(builder, a):
    return builder.bitcast(builder.and_(builder.bitcast(a, _INTS), _integers(0x7FFFFFFF)), _VECTOR)


def _polynomial(builder, coefficients, x):
    value = _constant(coefficients[0])
    for coefficient in coefficients[1:]:
        value = _fma(builder, value, x, _constant(coefficient))
    return value


def _target_has(feature: str) -> bool:
    """Whether numba compiles for processors with this feature: the host, unless numba's settings say otherwise."""
    return f"+{feature}" in cpu_target.target_context.codegen().magic_tuple()[2].split(",")


def _fused(builder, a, b, c):
    """``a * b + c`` in one rounding, where the processor can; elsewhere fma would be a call into the C library."""
    if _target_has("fma") or llvm.get_process_triple().startswith(("aarch64", "arm64")):
        kind = ir.FunctionType(_VECTOR, [_VECTOR] * 3)
        function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fma.v{LANES}f32")
        return builder.call(function, [a, b, c])
    return builder.fadd(builder.fmul(a, b), c)


def _times_power(builder, value, rounded, k, scalef):
    """``value * 2**k``, where ``rounded`` is k + 1.5 * 2**23; out of range zero or infinity, or nearly so."""
    if scalef:
        # One instruction for every k, where integers need two and a clamp.
        kind = ir.FunctionType(_VECTOR, [_VECTOR, _VECTOR, _VECTOR, ir.IntType(16), _INT])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.avx512.mask.scalef.ps.512")
        every, current_rounding = ir.Constant(ir.IntType(16), -1), ir.Constant(_INT, 4)
        return builder.call(function, [value, k, value, every, current_rounding])
    rounded = _at_least(builder, rounded, _constant(_ROUND - 125.0))
    rounded = _at_most(builder, rounded, _constant(_ROUND + 127.0))
    # k stands in the low bits of the pattern.
    shift = builder.shl(builder.bitcast(rounded, _INTS), _integers(23))
    return builder.bitcast(builder.add(builder.bitcast(value, _INTS), shift), _VECTOR)


def _exp2_of_product(builder, a, b, scalef, b_low=None):
    """2**(a * (b + b_low))."""
    rounded = _fused(builder, a, b, _constant(_ROUND))
    k = builder.fsub(rounded, _constant(_ROUND))
    f = _fused(builder, a, b, builder.fneg(k))
    if b_low is not None:
        # Not reorderable: LLVM would cancel this sum against the rounding, whatever the other operations allow.
        f = builder.fadd(builder.fmul(a, b_low, flags=("contract",)), f, flags=("contract",))
    return _times_power(builder, _polynomial(builder, _EXP2, f), rounded, k, scalef)


def _exp(builder, x):
    """e**x, relative error 1.5e-7; log2(e) in two parts, so that the error does not grow with |x|."""
    return _exp2_of_product(
        builder, x, _constant(1.4426950216293335), _target_has("avx512f"), _constant(1.9259629911266175e-8)
    )


def _reciprocal(builder, a):
    """1 / a, a >= 1: an estimate and a Newton step where there is one, since division costs as much as eight
    multiplications."""
    if not _target_has("avx512f"):
        return builder.fdiv(_constant(1.0), a, flags=_RELAXED)
    kind = ir.FunctionType(_VECTOR, [_VECTOR, _VECTOR, ir.IntType(16)])
    function = cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.avx512.rcp14.ps.512")
    r = builder.call(function, [a, a, ir.Constant(ir.IntType(16), -1)])
    error = _fused(builder, builder.fneg(a), r, _constant(1.0))
    return _fused(builder, r, error, r)


def _sum_rows(builder, rows):
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
            moved = builder.shuffle_vector(a, b, ir.Constant(_INTS, crossed))
            blended = builder.shuffle_vector(a, b, ir.Constant(_INTS, kept))
            folded.append(_add(builder, moved, blended))
            order.append(sources)
        rows, held, width = folded, order, segment
    if held[0] == list(range(LANES)):
        return rows[0]
    back = ir.Constant(_INTS, [held[0].index(i) for i in range(LANES)])
    return builder.shuffle_vector(rows[0], rows[0], back)


def _lane_mask(builder, lanes):
    count = builder.trunc(lanes, _INT)
    first = builder.insert_element(ir.Constant(_INTS, ir.Undefined), count, ir.Constant(_INT, 0))
    counts = builder.shuffle_vector(first, ir.Constant(_INTS, ir.Undefined), ir.Constant(_INTS, [0] * LANES))
    return builder.icmp_signed("<", ir.Constant(_INTS, list(range(LANES))), counts)


@intrinsic
def load(typing, array, index):
    """``array[index : index + 16]``."""

    def emit(context, builder, signature, args):
        return builder.load(_address(context, builder, signature.args[0], *args), align=4)

    return vector(array, types.intp), emit


@intrinsic
def store(typing, array, index, value):
    """``array[index : index + 16] = value``."""

    def emit(context, builder, signature, args):
        builder.store(args[2], _address(context, builder, signature.args[0], *args[:2]), align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, vector), emit


@intrinsic
def load_lanes(typing, array, index, lanes):
    """``array[index : index + lanes]``, zero in the other lanes; memory beyond is not touched."""

    def emit(context, builder, signature, args):
        address = _address(context, builder, signature.args[0], *args[:2])
        whole = builder.icmp_signed(">=", args[2], ir.Constant(args[2].type, LANES))
        with builder.if_else(whole) as (then, otherwise):
            with then:
                full = builder.load(address, align=4)
                full_block = builder.block
            with otherwise:
                kind = ir.FunctionType(_VECTOR, [address.type, _INT, _MASK, _VECTOR])
                function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.masked.load.v{LANES}f32.p0")
                mask = _lane_mask(builder, args[2])
                part = builder.call(function, [address, ir.Constant(_INT, 4), mask, _constant(0.0)])
                part_block = builder.block
        value = builder.phi(_VECTOR)
        value.add_incoming(full, full_block)
        value.add_incoming(part, part_block)
        return value

    return vector(array, types.intp, types.intp), emit


@intrinsic
def store_lanes(typing, array, index, value, lanes):
    """``array[index : index + lanes] = value[:lanes]``."""

    def emit(context, builder, signature, args):
        address = _address(context, builder, signature.args[0], *args[:2])
        whole = builder.icmp_signed(">=", args[3], ir.Constant(args[3].type, LANES))
        with builder.if_else(whole) as (then, otherwise):
            with then:
                builder.store(args[2], address, align=4)
            with otherwise:
                kind = ir.FunctionType(ir.VoidType(), [_VECTOR, address.type, _INT, _MASK])
                function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.masked.store.v{LANES}f32.p0")
                mask = _lane_mask(builder, args[3])
                builder.call(function, [args[2], address, ir.Constant(_INT, 4), mask])
        return context.get_dummy_value()

    return types.void(array, types.intp, vector, types.intp), emit


@intrinsic
def prefetch(typing, array, index):
    """Ask for the cache line of ``array[index]``, which need not exist, into the second level."""

    def emit(context, builder, signature, args):
        byte = ir.IntType(8).as_pointer()
        address = builder.bitcast(_address(context, builder, signature.args[0], *args), byte)
        kind = ir.FunctionType(ir.VoidType(), [byte, _INT, _INT, _INT])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        read, second_level, data = (ir.Constant(_INT, i) for i in (0, 2, 1))
        builder.call(function, [address, read, second_level, data])
        return context.get_dummy_value()

    return types.void(array, types.intp), emit


@intrinsic
def copy_four(typing, target, to, source, at, fresh):
    """``target[to : to + 4]`` = (if ``fresh``) or += ``source[at : at + 4]``."""

    def emit(context, builder, signature, args):
        four = ir.VectorType(_FLOAT, 4)

        def address(array_type, array, index):
            return builder.bitcast(_address(context, builder, array_type, array, index), four.as_pointer())

        where = address(signature.args[0], args[0], args[1])
        value = builder.load(address(signature.args[2], args[2], args[3]), align=4)
        before = builder.load(where, align=4)
        # Chosen, not multiplied away: what lies in fresh memory may be a NaN.
        total = builder.select(args[4], value, builder.fadd(before, value))
        builder.store(total, where, align=4)
        return context.get_dummy_value()

    return types.void(target, types.intp, source, types.intp, types.boolean), emit


@intrinsic
def zero(typing):
    """Sixteen zeros."""

    def emit(context, builder, signature, args):
        return _constant(0.0)

    return vector(), emit


@intrinsic
def add(typing, a, b):
    """``a + b``."""

    def emit(context, builder, signature, args):
        return _add(builder, *args)

    return vector(vector, vector), emit


@intrinsic
def mul(typing, a, b):
    """``a * b``."""

    def emit(context, builder, signature, args):
        return _mul(builder, *args)

    return vector(vector, vector), emit


@intrinsic
def sub_from_one(typing, a):
    """``1 - a``."""

    def emit(context, builder, signature, args):
        return builder.fsub(_constant(1.0), args[0], flags=_RELAXED)

    return vector(vector), emit


@intrinsic
def fma(typing, a, b, c):
    """``a * b + c``."""

    def emit(context, builder, signature, args):
        return _fma(builder, *args)

    return vector(vector, vector, vector), emit


@intrinsic
def scale(typing, a, scalar):
    """``a * scalar``."""

    def emit(context, builder, signature, args):
        return _mul(builder, args[0], _splat(builder, args[1]))

    return vector(vector, types.float32), emit


@intrinsic
def fma_at(typing, a, array, index, c):
    """``a * array[index] + c``; numba's own indexing would first ask whether the index is negative."""

    def emit(context, builder, signature, args):
        a, array, index, c = args
        data = context.make_array(signature.args[1])(context, builder, array).data
        scalar = builder.load(builder.gep(data, [index]), align=4)
        return _fma(builder, a, _splat(builder, scalar), c)

    return vector(vector, array, types.intp, vector), emit


@intrinsic
def exp2_product(typing, a, b):
    """``2**(a * b)``, relative error 1.5e-7."""

    def emit(context, builder, signature, args):
        return _exp2_of_product(builder, *args, _target_has("avx512f"))

    return vector(vector, vector), emit


@intrinsic
def exp2_product_portable(typing, a, b):
    """``exp2_product`` as processors without AVX-512 compute it."""

    def emit(context, builder, signature, args):
        return _exp2_of_product(builder, *args, False)

    return vector(vector, vector), emit


@intrinsic
def softplus(typing, x):
    """``log(1 + e**x)`` = max(x, 0) + 2 atanh(t / (t + 2)), t = e**-|x|; accurate relative to the result."""

    def emit(context, builder, signature, args):
        (x,) = args
        t = _exp(builder, builder.fneg(_absolute(builder, x)))
        s = _mul(builder, t, _reciprocal(builder, _add(builder, t, _constant(2.0))))
        series = _polynomial(builder, _ATANH, _mul(builder, s, s))
        return _fma(builder, s, series, _at_least(builder, x, _constant(0.0)))

    return vector(vector), emit


@intrinsic
def sigmoid(typing, x):
    """``1 / (1 + e**-x)``."""

    def emit(context, builder, signature, args):
        (x,) = args
        # The bound keeps e**-x, and the estimate of its reciprocal, within the normal numbers.
        t = _exp(builder, builder.fneg(_at_least(builder, x, _constant(-86.0))))
        return _reciprocal(builder, _add(builder, t, _constant(1.0)))

    return vector(vector), emit


@intrinsic
def flush(typing, a):
    """``a`` with everything below 1e-25 set to zero: a state that fades out must not reach denormal numbers."""

    def emit(context, builder, signature, args):
        small = builder.fcmp_ordered("<", _absolute(builder, args[0]), _constant(1e-25))
        return builder.select(small, _constant(0.0), args[0])

    return vector(vector), emit


@intrinsic
def sum_rows(typing, array, index):
    """Lane i of the result is ``sum(array[index + 16 * i : index + 16 * (i + 1)])``."""

    def emit(context, builder, signature, args):
        rows = []
        for i in range(LANES):
            at = builder.add(args[1], ir.Constant(args[1].type, i * LANES))
            rows.append(builder.load(_address(context, builder, signature.args[0], args[0], at), align=4))
        return _sum_rows(builder, rows)

    return vector(array, types.intp), emit
