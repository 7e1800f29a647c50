"""The weights of one direction of a Mamba mixer."""

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor


class Weights(NamedTuple):
    """Of a direction with di channels, N states and rank r, shapes as in the state dict of Mamba."""

    conv: Tensor  # conv1d.weight (di, 1, 4)
    conv_bias: Tensor  # (di)
    x_proj: Tensor  # (r + 2 N, di)
    dt_proj: Tensor  # (di, r)
    dt_bias: Tensor  # (di)
    A: Tensor  # (di, N), negative
    D: Tensor  # (di)

    @staticmethod
    def grouped(tensors: Sequence[Tensor]) -> list["Weights"]:
        """Directions from a flat sequence."""
        size = len(Weights._fields)
        return [Weights(*tensors[i : i + size]) for i in range(0, len(tensors), size)]
