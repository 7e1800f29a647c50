"""The scan in plain torch for any device, block by block, with no array larger than a block or an input."""

import torch
import torch.nn.functional as F
from torch.autograd.function import once_differentiable

from segmamba.scan.chunked_backward import backward
from segmamba.scan.chunked_blocks import Block, Inputs, Plan, flush, make_plan
from segmamba.scan.precision import compute_type, no_autocast


def _time_first(tensor: torch.Tensor, groups: int) -> torch.Tensor:
    """(batch, channels, length) -> (length, batch, groups, width), a view."""
    return tensor.detach().unflatten(1, (groups, -1)).permute(3, 0, 1, 2)


def _time_last(tensor: torch.Tensor) -> torch.Tensor:
    """The inverse of ``_time_first``, or, from (length, batch, groups, state, 1), (batch, groups, state, length)."""
    if tensor.ndim == 5:
        return tensor.squeeze(4).permute(1, 2, 3, 0)
    return tensor.permute(1, 2, 3, 0).flatten(1, 2)


def _states_last(tensor: torch.Tensor) -> torch.Tensor:
    """(..., groups, state, width) -> (..., channels, state)."""
    return tensor.transpose(-1, -2).flatten(-3, -2)


def _pose(u, delta, A, B, C, D, z, delta_bias, soft: bool) -> Inputs:
    kind, groups = compute_type(u), B.shape[1]

    def per_channel(tensor):
        return None if tensor is None else tensor.detach().to(kind).unflatten(0, (groups, -1))

    return Inputs(
        _time_first(u, groups),
        _time_first(delta, groups),
        None if z is None else _time_first(z, groups),
        B.detach().permute(3, 0, 1, 2).unsqueeze(4),
        C.detach().permute(3, 0, 1, 2).unsqueeze(4),
        per_channel(D),
        per_channel(delta_bias),
        per_channel(A).transpose(1, 2).contiguous(),
        soft,
    )


def _forward(plan: Plan, kind: torch.dtype, keep: bool) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """Output (length, batch, groups, width) of the given type, last state (batch, groups, state, width), and if they
    are to be kept the states before every block (blocks, batch, groups, state, width).
    """
    inputs = plan.inputs
    length, batch, groups, state, width = inputs.sizes
    out = torch.empty(batch, length, groups, width, dtype=kind, device=inputs.u.device).transpose(0, 1)
    last = inputs.rates.new_zeros(batch, groups, state, width)
    spans = plan.spans()
    starts = inputs.rates.new_empty(len(spans), *last.shape) if keep else None
    memory = plan.memory(2)
    for rows, lanes in plan.tiles():
        tile, tile_out = inputs.tile(rows, lanes), out[:, rows, :, lanes]
        carry = last[rows, ..., lanes].contiguous()
        block = None
        for i, span in enumerate(spans):
            part = tile.part(span).cast()
            if block is None or block.tokens != len(part.u):
                block = Block(memory, len(part.u), carry, tile.rates)
            if starts is not None:
                starts[i, rows, ..., lanes] = carry
            block.start.copy_(carry)
            block.fill(part, part.steps_before_softplus())
            y = block.output(part)
            tile_out[span] = y if part.z is None else y.mul_(F.silu(part.z))
            carry.copy_(block.states[-1])
            flush(carry)
        last[rows, ..., lanes] = carry
    return out, last, starts


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(ctx, soft, *arrays):
        plan = make_plan(_pose(*arrays, soft))
        out, last, starts = _forward(plan, arrays[0].dtype, keep=True)
        ctx.save_for_backward(*arrays, starts)
        # Kept, because the number of threads, on which a plan depends, may be another in the backward.
        ctx.soft, ctx.cut = soft, (plan.rows, plan.lanes, plan.tokens)
        ctx.set_materialize_grads(False)
        return _time_last(out), _states_last(last)

    @staticmethod
    @once_differentiable
    def backward(ctx, dout, dlast):
        *arrays, starts = ctx.saved_tensors
        if dout is None:
            if dlast is None:
                return (None,) * 9
            dout = torch.zeros_like(arrays[0])
        groups = starts.shape[2]
        if dlast is not None:
            dlast = dlast.unflatten(1, (groups, -1)).transpose(2, 3)
        with no_autocast(dout.device.type):
            plan = Plan(_pose(*arrays, ctx.soft), *ctx.cut)
            got = backward(plan, starts, _time_first(dout, groups), dlast)
        grads = (
            _time_last(got.u),
            _time_last(got.delta),
            _states_last(got.rates),
            _time_last(got.B),
            _time_last(got.C),
            None if got.D is None else got.D.flatten(),
            None if got.z is None else _time_last(got.z),
            None if got.bias is None else got.bias.flatten(),
        )
        return None, *(
            grad.to(tensor.dtype) if tensor is not None and needed else None
            for grad, tensor, needed in zip(grads, arrays, ctx.needs_input_grad[1:], strict=True)
        )


def selective_scan_chunked(
    u, delta, A, B, C, D=None, z=None, delta_bias=None, delta_softplus=False
) -> tuple[torch.Tensor, torch.Tensor]:
    """The scan of ``reference.selective_scan_reference`` in operations on whole blocks of tokens and channels.

    A block's states are computed together: decays exp(delta'_t A) and inputs delta'_t B_t u_t for all its tokens at
    once, then the recurrence through them in place, then the contraction with C. Blocks follow each other along the
    sequence. They have a fixed size in bytes, so that memory beyond inputs and output does not grow; for the backward,
    which computes the states again, the state before every block is kept, at most about batch x channels x length
    numbers (half of that for up to 16 states).

    B and C are (batch, groups, state, length). Computed in float64 where u is float64, else in float32; the output has
    u's dtype, and is channels last in memory. Results are the same bit for bit from run to run with the same number of
    threads.
    """
    inputs = (u, delta, A, B, C, D, z, delta_bias)
    with no_autocast(u.device.type):
        if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in inputs):
            return _Scan.apply(bool(delta_softplus), *inputs)
        out, last, _ = _forward(make_plan(_pose(*inputs, bool(delta_softplus))), u.dtype, keep=False)
        return _time_last(out), _states_last(last)
