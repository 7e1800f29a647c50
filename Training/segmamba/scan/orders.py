"""The orders in which a mixer's directions read the tokens: forward, reversed, inter-slice."""

from typing import NamedTuple

import torch
from torch import Tensor


class Order(NamedTuple):
    """An order of ``length`` tokens: they are cut into runs of ``run`` tokens and read across them.

    ``full`` runs are whole, a last one may hold only ``rest`` tokens; one run of all tokens is the plain order.
    ``backwards`` reads from the last token to the first.
    """

    length: int
    backwards: int
    run: int
    full: int
    rest: int

    def take(self, tokens: Tensor) -> Tensor:
        """Tokens (B, L, C) in this order."""
        if self.backwards:
            return tokens.flip(1)
        if self.full == 1:
            return tokens
        return tokens.index_select(1, self.index(tokens.device))

    def put_back(self, tokens: Tensor) -> Tensor:
        """The inverse of ``take``."""
        if self.backwards:
            return tokens.flip(1)
        if self.full == 1:
            return tokens
        index = self.index(tokens.device)
        inverse = torch.empty_like(index)
        inverse[index] = torch.arange(self.length, device=tokens.device)
        return tokens.index_select(1, inverse)

    def index(self, device: torch.device | str = "cpu") -> Tensor:
        """The token that is read at each step (L)."""
        steps = torch.arange(self.length, device=device)
        if self.backwards:
            return steps.flip(0)
        places = torch.arange(self.run * (self.full + 1), device=device).view(-1, self.run).t().flatten()
        return places[places < self.length]


def plain(length: int, backwards: bool = False) -> Order:
    """Forward, or reversed."""
    return Order(length, int(backwards), length, 1, 0)


def inter_slice(length: int, nslices: int) -> Order:
    """SegMamba's inter-slice order: place i * nslices + s holds token s * (length / nslices) + i.

    Where ``nslices`` does not divide the length, the last runs are shorter (or empty).
    """
    run = -(-length // nslices)
    return Order(length, 0, run, length // run, length % run)
