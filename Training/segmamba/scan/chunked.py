"""The scan in plain torch for any device: all chunks advance together, then the carry, then the correction."""

import math

import torch
import torch.nn.functional as F
from torch.autograd.function import once_differentiable

from segmamba.scan.precision import compute_type, no_autocast


def _chunk_length(length: int) -> int:
    """About the square root: as many steps in a chunk as chunks, so that neither loop dominates."""
    return max(8, min(256, 1 << round(math.log2(max(1, length)) / 2)))


def _cut(tensor: torch.Tensor, chunk: int) -> torch.Tensor:
    """(..., length) -> (chunk, ..., chunks), zero beyond the length."""
    tensor = F.pad(tensor, (0, -tensor.shape[-1] % chunk))
    return tensor.unflatten(-1, (-1, chunk)).movedim(-1, 0).contiguous()


def _join(parts: list[torch.Tensor], length: int) -> torch.Tensor:
    """The inverse of ``_cut``."""
    return torch.stack(parts, -1).flatten(-2)[..., :length]


def _starts(ends: torch.Tensor, decays: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """State at the start of every chunk, and at the end of the last, from local end states and decays."""
    carry = torch.zeros_like(ends[..., 0])
    starts = []
    for end, decay in zip(ends.unbind(-1), decays.unbind(-1), strict=True):
        starts.append(carry)
        carry = torch.addcmul(end, decay, carry)
    return torch.stack(starts, -1), carry


def _forward(steps, x, B, C, A):
    """Scan in blocks of chunks.

    Shapes: steps, x (batch, groups, width, length); B, C (batch, groups, state, length); A (groups, width, state).
    Inside, states are (batch, groups, state, width, chunks): the chunks lie side by side.

    Returns:
        y like x, the last state (batch, groups, state, width), and the state at the start of every chunk.
    """
    length = x.shape[-1]
    chunk = _chunk_length(length)
    rates = A.transpose(1, 2)[..., None]
    dts, xs, Bs, Cs = (_cut(tensor, chunk).unbind(0) for tensor in (steps, x, B, C))
    h, ys = None, []
    for dt, xt, b, c in zip(dts, xs, Bs, Cs, strict=True):
        new = xt.unsqueeze(2) * b.unsqueeze(3)
        h = new if h is None else torch.addcmul(new, torch.exp(dt.unsqueeze(2) * rates), h)
        ys.append((h * c.unsqueeze(3)).sum(2))
    total = torch.stack(dts).sum(0)
    starts, last = _starts(h, torch.exp(total.unsqueeze(2) * rates))
    del h
    carried = starts
    for t, (dt, c) in enumerate(zip(dts, Cs, strict=True)):
        carried = carried * torch.exp(dt.unsqueeze(2) * rates)
        ys[t] = ys[t] + (carried * c.unsqueeze(3)).sum(2)
    return _join(ys, length), last, starts


def _backward(steps, x, B, C, A, starts, dy, dlast):
    """Gradients of ``_forward`` with respect to steps, x, B, C, A; states are recomputed chunk by chunk."""
    length = x.shape[-1]
    chunk = _chunk_length(length)
    rates = A.transpose(1, 2)[..., None]
    dts, xs, Bs, Cs, dys = (_cut(tensor, chunk).unbind(0) for tensor in (steps, x, B, C, dy))
    # Adjoint at the end of every chunk: the same three phases, backwards.
    g = torch.zeros_like(starts)
    for dt, c, d in zip(reversed(dts), reversed(Cs), reversed(dys), strict=True):
        g = (g + d.unsqueeze(2) * c.unsqueeze(3)) * torch.exp(dt.unsqueeze(2) * rates)
    decays = torch.exp(torch.stack(dts).sum(0).unsqueeze(2) * rates)
    carry = torch.zeros_like(g[..., 0]) if dlast is None else dlast
    ends = []
    for local, decay in zip(reversed(g.unbind(-1)), reversed(decays.unbind(-1)), strict=True):
        ends.append(carry)
        carry = torch.addcmul(local, decay, carry)
    g = torch.stack(ends[::-1], -1)
    del decays, ends
    # A chunk's states are kept for the square root of its steps at a time.
    stretch = max(1, math.isqrt(chunk))
    marks, h = [], starts
    for t in range(chunk):
        if t % stretch == 0:
            marks.append(h)
        if t + 1 < chunk:
            new = xs[t].unsqueeze(2) * Bs[t].unsqueeze(3)
            h = torch.addcmul(new, torch.exp(dts[t].unsqueeze(2) * rates), h)
    ddt, dx, dB, dC = ([None] * chunk for _ in range(4))
    dA = torch.zeros_like(A)
    for mark in range(len(marks) - 1, -1, -1):
        first, after = mark * stretch, min(chunk, (mark + 1) * stretch)
        h, kept = marks.pop(), []
        for t in range(first, after):
            decay = torch.exp(dts[t].unsqueeze(2) * rates)
            carried = decay * h
            h = torch.addcmul(carried, xs[t].unsqueeze(2), Bs[t].unsqueeze(3))
            kept.append((decay, carried, h))
        for t in range(after - 1, first - 1, -1):
            decay, carried, h = kept.pop()
            d = dys[t].unsqueeze(2)
            g = torch.addcmul(g, d, Cs[t].unsqueeze(3))
            dC[t] = (h * d).sum(3)
            dB[t] = (g * xs[t].unsqueeze(2)).sum(3)
            dx[t] = (g * Bs[t].unsqueeze(3)).sum(2)
            carried = carried * g
            ddt[t] = (carried * rates).sum(2)
            dA += (carried * dts[t].unsqueeze(2)).sum((0, -1)).transpose(1, 2)
            g = g * decay
    return (*(_join(part, length) for part in (ddt, dx, dB, dC)), dA)


class _Recurrence(torch.autograd.Function):
    """y and last state of h_t = exp(steps_t A) h_(t-1) + x_t B_t, y_t = C_t h_t."""

    @staticmethod
    def forward(ctx, steps, x, B, C, A):
        y, last, starts = _forward(steps, x, B, C, A)
        ctx.save_for_backward(steps, x, B, C, A, starts)
        ctx.set_materialize_grads(False)
        return y, last

    @staticmethod
    @once_differentiable
    def backward(ctx, dy, dlast):
        if dy is None and dlast is None:
            return (None,) * 5
        steps, x, B, C, A, starts = ctx.saved_tensors
        if dy is None:
            dy = torch.zeros_like(x)
        with no_autocast(x.device.type):
            ddt, dx, dB, dC, dA = _backward(steps, x, B, C, A, starts, dy, dlast)
        return ddt, dx, dB, dC, dA


def selective_scan_chunked(
    u, delta, A, B, C, D=None, z=None, delta_bias=None, delta_softplus=False
) -> tuple[torch.Tensor, torch.Tensor]:
    """The scan of ``reference.selective_scan_reference`` with about 2 sqrt(length) steps in place of length.

    Memory beyond inputs and outputs is of the order of batch x channels x length, since only sqrt(length) chunks of
    states are held at a time. Computed in float64 where u is float64, else in float32; the output has u's dtype.
    """
    kind = compute_type(u)
    batch, channels, length = u.shape
    groups, state = B.shape[1], A.shape[1]
    width = channels // groups
    with no_autocast(u.device.type):
        values, steps, rates, B_, C_ = (tensor.to(kind) for tensor in (u, delta, A, B, C))
        if delta_bias is not None:
            steps = steps + delta_bias.to(kind)[:, None]
        if delta_softplus:
            steps = F.softplus(steps)
        split = (batch, groups, width, length)
        y, last = _Recurrence.apply(
            steps.reshape(split), (steps * values).reshape(split), B_, C_, rates.reshape(groups, width, state)
        )
        y = y.reshape(batch, channels, length)
        if D is not None:
            y = y + values * D.to(kind)[:, None]
        if z is not None:
            y = y * F.silu(z.to(kind))
        return y.to(u.dtype), last.transpose(2, 3).reshape(batch, channels, state)
