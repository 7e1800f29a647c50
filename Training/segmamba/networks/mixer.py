"""The Mamba mixer: plain, in two directions, and tri-oriented (forward, reversed, inter-slice)."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from segmamba.scan.mixing import mix, stream
from segmamba.scan.orders import inter_slice, plain
from segmamba.scan.weights import Weights

# The parameters of a direction carry its suffix: x_proj, x_proj_b, x_proj_s; A_log, A_b_log, A_s_log.
_SUFFIXES = ("", "_b", "_s")


class Mamba(nn.Module):
    """Selective state-space mixer over a sequence (Gu and Dao 2023, section 3.4), in one to three directions.

    For tokens h (B, L, d): in_proj gives x and z (B, L, di) with di = expand * d.  Each direction reorders x along L,
    applies a causal depthwise convolution and SiLU, projects to (dt, B, C) and scans; the results are put back in
    order and summed, gated by SiLU(z) and projected by out_proj.  Two directions are Vim's; the third, "inter-slice",
    is SegMamba's (Xing et al. 2024, section 2.2).

    Args:
        d_model: Width d of the tokens.
        d_state: State size N.
        d_conv: Width of the causal convolution.
        expand: di / d.
        directions: 1 forward; 2 adds the reversed order; 3 adds the inter-slice order.
        nslices: Number of slices of the inter-slice order; needed for three directions.

    The attribute ``backend`` names the scan's, as ``selective_scan`` takes it; it is ``auto``.
    """

    def __init__(
        self,
        d_model: int,
        d_state: int = 16,
        d_conv: int = 4,
        expand: int = 2,
        directions: int = 1,
        nslices: int | None = None,
    ):
        super().__init__()
        if directions not in (1, 2, 3):
            raise ValueError(f"directions is {directions}; allowed are 1, 2 and 3")
        if directions == 3 and (nslices is None or nslices < 1):
            raise ValueError(f"nslices is {nslices}; three directions need a positive number")
        self.d_model, self.d_state, self.d_conv = d_model, d_state, d_conv
        self.d_inner = expand * d_model
        self.dt_rank = math.ceil(d_model / 16)
        self.directions, self.nslices = directions, nslices
        self.backend = "auto"

        self.in_proj = nn.Linear(d_model, 2 * self.d_inner, bias=False)
        for suffix in _SUFFIXES[:directions]:
            self._add_direction(suffix)
        self.out_proj = nn.Linear(self.d_inner, d_model, bias=False)

    def _add_direction(self, suffix: str) -> None:
        di, n, rank = self.d_inner, self.d_state, self.dt_rank
        conv = nn.Conv1d(di, di, self.d_conv, groups=di, padding=self.d_conv - 1)
        x_proj = nn.Linear(di, rank + 2 * n, bias=False)
        dt_proj = nn.Linear(rank, di)
        # Mamba, section 3.6: softplus(bias) is log-uniform in [1e-3, 1e-1], A is -(1..N), D is 1.
        nn.init.uniform_(dt_proj.weight, -(rank**-0.5), rank**-0.5)
        dt = torch.exp(torch.empty(di).uniform_(math.log(1e-3), math.log(1e-1))).clamp_min(1e-4)
        with torch.no_grad():
            dt_proj.bias.copy_(dt + torch.log(-torch.expm1(-dt)))
        a_log = torch.log(torch.arange(1, n + 1, dtype=torch.float32)).repeat(di, 1)
        self.add_module(f"conv1d{suffix}", conv)
        self.add_module(f"x_proj{suffix}", x_proj)
        self.add_module(f"dt_proj{suffix}", dt_proj)
        self.register_parameter(f"A{suffix}_log", nn.Parameter(a_log))
        self.register_parameter(f"D{suffix}", nn.Parameter(torch.ones(di)))

    def forward(self, h: Tensor) -> Tensor:
        """Mixes tokens (B, L, d) along L; the result has the same shape."""
        length = h.shape[1]
        orders = [plain(length), plain(length, backwards=True)][: self.directions]
        if self.directions == 3:
            orders.append(inter_slice(length, self.nslices))
        weights = [self._weights(suffix) for suffix in _SUFFIXES[: self.directions]]
        return self.out_proj(mix(self.in_proj(h), weights, orders, self.backend))

    def stream(self, tokens: Tensor) -> Callable[[Tensor, int], Tensor] | None:
        """What mixes tokens like these (B, L, d) piece by piece, without gradients; None where that cannot be.

        It is given the next tokens, (B, lead + n, d), with how many of those before stand in front again: three, or
        none at the beginning. It returns (B, n, d). All pieces but the last are of a multiple of 32 tokens.
        """
        if self.directions != 1 or torch.is_grad_enabled():
            return None
        advance = stream(tokens, self._weights(""), self.backend)
        if advance is None:
            return None
        return lambda h, lead: self.out_proj(advance(self.in_proj(h), lead))

    def _weights(self, suffix: str) -> Weights:
        conv, dt_proj = getattr(self, f"conv1d{suffix}"), getattr(self, f"dt_proj{suffix}")
        a_log = getattr(self, f"A{suffix}_log")
        return Weights(
            conv.weight,
            conv.bias,
            getattr(self, f"x_proj{suffix}").weight,
            dt_proj.weight,
            dt_proj.bias,
            -torch.exp(a_log if a_log.dtype == torch.float64 else a_log.float()),
            getattr(self, f"D{suffix}"),
        )
