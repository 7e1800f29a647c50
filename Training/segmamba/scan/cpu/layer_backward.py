"""The way back through the fused mixer: spans in reverse, each computed again from what lies in the cache."""

from dataclasses import dataclass

import torch
from torch import Tensor

from segmamba.native import threads
from segmamba.native.memory import empty
from segmamba.scan.cpu.kernels import backward_kernels
from segmamba.scan.cpu.packed import Packed
from segmamba.scan.cpu.scan import unblock, unused, zeros
from segmamba.scan.cpu.sizes import BACKWARD_SCRATCH, CHUNK, CONV_SCRATCH, LANES, TAPS
from segmamba.scan.cpu.spans import Spans, row_of
from segmamba.scan.orders import Order
from segmamba.scan.weights import Weights


@dataclass
class _Direction:
    """One direction: its weights and order, what its spans carry to one another, and its gradients as they grow."""

    number: int
    packed: Packed
    order: Order
    checkpoints: Tensor
    adjoint: Tensor
    d_rates: Tensor
    dD: Tensor
    dbias: Tensor
    d_x_weight: Tensor  # of this and the next two, each worker's own
    d_dt_weight: Tensor
    d_conv: Tensor
    after: Tensor  # before the activation, of the three tokens after the span
    before: Tensor

    @staticmethod
    def of(number: int, packed: Packed, order: Order, checkpoints: Tensor, spans: Spans) -> "_Direction":
        """A direction at the end of its sequence."""
        items, workers, padded = spans.batch * spans.blocks, spans.workers, spans.padded
        return _Direction(
            number, packed, order, checkpoints,
            zeros(items, packed.states, LANES), zeros(items, packed.states, LANES),
            zeros(items, LANES), zeros(items, LANES),
            zeros(workers, packed.rank + 2 * packed.states, padded), zeros(workers, packed.rank, padded),
            zeros(workers, TAPS + 1, padded), *(zeros(spans.batch, TAPS - 1, padded) for _ in range(2)),
        )  # fmt: skip

    def gradients(self, batch: int, channels: int) -> Weights:
        """Those of the weights."""
        return self.packed.unpack(
            self.d_conv.sum(0),
            self.d_x_weight.sum(0),
            self.d_dt_weight.sum(0),
            self.dbias.view(batch, -1).sum(0),
            unblock(self.d_rates, batch, 1, channels, self.packed.true_states).sum(0),
            self.dD.view(batch, -1).sum(0),
        )


class Backward:
    """Gradients of xz and of every direction's weights, in float32.

    Args:
        xz: (B, L, 2 di), as the forward was given.
        weights: Of each direction.
        total: (B, L, di), the directions' sum before the gate.
        checkpoints: Of each direction's scan.
        dout: (B, L, di) float32, channels adjacent.
    """

    def __init__(self, xz: Tensor, weights: list[Weights], total: Tensor, checkpoints: list[Tensor], dout: Tensor):
        batch, length, double = xz.shape
        self.xz, self.total, self.dout, self.checkpoints = xz, total, dout, checkpoints
        self.halves = xz.dtype == torch.bfloat16
        self.channels = double // 2
        self.packed = [Packed.of(direction) for direction in weights]
        first = self.packed[0]
        self.spans = spans = Spans(batch, length, self.channels, first.wide)
        self.dxz = empty(batch, length, double)
        # Zeros, because what pads the channels is multiplied, too.
        self.du, self.ddelta = zeros(*spans.u.shape), zeros(*spans.u.shape)
        self.dprojected = empty(*spans.projected.shape)
        self.scanners = len(spans.bounds) - 1
        self.scratch = [empty(BACKWARD_SCRATCH) for _ in range(self.scanners)]
        self.conv_scratch = [empty(CONV_SCRATCH) for _ in range(spans.workers)]
        self.none_of = unused(spans.bounds, spans.blocks, batch).t().contiguous()  # (sequence, worker)
        self.partial_b = empty(self.scanners, batch * spans.step * first.states)
        self.partial_c = empty(self.scanners, batch * spans.step * first.states)

    def run(self, orders: list[Order]) -> tuple[Tensor, list[Tensor]]:
        """The gradient of xz, and the weights' in their order."""
        spans, gradients = self.spans, []
        count = max(1, min(torch.get_num_threads(), self.xz.shape[1]))
        # z's place holds the gradient of the sum until all directions have read it.
        threads.run([self._gate(count, None, i) for i in range(count)])
        for n, (packed, order) in enumerate(zip(self.packed, orders, strict=True)):
            direction = _Direction.of(n, packed, order, self.checkpoints[n], spans)
            for first in reversed(spans.starts):
                spans.project(self.xz, packed, order, first)
                pieces = spans.pieces(first)
                threads.run([self._scan(direction, first, i) for i in range(self.scanners)])
                threads.run([self._project(direction, first, pieces, i) for i in range(len(pieces))])
                threads.run([self._convolve(direction, first, pieces, i) for i in range(len(pieces))])
                direction.after, direction.before = direction.before, direction.after
            gradients += direction.gradients(self.xz.shape[0], self.channels)
        threads.run([self._gate(count, self.total, i) for i in range(count)])
        return self.dxz, gradients

    def _scan(self, direction: _Direction, first: int, i: int) -> list[threads.Call]:
        """Gradients of u and delta, and parts of those of B and C."""
        spans, packed = self.spans, direction.packed
        by_group, (u, ranks, dt_weight, b_at, c_at) = spans.scan_arguments(packed)
        call = backward_kernels().scan_backward.packed(
            spans.tokens(first), spans.blocks, self.channels, 1, packed.states, packed.rank,
            *spans.u.stride()[:2], *spans.projected.stride()[:2], 0, 0, *self.dxz.stride()[:2], *self.du.stride()[:2],
            *by_group, spans.bounds[i], spans.bounds[i + 1], first // CHUNK, spans.chunks, first, *direction.order,
            False, True, u, ranks, dt_weight, 0, b_at, c_at, packed.skip.data_ptr(), packed.dt_bias.data_ptr(),
            packed.rates.data_ptr(), direction.checkpoints.data_ptr(), self.dxz.data_ptr() + 4 * self.channels,
            direction.adjoint.data_ptr(), self.du.data_ptr(), self.ddelta.data_ptr(), 0,
            direction.d_rates.data_ptr(), direction.dD.data_ptr(), direction.dbias.data_ptr(),
            self.partial_b[i].data_ptr(), self.partial_c[i].data_ptr(),
            self.scratch[i].data_ptr(), spans.places[i].data_ptr(),
        )  # fmt: skip
        return [call]

    def _project(self, direction: _Direction, first: int, pieces, i: int) -> list[threads.Call]:
        """Through dt_proj and x_proj: the rest of the gradient of u, and those of their weights."""
        spans, packed = self.spans, direction.packed
        chunks = -(-spans.tokens(first) // CHUNK)
        part = 4 * chunks * CHUNK * packed.states
        return [
            backward_kernels().project_back.packed(
                spans.padded, packed.rank, packed.states, self.partial_b.stride(0), packed.wide // LANES,
                -(-packed.rank // LANES), chunks, self.scanners, start, last, self.none_of[row].data_ptr(),
                self.partial_b.data_ptr() + row * part, self.partial_c.data_ptr() + row * part,
                row_of(spans.u, row), row_of(self.ddelta, row), row_of(self.du, row),
                row_of(spans.projected, row), row_of(self.dprojected, row),
                packed.dt_weight_back.data_ptr(), packed.x_weight_back.data_ptr(),
                direction.d_dt_weight[i].data_ptr(), direction.d_x_weight[i].data_ptr(),
            )
            for row, start, last in pieces[i]
        ]  # fmt: skip

    def _convolve(self, direction: _Direction, first: int, pieces, i: int) -> list[threads.Call]:
        """Through SiLU and the convolution: x's share, and the gradients of the weights."""
        spans, xz, packed = self.spans, self.xz, direction.packed
        return [
            backward_kernels().differentiate.packed(
                self.channels, start, last, spans.tokens(first), first, *direction.order, 0, self.halves,
                row_of(xz, row), xz.stride(1), packed.taps.data_ptr(), packed.conv_bias.data_ptr(),
                row_of(self.du, row), spans.padded, row_of(direction.after, row), row_of(direction.before, row),
                direction.number > 0, row_of(self.dxz, row), self.dxz.stride(1),
                direction.d_conv[i].data_ptr(), self.conv_scratch[i].data_ptr(), spans.places[i].data_ptr(),
            )
            for row, start, last in pieces[i]
        ]  # fmt: skip

    def _gate(self, count: int, total: Tensor | None, i: int) -> list[threads.Call]:
        """Into z's place: the gradient of the sum; or with the sum itself, that of z."""
        xz, dxz, dout, length = self.xz, self.dxz, self.dout, self.xz.shape[1]
        return [
            backward_kernels().gate_back.packed(
                self.channels, length * i // count, length * (i + 1) // count, self.halves,
                row_of(dout, row), dout.stride(1), row_of(xz, row) + xz.element_size() * self.channels, xz.stride(1),
                *((0, 0) if total is None else (row_of(total, row), total.stride(1))),
                row_of(dxz, row) + 4 * self.channels, dxz.stride(1),
            )
            for row in range(xz.shape[0])
        ]  # fmt: skip
