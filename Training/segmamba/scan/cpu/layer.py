"""The inside of a Mamba mixer on the processor: convolutions, projections and scans of all directions, fused.

Between in_proj and out_proj a mixer is bound by memory, not by the scan: so a direction's tokens pass in spans that
stay in the cache through convolution, x_proj, dt_proj and scan; the orders of the directions are index maps; their
results are summed in place, and gated by the last.  Of a training step only xz, the sum and the scans' checkpoints are
kept; the backward computes the spans again.
"""

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from segmamba.native import threads
from segmamba.native.memory import empty
from segmamba.scan.cpu.kernels import forward_kernels
from segmamba.scan.cpu.layer_backward import Backward
from segmamba.scan.cpu.packed import Packed
from segmamba.scan.cpu.scan import zeros
from segmamba.scan.cpu.sizes import CHUNK, FORWARD_SCRATCH, LANES
from segmamba.scan.cpu.spans import Spans
from segmamba.scan.orders import Order, plain
from segmamba.scan.precision import no_autocast
from segmamba.scan.weights import Weights


def mix_on_processor(xz: Tensor, weights: list[Weights], orders: list[Order]) -> Tensor:
    """SiLU(z) times the sum of the directions' scans of x.

    Args:
        xz: (B, L, 2 di), float32 or bf16: x, then z; channels adjacent.
        weights: Of each direction.
        orders: In which each reads the L tokens.

    Returns:
        (B, L, di) in the type of xz; computed in float32.
    """
    parameters = [tensor for direction in weights for tensor in direction]
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (xz, *parameters)):
        return _Mix.apply(xz, orders, *parameters)
    with no_autocast("cpu"):
        return _Forward(_rows(xz), [Packed.of(direction) for direction in weights], keep=False).run(orders)


class Stream:
    """One forward direction, fed piece by piece: it need not lie in memory as a whole. Not differentiable.

    Args:
        weights: Of the direction.
        batch: Number of sequences.
    """

    def __init__(self, weights: Weights, batch: int):
        self._packed = Packed.of(weights)
        channels = weights.D.shape[0]
        self._state = zeros(batch * -(-channels // LANES), self._packed.states, LANES)

    def __call__(self, xz: Tensor, lead: int) -> Tensor:
        """The next tokens.

        Args:
            xz: (B, lead + n, 2 di), of any floating type; a multiple of 32 new tokens, but for the last piece.
            lead: How many tokens, of the pieces before, stand in front: three, or none at the beginning.

        Returns:
            (B, n, di), of the type of xz.
        """
        with no_autocast("cpu"):
            gated = _Forward(_rows(xz), [self._packed], False, lead).run([plain(xz.shape[1])], self._state)
        return gated[:, lead:].to(xz.dtype)


def _rows(tensor: Tensor) -> Tensor:
    tensor = tensor.detach()
    return tensor if tensor.stride(2) == 1 and min(tensor.stride()) >= 0 else tensor.contiguous()


class _Forward:
    """Gated sum of the directions; with ``keep``, for training, also the sum and the checkpoints of each direction."""

    def __init__(self, xz: Tensor, packed: list[Packed], keep: bool, lead: int = 0):
        batch, length, double = xz.shape
        if xz.dtype not in (torch.float32, torch.bfloat16):  # the kernels read no others
            xz = xz.float()
        self.xz, self.keep, self.halves = xz, keep, xz.dtype == torch.bfloat16
        self.channels = double // 2
        self.packed = packed
        self.spans = Spans(batch, length - lead, self.channels, packed[0].wide, lead)
        shape = batch, length, self.channels
        self.gated = torch.empty(*shape, dtype=xz.dtype, device="cpu") if self.halves else empty(*shape)
        # The sum has memory of its own where it is wanted, too, or the gated one is of another type.
        apart = keep or (self.halves and len(packed) > 1)
        self.total = empty(*shape) if apart else self.gated
        self.checkpoints: list[Tensor] = []
        self.scratch = [empty(FORWARD_SCRATCH) for _ in self.spans.bounds[1:]]

    def run(self, orders: list[Order], carried: Tensor | None = None) -> Tensor:
        """The gated sum (B, L, di); ``carried`` is the state that a single direction begins with and leaves."""
        spans, items = self.spans, self.xz.shape[0] * self.spans.blocks
        for n, (packed, order) in enumerate(zip(self.packed, orders, strict=True)):
            state = zeros(items, packed.states, LANES) if carried is None else carried
            if self.keep:
                self.checkpoints.append(empty(items * spans.chunks * packed.states * LANES))
            for first in spans.starts:
                spans.project(self.xz, packed, order, first)
                threads.run([self._scan(n, packed, order, first, state, i) for i in range(len(self.scratch))])
        return self.gated

    def _scan(self, n: int, packed: Packed, order: Order, first: int, state: Tensor, i: int) -> list[threads.Call]:
        spans, xz = self.spans, self.xz
        by_group, (u, ranks, dt_weight, b_at, c_at) = spans.scan_arguments(packed)
        z_at = xz.data_ptr() + xz.element_size() * self.channels
        call = forward_kernels().scan_forward.packed(
            spans.tokens(first), spans.blocks, self.channels, 1, packed.states, packed.rank,
            *spans.u.stride()[:2], *spans.projected.stride()[:2], *xz.stride()[:2], *self.gated.stride()[:2], *by_group,
            spans.bounds[i], spans.bounds[i + 1], first // CHUNK, spans.chunks, first + spans.lead, *order,
            n == len(self.packed) - 1, True, self.keep, n > 0, self.keep, self.halves, self.halves,
            u, ranks, dt_weight, z_at, b_at, c_at,
            packed.skip.data_ptr(), packed.dt_bias.data_ptr(), packed.rates.data_ptr(), state.data_ptr(),
            self.checkpoints[n].data_ptr() if self.keep else 0, self.total.data_ptr(), self.gated.data_ptr(),
            self.scratch[i].data_ptr(), spans.places[i].data_ptr(),
        )  # fmt: skip
        return [call]


class _Mix(torch.autograd.Function):
    @staticmethod
    def forward(ctx, xz, orders, *parameters):
        rows = _rows(xz)
        with no_autocast("cpu"):
            packed = [Packed.of(direction) for direction in Weights.grouped(parameters)]
            forward = _Forward(rows, packed, keep=True)
            gated = forward.run(orders)
        ctx.save_for_backward(rows, forward.total, *forward.checkpoints, *parameters)
        ctx.orders = orders
        return gated

    @staticmethod
    @once_differentiable
    def backward(ctx, dout):
        xz, total, *saved = ctx.saved_tensors
        count = len(ctx.orders)
        checkpoints, parameters = saved[:count], saved[count:]
        with no_autocast("cpu"):
            backward = Backward(xz, Weights.grouped(parameters), total, checkpoints, _rows(dout.to(torch.float32)))
            dxz, gradients = backward.run(ctx.orders)
        gradients = [g.to(p.dtype).view_as(p) for g, p in zip(gradients, parameters, strict=True)]
        return dxz.to(xz.dtype), None, *gradients
