"""Vector operations for norms: sums in double precision, exact differences, activations, float32 or bf16 memory."""

from llvmlite import ir
from numba import types
from numba.core.errors import TypingError
from numba.extending import intrinsic, overload

from segmamba.native import simd_code as code
from segmamba.native.simd import LANES, load_bf16_lanes, load_lanes, store_bf16_lanes, store_lanes, vector

_DOUBLES = ir.VectorType(ir.DoubleType(), LANES)


def read(x, at, lanes):
    """``load_lanes`` of float32, or of bf16 (as uint16) widened; kernels choose by the type of ``x``."""
    raise NotImplementedError("compiled code only")


def write(x, at, value, lanes):
    """``store_lanes`` into float32, or into bf16 (as uint16) rounded to nearest even."""
    raise NotImplementedError("compiled code only")


@overload(read)
def _read(x, at, lanes):
    if x.dtype == types.uint16:
        return lambda x, at, lanes: load_bf16_lanes(x, at, lanes)
    if x.dtype == types.float32:
        return lambda x, at, lanes: load_lanes(x, at, lanes)
    raise TypingError(f"no vectors of {x.dtype}")


@overload(write)
def _write(x, at, value, lanes):
    if x.dtype == types.uint16:
        return lambda x, at, value, lanes: store_bf16_lanes(x, at, value, lanes)
    if x.dtype == types.float32:
        return lambda x, at, value, lanes: store_lanes(x, at, value, lanes)
    raise TypingError(f"no vectors of {x.dtype}")


@intrinsic
def doubles(typing, address):
    """A pointer to float64 from an address that came as an integer."""

    def emit(context, builder, signature, args):
        return builder.inttoptr(args[0], ir.DoubleType().as_pointer())

    return types.CPointer(types.float64)(types.intp), emit


@intrinsic
def double_of_bits(typing, bits):
    """The float64 whose bit pattern came as an integer."""

    def emit(context, builder, signature, args):
        return builder.bitcast(args[0], ir.DoubleType())

    return types.float64(types.int64), emit


@intrinsic
def difference(typing, a, b):
    """``a - b`` in one rounding, never reordered: exact where a and b are close."""

    def emit(context, builder, signature, args):
        return builder.fsub(*args)

    return vector(vector, vector), emit


@intrinsic
def leaky(typing, v, slope):
    """``v`` where it is positive or NaN, else ``slope * v``."""

    def emit(context, builder, signature, args):
        v, slope = args
        negative = builder.fcmp_ordered("<", v, code.constant(0.0))
        return builder.select(negative, code.mul(builder, v, code.splat(builder, slope)), v)

    return vector(vector, types.float32), emit


@intrinsic
def leaky_gradient(typing, gradient, v, slope):
    """``gradient`` where ``v`` is positive, else ``slope * gradient``: the way back through ``leaky``."""

    def emit(context, builder, signature, args):
        gradient, v, slope = args
        positive = builder.fcmp_ordered(">", v, code.constant(0.0))
        return builder.select(positive, gradient, code.mul(builder, gradient, code.splat(builder, slope)))

    return vector(vector, vector, types.float32), emit


def _doubles_at(builder, pointer, index):
    return builder.bitcast(builder.gep(pointer, [index]), _DOUBLES.as_pointer())


def _wide(builder, value):
    return builder.fpext(value, _DOUBLES)


@intrinsic
def add_wide(typing, sums, index, value):
    """``sums[index : index + 16] += value``, where sums points to float64."""

    def emit(context, builder, signature, args):
        address = _doubles_at(builder, *args[:2])
        builder.store(builder.fadd(builder.load(address, align=8), _wide(builder, args[2])), address, align=8)
        return context.get_dummy_value()

    return types.void(types.CPointer(types.float64), types.intp, vector), emit


@intrinsic
def add_moments(typing, sums, first, second, count, shift, origin, s, q):
    """Adds sums of x about ``origin``, in float64, where ``s`` and ``q`` are those about ``shift``.

    ``sums[first : first + 16]`` += sum(x - origin), ``sums[second : second + 16]`` += sum((x - origin)**2), for
    s = sum(x - shift) and q = sum((x - shift)**2) over ``count`` values.
    """

    def emit(context, builder, signature, args):
        sums, first, second, count, shift, origin, s, q = args
        s, q = _wide(builder, s), _wide(builder, q)
        moved = builder.fsub(_wide(builder, shift), _wide(builder, origin))
        one = builder.insert_element(
            ir.Constant(_DOUBLES, ir.Undefined), builder.sitofp(count, ir.DoubleType()), ir.Constant(code.INT, 0)
        )
        counts = builder.shuffle_vector(one, ir.Constant(_DOUBLES, ir.Undefined), ir.Constant(code.INTS, [0] * LANES))
        step = builder.fmul(counts, moved)
        # sum((x - shift + moved)**2) = q + moved (2 s + count moved)
        q = builder.fadd(q, builder.fmul(moved, builder.fadd(builder.fadd(s, s), step)))
        for index, value in ((first, builder.fadd(s, step)), (second, q)):
            address = _doubles_at(builder, sums, index)
            builder.store(builder.fadd(builder.load(address, align=8), value), address, align=8)
        return context.get_dummy_value()

    index, pointer = types.intp, types.CPointer(types.float64)
    return types.void(pointer, index, index, index, vector, vector, vector, vector), emit
