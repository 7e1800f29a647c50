"""How the fused mixer cuts its tokens into spans, and what starts every span: convolution and x_proj."""

import torch
from torch import Tensor

from segmamba.native import threads
from segmamba.native.memory import empty
from segmamba.scan.cpu.kernels import forward_kernels
from segmamba.scan.cpu.packed import Packed
from segmamba.scan.cpu.scan import places, splits
from segmamba.scan.cpu.sizes import CHUNK, LANES, TILE
from segmamba.scan.orders import Order

# Floats of a span's channels for each thread: with its projection and gradients it stays in the second-level cache.
_SPAN = 196_608
_MOST = 4  # so many threads' worth: more saves next to nothing


def row_of(tensor: Tensor, row: int) -> int:
    """The address of a sequence of a batch."""
    return tensor.data_ptr() + tensor.element_size() * row * tensor.stride(0)


class Spans:
    """How a sequence is cut, and the memory that a span needs: of one direction after the other.

    ``lead`` tokens before the sequence are there for the convolution to look back on.
    """

    def __init__(self, batch: int, length: int, channels: int, wide: int, lead: int = 0):
        self.batch, self.length, self.channels, self.lead = batch, length, channels, lead
        self.blocks = -(-channels // LANES)
        self.padded = self.blocks * LANES
        self.workers = max(1, torch.get_num_threads())
        tokens = _SPAN * min(self.workers, _MOST) // (self.padded * batch) // TILE * TILE
        self.step = max(TILE, min(tokens, -(-length // TILE) * TILE))
        self.starts = range(0, length, self.step)
        self.chunks = -(-length // CHUNK)
        self.bounds = splits(batch * self.blocks)
        self.u = empty(batch, self.step, self.padded)
        self.projected = empty(batch, self.step, wide)
        self.places = [places() for _ in range(self.workers)]

    def tokens(self, first: int) -> int:
        """Of the span that begins at ``first``."""
        return min(self.step, self.length - first)

    def pieces(self, first: int) -> list[list[tuple[int, int, int]]]:
        """For each worker its (sequence, first, last) of the span that begins at ``first``, in whole tiles."""
        span = self.tokens(first)
        tiles = [(b, t, min(t + TILE, span)) for b in range(self.batch) for t in range(0, span, TILE)]
        count = min(self.workers, len(tiles))
        shares = []
        for i in range(count):
            joined: list[tuple[int, int, int]] = []
            for row, start, last in tiles[len(tiles) * i // count : len(tiles) * (i + 1) // count]:
                if joined and joined[-1][0] == row:
                    joined[-1] = (row, joined[-1][1], last)
                else:
                    joined.append((row, start, last))
            shares.append(joined)
        return shares

    def project(self, xz: Tensor, packed: Packed, order: Order, first: int) -> None:
        """u = SiLU(convolution) and its projection, of the span that begins at ``first``."""
        pieces = self.pieces(first)
        threads.run([self._project(pieces, xz, packed, order, first, i) for i in range(len(pieces))])

    def _project(self, pieces, xz: Tensor, packed: Packed, order: Order, first: int, i: int) -> list[threads.Call]:
        convolve, wide = forward_kernels().convolve, packed.wide
        return [
            convolve.packed(
                self.channels, start, last, first + self.lead, *order, 0,
                xz.dtype == torch.bfloat16, row_of(xz, row),
                xz.stride(1), packed.taps.data_ptr(), packed.conv_bias.data_ptr(),
                row_of(self.u, row), self.padded, packed.x_weight.data_ptr(), wide // LANES,
                row_of(self.projected, row), wide, self.places[i].data_ptr(),
            )
            for row, start, last in pieces[i]
        ]  # fmt: skip

    def scan_arguments(self, packed: Packed) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Strides of B and C, and addresses of u, delta's ranks, dt_proj's weights, and then of B and C."""
        at = self.projected.data_ptr()
        b_at, c_at = at + 4 * packed.rank, at + 4 * (packed.rank + packed.states)
        strides = (*self.projected.stride()[:2], 0) * 2
        return strides, (self.u.data_ptr(), at, packed.dt_weight.data_ptr(), b_at, c_at)
