"""The scan on the processor: numba kernels over (batch, length, channels), forward and backward, multi-threaded."""

import itertools
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch.autograd.function import once_differentiable

from segmamba.native import threads
from segmamba.native.memory import empty
from segmamba.scan.cpu.kernels import backward_kernels, forward_kernels
from segmamba.scan.cpu.sizes import BACKWARD_SCRATCH, CHUNK, FORWARD_SCRATCH, LANES, PLACES
from segmamba.scan.orders import plain
from segmamba.scan.precision import no_autocast

_LOG2_E = 1.4426950408889634
# Tokens (times rows) between two meetings of the backward's threads: their sums for dB and dC take no more memory.
_MEETING = 8192


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


def zeros(*shape: int) -> torch.Tensor:
    """Float32 zeros on the processor, whatever default type or device the caller has set."""
    return torch.zeros(*shape, dtype=torch.float32, device="cpu")


def places() -> torch.Tensor:
    """Room for the places of the tokens that a kernel handles at a time."""
    return torch.empty(PLACES, dtype=torch.int64, device="cpu")


def splits(items: int) -> list[int]:
    """Bounds of the items of each thread."""
    count = max(1, min(torch.get_num_threads(), items))
    return [items * i // count for i in range(count + 1)]


def blocked_rates(A: torch.Tensor, groups: int) -> torch.Tensor:
    """A (channels, state) as the kernels read it: times log2(e), (groups, blocks, states, LANES), padded with zeros."""
    channels, true_states = A.shape
    width, states = channels // groups, -(-true_states // 4) * 4
    blocks = -(-width // LANES)
    rates = (A.detach().to(torch.float32) * _LOG2_E).view(groups, width, true_states)
    if blocks * LANES != width or states != true_states:
        rates = F.pad(rates, (0, states - true_states, 0, blocks * LANES - width))
    return rates.view(groups, blocks, LANES, states).transpose(2, 3).contiguous()


def unblock(blocked: torch.Tensor, batch: int, groups: int, width: int, true_states: int) -> torch.Tensor:
    """(items, states, LANES) -> (batch, channels, true_states), without what pads."""
    states = blocked.shape[1]
    blocked = blocked.view(batch, groups, -1, states, LANES).transpose(3, 4)
    return blocked.reshape(batch, groups, -1, states)[:, :, :width, :true_states].reshape(batch, -1, true_states)


@dataclass
class _Problem:
    """One call's arguments in the layout of the kernels; the tensors keep their memory alive."""

    shape: tuple[int, ...]  # length, blocks, width, groups, padded states, rank 0
    batch: int
    gated: bool
    tensors: tuple[torch.Tensor, ...]  # u, delta, z, B, C, D, bias, rates

    @property
    def items(self) -> int:
        return self.batch * self.shape[3] * self.shape[1]

    @property
    def chunks(self) -> int:
        return -(-self.shape[0] // CHUNK)

    def strides(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Those of u, delta, z (batch, token), and of B, C (batch, token, group)."""
        u, delta, z, B, C = self.tensors[:5]
        return (*u.stride()[:2], *delta.stride()[:2], *z.stride()[:2]), (*B.stride()[:3], *C.stride()[:3])


def _pose(u, delta, A, B, C, D, z, delta_bias) -> _Problem:
    batch, channels, length = u.shape
    groups = B.shape[1]
    width, states = channels // groups, -(-A.shape[1] // 4) * 4
    u, delta = _channels_last(u), _channels_last(delta)
    z_last = u if z is None else _channels_last(z)
    nothing = zeros(channels) if D is None or delta_bias is None else None
    skip = nothing if D is None else D.detach().to(torch.float32).contiguous()
    bias = nothing if delta_bias is None else delta_bias.detach().to(torch.float32).contiguous()
    tensors = (
        u, delta, z_last, _states_last(B, states), _states_last(C, states), skip, bias, blocked_rates(A, groups)
    )  # fmt: skip
    return _Problem((length, -(-width // LANES), width, groups, states, 0), batch, z is not None, tensors)


def _forward(problem: _Problem, soft: bool, keep: bool) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """Output (batch, length, channels), states (items, states, LANES) and checkpoints."""
    length, _, width, groups, states, _ = problem.shape
    out = empty(problem.batch, length, groups * width)
    state = zeros(problem.items, states, LANES)
    kept = empty(problem.items * problem.chunks * states * LANES) if keep else None
    bounds, run = splits(problem.items), forward_kernels().scan_forward
    scratch = [(empty(FORWARD_SCRATCH), places()) for _ in bounds[1:]]
    by_token, by_group = problem.strides()
    u, delta, z, B, C, skip, bias, rates = (tensor.data_ptr() for tensor in problem.tensors)

    def share(i: int) -> list[threads.Call]:
        call = run.packed(
            *problem.shape, *by_token, *out.stride()[:2], *by_group, bounds[i], bounds[i + 1], 0, problem.chunks,
            0, *plain(length), problem.gated, soft, keep, False, False, False, False,
            u, delta, 0, z, B, C, skip, bias, rates, state.data_ptr(), 0 if kept is None else kept.data_ptr(),
            out.data_ptr(), out.data_ptr(), *(room.data_ptr() for room in scratch[i]),
        )  # fmt: skip
        return [call]

    threads.run([share(i) for i in range(len(scratch))])
    return out, state, kept


def _block(tensor: torch.Tensor, problem: _Problem) -> torch.Tensor:
    """The inverse of ``unblock``; a copy."""
    _, blocks, width, groups, padded, _ = problem.shape
    states = tensor.shape[2]
    tensor = tensor.detach().to(torch.float32).reshape(problem.batch, groups, width, states)
    tensor = F.pad(tensor, (0, padded - states, 0, blocks * LANES - width)).contiguous()
    tensor = tensor.view(problem.batch, groups, blocks, LANES, padded).transpose(3, 4)
    return tensor.clone(memory_format=torch.contiguous_format).view(problem.items, padded, LANES)


def unused(bounds: list[int], blocks: int, rows: int) -> torch.Tensor:
    """For each worker and row, 1 where none of the row's items are the worker's."""
    return torch.tensor(
        [
            [int(last <= row * blocks or first >= (row + 1) * blocks) for row in range(rows)]
            for first, last in itertools.pairwise(bounds)
        ],
        dtype=torch.int64,
        device="cpu",
    )


def _backward(problem: _Problem, soft: bool, kept: torch.Tensor, dout, dlast, true_states: int):
    """Gradients with respect to u, delta, A, B, C, D, z, delta_bias, in float32."""
    length, blocks, width, groups, states, _ = problem.shape
    batch, channels, rows = problem.batch, groups * width, problem.batch * groups
    dout = _channels_last(dout)
    adjoint = zeros(problem.items, states, LANES) if dlast is None else _block(dlast, problem)
    du, ddelta = empty(batch, length, channels), empty(batch, length, channels)
    dz = empty(batch, length, channels) if problem.gated else None
    d_rates = zeros(problem.items, states, LANES)
    dD, dbias = zeros(problem.items, LANES), zeros(problem.items, LANES)
    dB, dC = empty(rows, length, true_states), empty(rows, length, true_states)

    bounds = splits(problem.items)
    workers = len(bounds) - 1
    step = CHUNK * max(1, min(_MEETING // (CHUNK * rows), problem.chunks))
    size = rows * step * states
    partial_b, partial_c = empty(workers * size), empty(workers * size)
    scratch = [(empty(BACKWARD_SCRATCH), places()) for _ in range(workers)]
    none_of = unused(bounds, blocks, rows)
    by_token, by_group = problem.strides()
    compiled, order, row_stride = backward_kernels(), plain(length), length * true_states

    for first in range((length - 1) // step * step, -1, -step):
        span = min(step, length - first)
        part = rows * -(-span // CHUNK) * CHUNK * states
        u, delta, z, B, C = (t.data_ptr() + 4 * first * t.stride(1) for t in problem.tensors[:5])
        skip, bias, rates = (t.data_ptr() for t in problem.tensors[5:])
        outs = [0 if t is None else t.data_ptr() + 4 * first * channels for t in (du, ddelta, dz)]

        inputs = u, delta, 0, z, B, C, skip, bias, rates
        scans, sums = [], []
        for i in range(workers):
            call = compiled.scan_backward.packed(
                span, *problem.shape[1:], *by_token, *dout.stride()[:2], *du.stride()[:2], *by_group,
                bounds[i], bounds[i + 1], first // CHUNK, problem.chunks, first, *order, problem.gated, soft,
                *inputs, kept.data_ptr(), dout.data_ptr(), adjoint.data_ptr(), *outs,
                d_rates.data_ptr(), dD.data_ptr(), dbias.data_ptr(),
                partial_b.data_ptr() + 4 * i * part, partial_c.data_ptr() + 4 * i * part,
                *(room.data_ptr() for room in scratch[i]),
            )  # fmt: skip
            scans.append([call])
            sums.append([
                compiled.gather_states.packed(
                    rows, -(-span // CHUNK), states, true_states, workers, span * i // workers,
                    span * (i + 1) // workers, partial.data_ptr(), part, none_of.data_ptr(), total.data_ptr(),
                    first * true_states, row_stride, true_states,
                )
                for partial, total in ((partial_b, dB), (partial_c, dC))
            ])  # fmt: skip
        threads.run(scans)
        threads.run(sums)

    def per_channel(blocked: torch.Tensor) -> torch.Tensor:
        return blocked.view(batch, groups, blocks * LANES)[:, :, :width].reshape(batch, channels).sum(0)

    def grouped(total: torch.Tensor) -> torch.Tensor:
        return total.view(batch, groups, length, true_states).transpose(2, 3)

    return (
        du.transpose(1, 2),
        ddelta.transpose(1, 2),
        unblock(d_rates, batch, groups, width, true_states).sum(0),
        grouped(dB),
        grouped(dC),
        per_channel(dD),
        None if dz is None else dz.transpose(1, 2),
        per_channel(dbias),
    )


def _last(state: torch.Tensor, problem: _Problem, true_states: int) -> torch.Tensor:
    return unblock(state, problem.batch, problem.shape[3], problem.shape[2], true_states)


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(ctx, soft, u, delta, A, B, C, D, z, delta_bias):
        problem = _pose(u, delta, A, B, C, D, z, delta_bias)
        out, state, kept = _forward(problem, soft, keep=True)
        ctx.save_for_backward(u, delta, A, B, C, D, z, delta_bias, kept)
        ctx.soft = soft
        ctx.set_materialize_grads(False)
        return out.transpose(1, 2).to(u.dtype), _last(state, problem, A.shape[1])

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
        return out.transpose(1, 2).to(u.dtype), _last(state, problem, A.shape[1])
