"""PyTorch's own OpenMP threads, for kernels: found in the process, or not used at all.

PyTorch's threads stay awake for some milliseconds after each of its operations, in wait of the next.  Threads of our
own would have to share the cores with them; on the same team, a kernel begins at once.
"""

import ctypes
import logging
import os
import struct
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import llvmlite.binding as llvm
import torch
from llvmlite import ir

from segmamba.native import object_code

_log = logging.getLogger(__name__)

_LEAD = 3  # integers before the table of ``Team.run``
_forked = False


def _leave() -> None:
    # In a forked child OpenMP still counts on its threads, which only the parent has: it would wait for ever.
    global _forked
    _forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave)


class Team:
    """Runs calls of kernels on OpenMP's threads.

    Args:
        library: Has ``GOMP_parallel`` and what asks for a thread's number, as GNU's, LLVM's and Intel's OpenMP do.

    Raises:
        AttributeError: It has not.
    """

    def __init__(self, library: ctypes.CDLL) -> None:
        self._parallel = library.GOMP_parallel
        self._parallel.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_uint, ctypes.c_uint)
        self._parallel.restype = None
        self._number = ctypes.cast(library.omp_get_thread_num, ctypes.c_void_p).value
        self._size = ctypes.cast(library.omp_get_num_threads, ctypes.c_void_p).value
        self._member = _member()

    def run(self, shares: Sequence[Sequence[tuple[int, bytes]]]) -> None:
        """Every share by one thread, its calls (address of a kernel, its packed integers) one after the other."""
        # One block of memory: how many shares, two addresses, where each share's calls begin, the calls, the integers.
        calls = [call for share in shares for call in share]
        at = _LEAD + len(shares) + 1
        begins, place = [at], at + 2 * len(calls)
        for share in shares:
            begins.append(begins[-1] + 2 * len(share))
        table: list[int] = []
        for address, integers in calls:
            table += address, place
            place += len(integers) // 8
        head = struct.pack(f"{at + 2 * len(calls)}q", len(shares), self._number, self._size, *begins, *table)
        # As many threads as PyTorch has, even if some find nothing to do: a smaller team would end the others.
        size = max(len(shares), torch.get_num_threads())
        self._parallel(self._member, head + b"".join(integers for _, integers in calls), size, 0)


@cache
def _member() -> int:
    """The address of what a member of the team does: the shares of its number, and those a whole team further on."""
    i32, i64 = ir.IntType(32), ir.IntType(64)
    integers = i64.as_pointer()
    kernel, question = ir.FunctionType(ir.VoidType(), [integers]), ir.FunctionType(i32, [])
    module = ir.Module()
    module.triple = llvm.get_process_triple()
    function = ir.Function(module, kernel, "segmamba_member")
    (data,) = function.args
    begin, next_share, share, next_call, call, done, end = (function.append_basic_block() for _ in range(7))

    builder = ir.IRBuilder(begin)

    def at(place) -> ir.Value:
        return builder.gep(data, [ir.Constant(i64, place) if isinstance(place, int) else place])

    def answer(place: int) -> ir.Value:
        asked = builder.inttoptr(builder.load(at(place)), question.as_pointer())
        return builder.sext(builder.call(asked, []), i64)

    count, own, size = builder.load(at(0)), answer(1), answer(2)
    builder.branch(next_share)

    builder.position_at_end(next_share)
    number = builder.phi(i64)
    builder.cbranch(builder.icmp_signed("<", number, count), share, end)

    builder.position_at_end(share)
    first = builder.load(at(builder.add(number, ir.Constant(i64, _LEAD))))
    last = builder.load(at(builder.add(number, ir.Constant(i64, _LEAD + 1))))
    builder.branch(next_call)

    builder.position_at_end(next_call)
    place = builder.phi(i64)
    builder.cbranch(builder.icmp_signed("<", place, last), call, done)

    builder.position_at_end(call)
    address = builder.load(at(place))
    offset = builder.load(at(builder.add(place, ir.Constant(i64, 1))))
    builder.call(builder.inttoptr(address, kernel.as_pointer()), [at(offset)])
    following = builder.add(place, ir.Constant(i64, 2))
    builder.branch(next_call)

    builder.position_at_end(done)
    further = builder.add(number, size)
    builder.branch(next_share)

    builder.position_at_end(end)
    builder.ret_void()
    number.add_incoming(own, begin)
    number.add_incoming(further, done)
    place.add_incoming(first, share)
    place.add_incoming(following, call)
    return object_code.load_module(str(module), function.name)


@cache
def _found() -> Team | None:
    if "OpenMP" not in torch.__config__.parallel_info().partition("ATen parallel backend:")[2]:
        return None
    # What PyTorch is linked with is found through its own library, wherever it lies.
    for library in sorted((Path(torch.__file__).parent / "lib").glob("libtorch_cpu.*")):
        try:
            return Team(ctypes.CDLL(str(library)))
        except Exception as error:  # without a team there still is the pool
            _log.debug("no OpenMP in %s: %s", library, error)
    return None


def team() -> Team | None:
    """The team, or None where PyTorch has none of this kind, or in a forked process."""
    return None if _forked else _found()
