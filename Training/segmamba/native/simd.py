"""A vector of sixteen floats for numba kernels, with the few operations that the scan needs.

numba's own loop vectoriser loses half of the speed on the scan (alias checks, stores that are read back at once), so
the vectors are explicit: the type is LLVM's ``<16 x float>``, which LLVM lowers to one AVX-512 register, two of AVX2,
four of SSE or NEON.  Every operation is an intrinsic that emits its instructions where it is called.
"""

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic, models, register_model

from segmamba.native import simd_code as code
from segmamba.native.simd_code import LANES

# Of every function of the kernels: they raise nothing, and only one another calls them, neither Python nor C.
OPTIONS = {
    "nogil": True, "error_model": "numpy", "boundscheck": False, "no_cpython_wrapper": True, "no_cfunc_wrapper": True,
}  # fmt: skip


class Float32x16(types.Type):
    """numba's type of one vector."""

    def __init__(self) -> None:
        super().__init__(name="float32x16")


vector = Float32x16()


@register_model(Float32x16)
class _Float32x16Model(models.PrimitiveModel):
    def __init__(self, manager, kind) -> None:
        super().__init__(manager, kind, code.VECTOR)


def _data(context, builder, array_type, array):
    """The address of the first element of an array or, as is, a pointer."""
    if isinstance(array_type, types.CPointer):
        return array
    return context.make_array(array_type)(context, builder, array).data


def _address(context, builder, array_type, array, index):
    data = _data(context, builder, array_type, array)
    return builder.bitcast(builder.gep(data, [index]), code.VECTOR.as_pointer())


@intrinsic
def floats(typing, address):
    """A pointer to float32 from an address that came as an integer."""

    def emit(context, builder, signature, args):
        return builder.inttoptr(args[0], code.FLOAT.as_pointer())

    return types.CPointer(types.float32)(types.intp), emit


@intrinsic
def longs(typing, address):
    """A pointer to int64 from an address that came as an integer."""

    def emit(context, builder, signature, args):
        return builder.inttoptr(args[0], ir.IntType(64).as_pointer())

    return types.CPointer(types.int64)(types.intp), emit


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
                kind = ir.FunctionType(code.VECTOR, [address.type, code.INT, code.MASK, code.VECTOR])
                function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.masked.load.v{LANES}f32.p0")
                mask = code.lane_mask(builder, args[2])
                part = builder.call(function, [address, ir.Constant(code.INT, 4), mask, code.constant(0.0)])
                part_block = builder.block
        value = builder.phi(code.VECTOR)
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
                kind = ir.FunctionType(ir.VoidType(), [code.VECTOR, address.type, code.INT, code.MASK])
                function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.masked.store.v{LANES}f32.p0")
                mask = code.lane_mask(builder, args[3])
                builder.call(function, [args[2], address, ir.Constant(code.INT, 4), mask])
        return context.get_dummy_value()

    return types.void(array, types.intp, vector, types.intp), emit


@intrinsic
def prefetch(typing, array, index):
    """Ask for the cache line of ``array[index]``, which need not exist, into the second level."""

    def emit(context, builder, signature, args):
        byte = ir.IntType(8).as_pointer()
        address = builder.bitcast(_address(context, builder, signature.args[0], *args), byte)
        kind = ir.FunctionType(ir.VoidType(), [byte, code.INT, code.INT, code.INT])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        read, second_level, data = (ir.Constant(code.INT, i) for i in (0, 2, 1))
        builder.call(function, [address, read, second_level, data])
        return context.get_dummy_value()

    return types.void(array, types.intp), emit


@intrinsic
def copy_four(typing, target, to, source, at, fresh):
    """``target[to : to + 4]`` = (if ``fresh``) or += ``source[at : at + 4]``."""

    def emit(context, builder, signature, args):
        four = ir.VectorType(code.FLOAT, 4)

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
        return code.constant(0.0)

    return vector(), emit


@intrinsic
def add(typing, a, b):
    """``a + b``."""

    def emit(context, builder, signature, args):
        return code.add(builder, *args)

    return vector(vector, vector), emit


@intrinsic
def mul(typing, a, b):
    """``a * b``."""

    def emit(context, builder, signature, args):
        return code.mul(builder, *args)

    return vector(vector, vector), emit


@intrinsic
def sub_from_one(typing, a):
    """``1 - a``."""

    def emit(context, builder, signature, args):
        return code.sub(builder, code.constant(1.0), args[0])

    return vector(vector), emit


@intrinsic
def fma(typing, a, b, c):
    """``a * b + c``."""

    def emit(context, builder, signature, args):
        return code.fma(builder, *args)

    return vector(vector, vector, vector), emit


@intrinsic
def scale(typing, a, scalar):
    """``a * scalar``."""

    def emit(context, builder, signature, args):
        return code.mul(builder, args[0], code.splat(builder, args[1]))

    return vector(vector, types.float32), emit


@intrinsic
def fma_at(typing, a, array, index, c):
    """``a * array[index] + c``; numba's own indexing would first ask whether the index is negative."""

    def emit(context, builder, signature, args):
        a, array, index, c = args
        data = _data(context, builder, signature.args[1], array)
        scalar = builder.load(builder.gep(data, [index]), align=4)
        return code.fma(builder, a, code.splat(builder, scalar), c)

    return vector(vector, array, types.intp, vector), emit


@intrinsic
def splat_at(typing, array, index):
    """Sixteen times ``array[index]``."""

    def emit(context, builder, signature, args):
        data = _data(context, builder, signature.args[0], args[0])
        return code.splat(builder, builder.load(builder.gep(data, [args[1]]), align=4))

    return vector(array, types.intp), emit


@intrinsic
def exp2_product(typing, a, b):
    """``2**(a * b)``, relative error 1.5e-7."""

    def emit(context, builder, signature, args):
        return code.exp2_of_product(builder, *args, code.target_has("avx512f"))

    return vector(vector, vector), emit


@intrinsic
def exp2_product_portable(typing, a, b):
    """``exp2_product`` as processors without AVX-512 compute it."""

    def emit(context, builder, signature, args):
        return code.exp2_of_product(builder, *args, False)

    return vector(vector, vector), emit


@intrinsic
def softplus(typing, x):
    """``log(1 + e**x)`` = max(x, 0) + 2 atanh(t / (t + 2)), t = e**-|x|; accurate relative to the result."""

    def emit(context, builder, signature, args):
        (x,) = args
        t = code.exp(builder, builder.fneg(code.absolute(builder, x)))
        s = code.mul(builder, t, code.reciprocal(builder, code.add(builder, t, code.constant(2.0))))
        series = code.polynomial(builder, code.ATANH, code.mul(builder, s, s))
        return code.fma(builder, s, series, code.at_least(builder, x, code.constant(0.0)))

    return vector(vector), emit


@intrinsic
def sigmoid(typing, x):
    """``1 / (1 + e**-x)``."""

    def emit(context, builder, signature, args):
        (x,) = args
        # The bound keeps e**-x, and the estimate of its reciprocal, within the normal numbers.
        t = code.exp(builder, builder.fneg(code.at_least(builder, x, code.constant(-86.0))))
        return code.reciprocal(builder, code.add(builder, t, code.constant(1.0)))

    return vector(vector), emit


@intrinsic
def flush(typing, a):
    """``a`` with everything below 1e-25 set to zero: a state that fades out must not reach denormal numbers."""

    def emit(context, builder, signature, args):
        small = builder.fcmp_ordered("<", code.absolute(builder, args[0]), code.constant(1e-25))
        return builder.select(small, code.constant(0.0), args[0])

    return vector(vector), emit


@intrinsic
def sum_rows(typing, array, index):
    """Lane i of the result is ``sum(array[index + 16 * i : index + 16 * (i + 1)])``."""

    def emit(context, builder, signature, args):
        rows = []
        for i in range(LANES):
            at = builder.add(args[1], ir.Constant(args[1].type, i * LANES))
            rows.append(builder.load(_address(context, builder, signature.args[0], args[0], at), align=4))
        return code.sum_rows(builder, rows)

    return vector(array, types.intp), emit


@intrinsic
def bf16s(typing, address):
    """A pointer to bf16, which numba sees as uint16, from an address that came as an integer."""

    def emit(context, builder, signature, args):
        return builder.inttoptr(args[0], ir.IntType(16).as_pointer())

    return types.CPointer(types.uint16)(types.intp), emit


def _bf16_address(context, builder, array_type, array, index):
    data = _data(context, builder, array_type, array)
    return builder.bitcast(builder.gep(data, [index]), code.HALVES.as_pointer())


@intrinsic
def load_bf16_lanes(typing, array, index, lanes):
    """``load_lanes`` of an array of bf16 (as uint16), widened to floats."""

    def emit(context, builder, signature, args):
        address = _bf16_address(context, builder, signature.args[0], *args[:2])
        whole = builder.icmp_signed(">=", args[2], ir.Constant(args[2].type, LANES))
        with builder.if_else(whole) as (then, otherwise):
            with then:
                full = builder.load(address, align=2)
                full_block = builder.block
            with otherwise:
                kind = ir.FunctionType(code.HALVES, [address.type, code.INT, code.MASK, code.HALVES])
                function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.masked.load.v{LANES}i16.p0")
                mask, none = code.lane_mask(builder, args[2]), ir.Constant(code.HALVES, [0] * LANES)
                part = builder.call(function, [address, ir.Constant(code.INT, 2), mask, none])
                part_block = builder.block
        halves = builder.phi(code.HALVES)
        halves.add_incoming(full, full_block)
        halves.add_incoming(part, part_block)
        return code.widen_bf16(builder, halves)

    return vector(array, types.intp, types.intp), emit


@intrinsic
def store_bf16_lanes(typing, array, index, value, lanes):
    """``store_lanes`` into an array of bf16 (as uint16): rounded to nearest, ties to even; a NaN stays one."""

    def emit(context, builder, signature, args):
        address = _bf16_address(context, builder, signature.args[0], *args[:2])
        halves = code.narrow_bf16(builder, args[2])
        whole = builder.icmp_signed(">=", args[3], ir.Constant(args[3].type, LANES))
        with builder.if_else(whole) as (then, otherwise):
            with then:
                builder.store(halves, address, align=2)
            with otherwise:
                kind = ir.FunctionType(ir.VoidType(), [code.HALVES, address.type, code.INT, code.MASK])
                function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.masked.store.v{LANES}i16.p0")
                mask = code.lane_mask(builder, args[3])
                builder.call(function, [halves, address, ir.Constant(code.INT, 2), mask])
        return context.get_dummy_value()

    return types.void(array, types.intp, vector, types.intp), emit
