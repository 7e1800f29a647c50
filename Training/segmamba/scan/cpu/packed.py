"""The weights of one direction of a mixer, as the kernels want them."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from segmamba.scan.cpu.scan import blocked_rates
from segmamba.scan.cpu.sizes import LANES
from segmamba.scan.weights import Weights


@dataclass
class Packed:
    """Float32, adjacent, padded with zeros: channels to whole vectors, states to fours."""

    rank: int
    states: int
    true_states: int
    channels: int
    taps: Tensor  # (4, padded)
    conv_bias: Tensor  # (padded)
    x_weight: Tensor  # (channels, wide): dt, B, C
    x_weight_back: Tensor  # (rank + 2 states, padded)
    dt_weight: Tensor  # (rank, channels)
    dt_weight_back: Tensor  # (padded, rank in whole vectors)
    dt_bias: Tensor
    rates: Tensor
    skip: Tensor

    @property
    def wide(self) -> int:
        """Columns of the projection."""
        return self.x_weight.shape[1]

    @staticmethod
    def of(weights: Weights) -> "Packed":
        """Packed copies."""
        conv, conv_bias, x_proj, dt_proj, dt_bias, A, D = (t.detach().to(torch.float32) for t in weights)
        channels, rank = dt_proj.shape
        true_states = A.shape[1]
        pad, more = -channels % LANES, -true_states % 4
        states = true_states + more
        dt, b, c = x_proj.split([rank, true_states, true_states])
        rows = torch.cat([dt, F.pad(b, (0, 0, 0, more)), F.pad(c, (0, 0, 0, more))])
        return Packed(
            rank,
            states,
            true_states,
            channels,
            F.pad(conv[:, 0].t(), (0, pad)).contiguous(),
            F.pad(conv_bias, (0, pad)).contiguous(),
            F.pad(rows.t(), (0, -rows.shape[0] % LANES)).contiguous(),
            F.pad(rows, (0, pad)).contiguous(),
            dt_proj.t().contiguous(),
            F.pad(dt_proj, (0, -rank % LANES, 0, pad)).contiguous(),
            dt_bias.contiguous(),
            blocked_rates(A, 1),
            D.contiguous(),
        )

    def unpack(self, conv, x_weight, dt_weight, dt_bias, rates, skip) -> Weights:
        """Gradients in the shapes of ``Weights``, from those of what is packed."""
        n, r, s = self.channels, self.rank, self.states
        keep = [*range(r + self.true_states), *range(r + s, r + s + self.true_states)]
        return Weights(
            conv[:4, :n].t().unsqueeze(1),
            conv[4, :n],
            x_weight[keep, :n],
            dt_weight[:, :n].t(),
            dt_bias[:n],
            rates,
            skip[:n],
        )
