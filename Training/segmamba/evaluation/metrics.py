"""Dice and volumes of a predicted mask against its reference."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Overlap:
    """Voxel counts of one label in one case."""

    predicted: int
    reference: int
    common: int

    @property
    def dice(self) -> float | None:
        """2 |P and R| / (|P| + |R|); None where both are empty: such a case says nothing and is left out of means."""
        total = self.predicted + self.reference
        return 2 * self.common / total if total else None


def overlap(predicted: np.ndarray, reference: np.ndarray) -> Overlap:
    """Counts of two boolean masks of one shape.

    Raises:
        ValueError: Where the shapes differ.
    """
    if predicted.shape != reference.shape:
        raise ValueError(f"predicted has shape {predicted.shape}, reference {reference.shape}; they must agree")
    both = np.logical_and(predicted, reference)
    return Overlap(int(np.count_nonzero(predicted)), int(np.count_nonzero(reference)), int(np.count_nonzero(both)))


def mean_dice(cases: Sequence[dict[str, Overlap]]) -> dict[str, float | None]:
    """Mean Dice per label over cases, without those where it is empty in both; None where no case is left."""
    means: dict[str, float | None] = {}
    for name in cases[0] if cases else ():
        values = [case[name].dice for case in cases if case[name].dice is not None]
        means[name] = float(np.mean(values)) if values else None
    return means
