"""Arguments of a scan as a Mamba layer makes them: rates 1 to 16, steps of 0.001 to 0.1 before what the tokens add."""

import math

import torch
from torch import Tensor

#: Every tensor that a scan takes and has a gradient for.
NAMES = ("u", "delta", "A", "B", "C", "D", "z", "delta_bias")
STATE = 16


def make_inputs(
    channels: int, length: int, device: str = "cpu", layout: str = "last", seed: int = 0
) -> dict[str, Tensor]:
    """Arguments of ``selective_scan`` for one sequence, float32.

    Args:
        channels, length: Of u, delta and z.
        device: Where they are.
        layout: ``last``: channels adjacent in memory, as the networks have them; ``first``: tokens adjacent.
        seed: Of the generator; both layouts hold the same numbers.
    """
    source = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=source)

    def tokens(width: int) -> Tensor:
        values = normal(1, length, width).to(device).transpose(1, 2)
        return values if layout == "last" else values.contiguous()

    steps = torch.exp(torch.rand(channels, generator=source) * math.log(100.0)) * 1e-3
    values = {
        "u": tokens(channels),
        "delta": tokens(channels).mul_(0.5),
        "z": tokens(channels),
        "B": tokens(STATE),
        "C": tokens(STATE),
        "A": -torch.arange(1.0, STATE + 1) * torch.exp(0.1 * normal(channels, STATE)),
        "D": normal(channels),
        "delta_bias": steps + torch.log(-torch.expm1(-steps)),
    }
    return {name: values[name].to(device) for name in NAMES}


def leaves_of(inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors, without copies, as leaves that want gradients."""
    return {name: value.detach().requires_grad_() for name, value in inputs.items()}
