"""Which cases look like one subject's: by what is stated, by neighbouring names with like intensities, by likeness.

Two cases are taken for one subject's where

1. the data set states one subject for both; or
2. their names differ in their last number alone, by one (``case_007``, ``case_008``), and the 1, 5, 10, 25, 50, 75, 90,
   95 and 99 percentiles of their first channels differ by at most ``PERCENTILES`` of the greatest of them, and by no
   more than from their other neighbours.  Scanners without a common scale give every session a range of its own, so
   that two crops of one session agree, and those of two people rarely do (of 200 cases of the hippocampus set of the
   Medical Segmentation Decathlon, 66 of the 69 pairs of one person are found, and 5 that are none); or
3. their first channels, averaged over 8 x 8 x 8 blocks, correlate above ``CORRELATION``: one image, resampled,
   rescaled or saved again.

This is a hint to look at, no proof: only the owner of the data knows.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from segmamba.data.description import Case

PERCENTILES = 0.08
CORRELATION = 0.99
_BLOCKS = 8


@dataclass(frozen=True)
class Signature:
    """What is remembered of a case's first channel: percentiles, and means of blocks of mean 0 and length 1."""

    percentiles: np.ndarray
    blocks: np.ndarray


@dataclass(frozen=True)
class Pair:
    """Two cases that are likely one subject's, and why; ``stated`` where the data set says so."""

    one: str
    other: str
    reason: str
    stated: bool = False


def signature(values: np.ndarray) -> Signature:
    """Of finite values (k, j, i)."""
    percentiles = np.percentile(values, (1, 5, 10, 25, 50, 75, 90, 95, 99))
    blocks = values.astype(np.float32)
    for axis, size in enumerate(values.shape):
        starts = np.linspace(0, size, _BLOCKS, endpoint=False).astype(int)
        lengths = np.diff([*starts, size])  # where there are fewer voxels than blocks, blocks repeat
        blocks = np.add.reduceat(blocks, starts, axis=axis) / np.maximum(lengths, 1).reshape(
            [-1 if a == axis else 1 for a in range(3)]
        )
    blocks = blocks.ravel() - blocks.mean()
    return Signature(percentiles, (blocks / max(float(np.linalg.norm(blocks)), 1e-12)).astype(np.float32))


def find_pairs(cases: Sequence[Case], signatures: dict[str, Signature]) -> list[Pair]:
    """Pairs of cases that are likely one subject's; see the module's rules."""
    pairs: dict[tuple[str, str], str] = {}
    subjects: dict[str, list[str]] = {}
    for case in cases:
        if case.subject is not None:
            subjects.setdefault(case.subject, []).append(case.name)
    for subject, names in subjects.items():
        for n, name in enumerate(names):
            pairs.update({(name, other): f"the data set states the subject {subject}" for other in names[n + 1 :]})
    names = [case.name for case in cases if case.name in signatures]
    numbered = {_numbered(name): name for name in names}
    steps = {
        key: _difference(signatures[name], signatures[other])
        for key, name in numbered.items()
        if key[1] is not None and (other := numbered.get((key[0], key[1] + 1, key[2]))) is not None
    }
    for (before, number, after), differ in steps.items():
        beside = [steps.get((before, number + step, after), np.inf) for step in (-1, 1)]
        if differ <= min(PERCENTILES, *beside):
            pair = numbered[before, number, after], numbered[before, number + 1, after]
            pairs.setdefault(pair, f"neighbouring names, percentiles within {100 * differ:.1f}%")
    if names:
        blocks = np.stack([signatures[name].blocks for name in names])
        for n, row in enumerate(blocks[:-1]):
            alike = blocks[n + 1 :] @ row
            for m in np.flatnonzero(alike > CORRELATION):
                pairs.setdefault((name := names[n], names[n + 1 + m]), f"{name} correlates {alike[m]:.3f} with it")
    stated = {case.name: case.subject for case in cases}
    return [
        Pair(one, other, reason, stated[one] is not None and stated[one] == stated[other])
        for (one, other), reason in sorted(pairs.items())
    ]


def _numbered(name: str) -> tuple[str, int | None, str]:
    match = re.fullmatch(r"(.*?)(\d+)(\D*)", name)
    return (match[1], int(match[2]), match[3]) if match else (name, None, "")


def _difference(one: Signature, other: Signature) -> float:
    largest = max(np.abs(one.percentiles).max(), np.abs(other.percentiles).max(), 1e-12)
    return float(np.abs(one.percentiles - other.percentiles).max() / largest)
