"""Machine code of kernels: from Python functions to an object file, with numba, and from there to addresses, without.

numba's own cache would need numba itself at every start: half a second of imports and of preparing its targets.  The
machine code needs none of it, so it is taken out as a plain object file, which llvmlite alone puts into memory.
"""

import importlib
import re
import struct
from collections.abc import Sequence
from types import ModuleType

import llvmlite.binding as llvm

_PREFIX = "segmamba_"
# What the code generator may call by itself, and the mathematics of the C library. Every process has them.
_RUNTIME = re.compile(
    r"memcpy|memmove|memset|_*chkstk(_ms)?|"
    r"(a?(cos|sin|tan)h?|atan2|ceil|erf|exp2?|expm1|fabs|floor|fma|fmax|fmin|fmod|hypot|ldexp|log(10|1p|2)?|nearbyint|"
    r"pow|rint|round|sincos|sqrt|trunc)f?"
)

# What numba's modules hold where a function does what another process could not.
_REFUSED = {
    "pickledata": "may raise an exception, as all do that allocate",
    "numba.dynamic.globals": "holds addresses of this process",
}


def compile_entries(module: str) -> tuple[tuple[str, ...], bytes]:
    """Imports ``module`` and compiles its ``ENTRIES`` with numba for this processor.

    Every entry is a Python function of one argument, a pointer to int64, that returns nothing.

    Returns:
        The entries' names, and one object file that holds them all.

    Raises:
        ImportError: There is no numba.
        RuntimeError: An entry may raise an exception, or needs more than a bare processor: memory from numba, Python.
    """
    functions = importlib.import_module(module).ENTRIES
    linked = None
    for function in functions:
        part = _module_of(function)
        if linked is None:
            linked = part
        else:
            linked.link_in(part)
    _, cpu, features = _numba().core.registry.cpu_target.target_context.codegen().magic_tuple()
    code = _target_machine(cpu, features).emit_object(linked)
    foreign = sorted(name for name in undefined(code) if not _RUNTIME.fullmatch(name))
    if foreign:
        raise RuntimeError(
            f"the kernels of {module} call {', '.join(foreign)}: they may not allocate arrays, nor use Python objects"
        )
    return tuple(function.__name__ for function in functions), code


def _module_of(function) -> llvm.ModuleRef:
    """LLVM's module of one entry, optimised, in which nothing can be seen from outside but the entry."""
    numba, ir = _numba(), importlib.import_module("llvmlite.ir")
    types, name = numba.types, function.__name__
    arguments = (types.CPointer(types.int64),)
    # The wrappers for calls from Python and C would tell of exceptions, which takes Python's own functions.
    jitted = numba.njit(
        types.void(*arguments), nogil=True, error_model="numpy", boundscheck=False,
        no_cpython_wrapper=True, no_cfunc_wrapper=True,
    )(function)  # fmt: skip
    text = jitted.inspect_llvm(arguments)
    for mark, why in _REFUSED.items():
        if mark in text:
            raise RuntimeError(f"the kernel {function.__module__}.{name} {why}: it cannot be kept as machine code")
    module = llvm.parse_assembly(text)

    # What numba makes returns a status and takes two more addresses, for a result and for an exception.
    outer = ir.Module()
    outer.triple = llvm.get_process_triple()
    convention = numba.core.registry.cpu_target.target_context.call_conv.get_function_type(types.void, arguments)
    inner = ir.Function(outer, convention, jitted.overloads[arguments].fndesc.llvm_func_name)
    entry = ir.Function(outer, ir.FunctionType(ir.VoidType(), [convention.args[-1]]), _PREFIX + name)
    builder = ir.IRBuilder(entry.append_basic_block())
    places = [builder.alloca(pointer.pointee) for pointer in convention.args[:-1]]
    builder.call(inner, [*places, entry.args[0]])
    builder.ret_void()
    module.link_in(llvm.parse_assembly(str(outer)))
    for value in (*module.functions, *module.global_variables):
        if not value.is_declaration and value.name != entry.name:
            value.linkage = "internal"
    return module


def _numba() -> ModuleType:
    importlib.import_module("numba.core.registry")
    return importlib.import_module("numba")


def _target_machine(cpu: str = "", features: str = "") -> llvm.TargetMachine:
    """What code is made for, or put into memory by; as numba has it, unless otherwise said."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_triple(llvm.get_process_triple())
    # Code and constants may come to lie far from one another: no short addresses ("jitdefault").
    reloc = "static" if target.name.startswith("x86") else "default"
    return target.create_target_machine(cpu, features, opt=3, reloc=reloc, codemodel="jitdefault", jit=True)


def load(names: Sequence[str], code: bytes) -> dict[str, int]:
    """Puts an object file of ``compile_entries`` into memory, where it stays; the address of every entry.

    Raises:
        LookupError: It calls a function that this process does not have.
    """
    empty = llvm.parse_assembly(f'target triple = "{llvm.get_process_triple()}"')
    # From here on, LLVM finds the functions of the process.
    engine = llvm.create_mcjit_compiler(empty, _target_machine())
    for name in undefined(code):
        # LLVM would end the process.
        if not llvm.address_of_symbol(name):
            raise LookupError(f"there is no function {name}")
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    addresses = {name: engine.get_function_address(_PREFIX + name) for name in names}
    # Never unloaded: at the end of the process, a thread may still be in there.
    engine.detach()
    return addresses


def load_module(text: str, name: str) -> int:
    """Compiles a function of LLVM's assembly for this processor, for good; its address."""
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(text), _target_machine())
    engine.finalize_object()
    address = engine.get_function_address(name)
    engine.detach()
    return address


def undefined(code: bytes) -> list[str]:
    """Names that an object file expects from elsewhere.

    Raises:
        ValueError: It is neither ELF (Linux; Windows, too, as LLVM loads nothing else there) nor Mach-O, of 64 bits.
    """
    try:
        if code[:6] == b"\x7fELF\x02\x01":
            return list(_undefined_elf(code))
        if code[:4] == b"\xcf\xfa\xed\xfe":
            return list(_undefined_macho(code))
    except (struct.error, ValueError) as error:
        raise ValueError(f"a damaged object file: {error}") from error
    raise ValueError("an object file of an unknown kind")


def _string(code: bytes, start: int) -> str:
    return code[start : code.index(b"\0", start)].decode()


def _undefined_elf(code: bytes):
    (table,) = struct.unpack_from("<Q", code, 0x28)
    size, count = struct.unpack_from("<2H", code, 0x3A)
    sections = [struct.unpack_from("<2I4Q2I2Q", code, table + i * size) for i in range(count)]
    for _, kind, _, _, start, length, link, _, _, step in sections:
        if kind != 2:  # SHT_SYMTAB
            continue
        strings = sections[link][4]
        for at in range(start, start + length, step):
            name, _, _, section = struct.unpack_from("<I2BH", code, at)
            if section == 0 and name:
                yield _string(code, strings + name)


def _undefined_macho(code: bytes):
    (count,) = struct.unpack_from("<I", code, 16)
    at = 32
    for _ in range(count):
        command, size = struct.unpack_from("<2I", code, at)
        if command == 2:  # LC_SYMTAB
            first, symbols, strings, _ = struct.unpack_from("<4I", code, at + 8)
            for i in range(symbols):
                name, kind = struct.unpack_from("<IB", code, first + 16 * i)
                if kind & 0x0F == 1:  # external, in no section
                    yield _string(code, strings + name).removeprefix("_")
        at += size
