"""The scan on the processor: numba kernels over (batch, length, channels), forward and backward, multi-threaded."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch.autograd.function import once_differentiable

from segmamba.native import threads
from segmamba.native.memory import empty
from segmamba.scan.cpu_entry import kernels
from segmamba.scan.cpu_kernels import BACKWARD_SCRATCH, CHUNK, FORWARD_SCRATCH, LANES
from segmamba.scan.precision import no_autocast

_LOG2_E = 1.4426950408889634
_NONE = np.zeros(1, np.float32)
# Tokens (times rows) between two meetings of the backward's threads: their sums for dB and dC take no more memory.
_MEETING = 8192


def _flat(tensor: torch.Tensor) -> np.ndarray:
    """The memory that a strided tensor spans, as a flat array that begins at its first element."""
    if tensor.numel() == 0:
        return _NONE
    span = 1 + sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    return tensor.detach().as_strided((span,), (1,)).numpy()


def _channels_last(tensor: torch.Tensor) -> torch.Tensor:
    """(batch, channels, length) as float32 (batch, length, channels) with adjacent channels; copied only if need be."""
    tensor = tensor.detach().transpose(1, 2).to(torch.float32)
    if (tensor.stride(2) == 1 or tensor.shape[2] == 1) and min(tensor.stride()) >= 0:
        return tensor
    return tensor.contiguous()


def _states_last(tensor: torch.Tensor, states: int) -> torch.Tensor:
    """(batch, groups, state, length) as float32 (batch, length, groups, states), padded with zeros, adjacent states."""
    tensor = tensor.detach().permute(0, 3, 1, 2).to(torch.float32)
    if tensor.shape[3] != states:
        # contiguous, because padding keeps what it takes for a memory format.
        return F.pad(tensor, (0, states - tensor.shape[3])).contiguous()
    return tensor if tensor.stride(3) == 1 else tensor.contiguous()


@dataclass
class _Problem:
    """One call's arguments in the layout of the kernels; the tensors keep the memory of the arrays alive."""

    shape: tuple[int, ...]  # length, blocks, width, groups, padded states
    strides: tuple[int, ...]
    batch: int
    gated: bool
    tensors: tuple[torch.Tensor, ...]
    arrays: tuple[np.ndarray, ...]  # u, delta, z, B, C, D, bias, rates

    @property
    def items(self) -> int:
        return self.batch * self.shape[3] * self.shape[1]

    @property
    def chunks(self) -> int:
        return -(-self.shape[0] // CHUNK)

    def splits(self) -> list[int]:
        """Bounds of the items of each thread."""
        count = max(1, min(torch.get_num_threads(), self.items))
        return [self.items * i // count for i in range(count + 1)]


def _pose(u, delta, A, B, C, D, z, delta_bias) -> _Problem:
    batch, channels, length = u.shape
    groups, true_states = B.shape[1], A.shape[1]
    width, states = channels // groups, -(-true_states // 4) * 4
    blocks = -(-width // LANES)
    rates = (A.detach().to(torch.float32) * _LOG2_E).view(groups, width, true_states)
    if blocks * LANES != width or states != true_states:
        rates = F.pad(rates, (0, states - true_states, 0, blocks * LANES - width))
    rates = rates.view(groups, blocks, LANES, states).transpose(2, 3).contiguous()
    u, delta = _channels_last(u), _channels_last(delta)
    z_last = u if z is None else _channels_last(z)
    B, C = _states_last(B, states), _states_last(C, states)
    nothing = _zeros(channels) if D is None or delta_bias is None else None
    skip = nothing if D is None else D.detach().to(torch.float32).contiguous()
    bias = nothing if delta_bias is None else delta_bias.detach().to(torch.float32).contiguous()
    strides = (*u.stride()[:2], *delta.stride()[:2], *z_last.stride()[:2], *B.stride()[:3], *C.stride()[:3])
    tensors = (u, delta, z_last, B, C, skip, bias, rates)
    return _Problem(
        (length, blocks, width, groups, states),
        strides,
        batch,
        z is not None,
        tensors,
        tuple(_flat(tensor) for tensor in tensors),
    )


def _zeros(*shape: int) -> torch.Tensor:
    # Said in full, because the caller may have set another default type or device.
    return torch.zeros(*shape, dtype=torch.float32, device="cpu")


def _scratch(size: int) -> np.ndarray:
    # torch aligns to 64 bytes, numpy need not: a vector across two cache lines costs twice.
    return empty(size).numpy()


def _forward(problem: _Problem, soft: bool, keep: bool) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """Output (batch, length, channels), states (items, states, LANES) and checkpoints."""
    length, _, width, groups, states = problem.shape
    out = empty(problem.batch, length, groups * width)
    state = _zeros(problem.items, states, LANES)
    kept = empty(problem.items * problem.chunks * states * LANES) if keep else None
    splits, run = problem.splits(), kernels().forward
    out_array, state_array = out.view(-1).numpy(), state.view(-1).numpy()
    kept_array = _NONE if kept is None else kept.numpy()

    def work(i: int) -> None:
        run(
            problem.shape, problem.strides, (splits[i], splits[i + 1]), (0, problem.chunks),
            problem.gated, soft, keep, *problem.arrays, state_array, kept_array, out_array, _scratch(FORWARD_SCRATCH),
        )  # fmt: skip

    threads.run(work, len(splits) - 1)
    return out, state, kept


def _unblock(blocked: torch.Tensor, problem: _Problem, states: int) -> torch.Tensor:
    """(items, states, LANES) -> (batch, channels, states), without what pads."""
    _, blocks, width, groups, padded = problem.shape
    blocked = blocked.view(problem.batch, groups, blocks, padded, LANES).transpose(3, 4)
    blocked = blocked.reshape(problem.batch, groups, blocks * LANES, padded)
    return blocked[:, :, :width, :states].reshape(problem.batch, groups * width, states)


def _block(tensor: torch.Tensor, problem: _Problem) -> torch.Tensor:
    """The inverse of ``_unblock``; a copy."""
    _, blocks, width, groups, padded = problem.shape
    states = tensor.shape[2]
    tensor = tensor.detach().to(torch.float32).reshape(problem.batch, groups, width, states)
    tensor = F.pad(tensor, (0, padded - states, 0, blocks * LANES - width)).contiguous()
    tensor = tensor.view(problem.batch, groups, blocks, LANES, padded).transpose(3, 4)
    return tensor.clone(memory_format=torch.contiguous_format).view(problem.items, padded, LANES)


def _backward(problem: _Problem, soft: bool, kept: torch.Tensor, dout, dlast, true_states: int):
    """Gradients with respect to u, delta, A, B, C, D, z, delta_bias, in float32."""
    length, blocks, width, groups, states = problem.shape
    batch, channels, rows = problem.batch, groups * width, problem.batch * groups
    dout = _channels_last(dout)
    adjoint = _zeros(problem.items, states, LANES) if dlast is None else _block(dlast, problem)
    du, ddelta = empty(batch, length, channels), empty(batch, length, channels)
    dz = empty(batch, length, channels) if problem.gated else None
    d_rates = _zeros(problem.items, states, LANES)
    dD, dbias = _zeros(problem.items, LANES), _zeros(problem.items, LANES)
    dB, dC = empty(rows, length, true_states), empty(rows, length, true_states)

    splits = problem.splits()
    workers = len(splits) - 1
    step = max(1, _MEETING // (CHUNK * rows))
    spans = [(max(0, last - step), last) for last in range(problem.chunks, 0, -step)]
    size = rows * min(step, problem.chunks) * CHUNK * states
    partial_b, partial_c = _scratch(workers * size), _scratch(workers * size)
    scratch = [_scratch(BACKWARD_SCRATCH) for _ in range(workers)]
    strides = (*problem.strides, *dout.stride()[:2])
    flat = [_NONE if t is None else t.view(-1).numpy() for t in (adjoint, du, ddelta, dz, d_rates, dD, dbias)]
    kept_array, dout_array, split_array = kept.numpy(), _flat(dout), np.asarray(splits, np.int64)
    totals = dB.view(-1).numpy(), dC.view(-1).numpy()
    compiled = kernels()

    for span in spans:
        part = rows * (span[1] - span[0]) * CHUNK * states
        first, last = span[0] * CHUNK, min(length, span[1] * CHUNK)

        def work(i: int, span=span, part=part) -> None:
            compiled.backward(
                problem.shape, strides, (splits[i], splits[i + 1]), span, problem.gated, soft,
                *problem.arrays, kept_array, dout_array, *flat,
                partial_b[i * part : (i + 1) * part], partial_c[i * part : (i + 1) * part], scratch[i],
            )  # fmt: skip

        def collect(i: int, span=span, first=first, last=last) -> None:
            bounds = first + (last - first) * i // workers, first + (last - first) * (i + 1) // workers
            for partial, total in zip((partial_b, partial_c), totals, strict=True):
                compiled.gather(problem.shape, true_states, span, bounds, split_array, partial, total)

        threads.run(work, workers)
        threads.run(collect, workers)

    def per_channel(blocked: torch.Tensor) -> torch.Tensor:
        return blocked.view(batch, groups, blocks * LANES)[:, :, :width].reshape(batch, channels).sum(0)

    def grouped(total: torch.Tensor) -> torch.Tensor:
        return total.view(batch, groups, length, true_states).transpose(2, 3)

    return (
        du.transpose(1, 2),
        ddelta.transpose(1, 2),
        _unblock(d_rates, problem, true_states).sum(0),
        grouped(dB),
        grouped(dC),
        per_channel(dD),
        None if dz is None else dz.transpose(1, 2),
        per_channel(dbias),
    )


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(ctx, soft, u, delta, A, B, C, D, z, delta_bias):
        problem = _pose(u, delta, A, B, C, D, z, delta_bias)
        out, state, kept = _forward(problem, soft, keep=True)
        ctx.save_for_backward(u, delta, A, B, C, D, z, delta_bias, kept)
        ctx.soft = soft
        ctx.set_materialize_grads(False)
        return out.transpose(1, 2).to(u.dtype), _unblock(state, problem, A.shape[1])

    @staticmethod
    @once_differentiable
    def backward(ctx, dout, dlast):
        *inputs, kept = ctx.saved_tensors
        if dout is None:
            if dlast is None:
                return (None,) * 9
            dout = torch.zeros_like(inputs[0])
        with no_autocast("cpu"):
            problem = _pose(*inputs)
            grads = _backward(problem, ctx.soft, kept, dout, dlast, inputs[2].shape[1])
        return None, *(
            grad.to(tensor.dtype) if tensor is not None and needed else None
            for grad, tensor, needed in zip(grads, inputs, ctx.needs_input_grad[1:], strict=True)
        )


def selective_scan_cpu(
    u, delta, A, B, C, D=None, z=None, delta_bias=None, delta_softplus=False
) -> tuple[torch.Tensor, torch.Tensor]:
    """The scan of ``reference.selective_scan_reference``, in float32 on the processor.

    B and C are (batch, groups, state, length). The output has u's dtype, the last state is float32. A tensor whose
    channels are adjacent in memory is read where it lies, any other is copied once. Results are the same bit for bit
    from run to run with the same number of threads, which is ``torch.get_num_threads()``.
    """
    inputs = (u, delta, A, B, C, D, z, delta_bias)
    with no_autocast("cpu"):
        if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in inputs):
            return _Scan.apply(bool(delta_softplus), *inputs)
        problem = _pose(*inputs)
        out, state, _ = _forward(problem, bool(delta_softplus), keep=False)
        return out.transpose(1, 2).to(u.dtype), _unblock(state, problem, A.shape[1])
