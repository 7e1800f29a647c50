"""Evaluation of a folder of masks against their references: what is measured in each case, label by label."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from segmamba.data.datasets import LabelEntry
from segmamba.errors import UserError
from segmamba.evaluation.matching import Pair, find_images, find_labels, find_pairs, without_prediction
from segmamba.evaluation.metrics import Overlap, overlap
from segmamba.evaluation.policy import POLICIES, Policy
from segmamba.evaluation.reading import Masks, read_pair, union
from segmamba.evaluation.surface import surface_distances

#: The tolerance of the surface Dice where none is named, in mm: about a voxel of MR.
TOLERANCE_MM = 1.0


@dataclass(frozen=True)
class Row:
    """One label of one case, as measured.

    Attributes:
        case: the name of the case.
        label: the name of the label.
        counts: voxels.
        voxel_ml: the volume of a voxel.
        hd95_mm: see :class:`segmamba.evaluation.surface.SurfaceDistances`; None where either mask is empty.
        nsd: likewise.
        tolerance_mm: of ``nsd``.
    """

    case: str
    label: str
    counts: Overlap
    voxel_ml: float
    hd95_mm: float | None = None
    nsd: float | None = None
    tolerance_mm: float = TOLERANCE_MM

    @property
    def predicted_ml(self) -> float:
        """Volume of the prediction."""
        return self.counts.predicted * self.voxel_ml

    @property
    def reference_ml(self) -> float:
        """Volume of the reference."""
        return self.counts.reference * self.voxel_ml

    @property
    def empty(self) -> str:
        """Which masks are empty: ``no``, ``prediction``, ``reference`` or ``both``."""
        if self.counts.predicted:
            return "no" if self.counts.reference else "reference"
        return "prediction" if self.counts.reference else "both"

    def scores(self, policy: Policy) -> dict[str, float | None]:
        """What the case counts under a policy, by the names of ``METRICS``; None where there is nothing to count."""
        if self.empty == "both":
            perfect = {name: 1.0 if name in ("dice", "nsd") else 0.0 for name in METRICS}
            return perfect if policy.agreement else dict.fromkeys(METRICS)
        difference = self.predicted_ml - self.reference_ml
        relative = difference / self.reference_ml if self.counts.reference else None
        missed = self.empty != "no"
        return {
            "dice": self.counts.dice,
            "nsd": 0.0 if missed else self.nsd,
            "hd95_mm": policy.penalty_mm if missed else self.hd95_mm,
            "difference_ml": difference,
            "absolute_difference_ml": abs(difference),
            "relative_difference": relative,
            "absolute_relative_difference": None if relative is None else abs(relative),
        }


#: The names of what is measured. Differences are prediction less reference; relative ones are parts of the reference.
METRICS = (
    "dice",
    "nsd",
    "hd95_mm",
    "difference_ml",
    "absolute_difference_ml",
    "relative_difference",
    "absolute_relative_difference",
)


@dataclass(frozen=True)
class Evaluation:
    """What was compared, and what came out.

    Attributes:
        predictions: folder of masks, or one mask, as it was named.
        references: likewise.
        pairs: the files of each case.
        labels: in the order of the report.
        policy: for empty masks.
        tolerances: of the surface Dice in mm, by label.
        without_prediction: how many references nothing was compared with.
        rows: case by case, label by label.
    """

    predictions: str
    references: str
    pairs: tuple[Pair, ...]
    labels: tuple[LabelEntry, ...]
    policy: Policy
    tolerances: dict[str, float]
    without_prediction: int
    rows: tuple[Row, ...] = field(repr=False)

    def rows_of(self, label: str) -> list[Row]:
        """The rows of one label."""
        return [row for row in self.rows if row.label == label]


def evaluate(
    predictions: Path,
    references: Path,
    labels: Sequence[LabelEntry] | None = None,
    *,
    empty: str = "skip",
    tolerance: float = TOLERANCE_MM,
    tolerances: Mapping[str, float] | None = None,
    images: Path | None = None,
    report: Callable[[float, str], None] | None = None,
) -> Evaluation:
    """Compares masks of the same name in two folders, or two files.

    The segments of a ``.seg.nrrd`` file are matched with the labels by their names, where they bear them; they may
    overlap.

    Args:
        predictions: Folder of masks, or one mask.
        references: Folder of reference masks, or one; it may hold more than was predicted.
        labels: Names and values; None takes them from the dataset.json beside the references' folder, or else every
            value found is a label of its own.
        empty: The policy for empty masks: a key of :data:`segmamba.evaluation.policy.POLICIES`.
        tolerance: Of the surface Dice, in mm.
        tolerances: The same for single labels, by their names.
        images: Folder of the cases' images, or the one case's; pictures of the worst cases are drawn over them.
        report: Called with the fraction done and a message.

    Raises:
        UserError: No files, a case without its counterpart, a file that cannot be read, grids that differ, a value
            that is none of the labels', or a tolerance for a label that there is not.
    """
    pairs = find_pairs(Path(predictions), Path(references))
    if images is not None:
        pairs = find_images(pairs, Path(images))
    labels = tuple(labels or find_labels(pairs, Path(references)))
    policy = POLICIES[empty]
    within = _tolerances(tolerance, tolerances or {}, labels)
    rows: list[Row] = []
    for n, pair in enumerate(pairs):
        if report:
            report(n / len(pairs), f"case {n + 1} of {len(pairs)}")
        rows.extend(_measure(pair, labels, within))
    if report:
        report(1.0, "measured")
    return Evaluation(
        str(predictions),
        str(references),
        tuple(pairs),
        labels,
        policy,
        within,
        without_prediction(pairs, Path(references)),
        tuple(rows),
    )


def _measure(pair: Pair, labels: Sequence[LabelEntry], tolerances: Mapping[str, float]) -> list[Row]:
    """The rows of one case; nothing of it stays in memory."""
    predicted, reference = read_pair(pair.prediction, pair.reference, labels)
    voxel_ml = float(np.prod(reference.grid.spacing)) / 1000
    rows = []
    for label in labels:
        one, other = _cropped(label, predicted, reference)
        distances = surface_distances(one, other, reference.grid.spacing)
        mm = tolerances[label.name]
        measured = (None, None) if distances is None else (distances.hd95, distances.nsd(mm))
        rows.append(Row(pair.case, label.name, overlap(one, other), voxel_ml, *measured, tolerance_mm=mm))
    return rows


def _cropped(label: LabelEntry, predicted: Masks, reference: Masks) -> tuple[np.ndarray, np.ndarray]:
    """Both masks of a label, in the box that holds both."""
    box = union([predicted.box(label), reference.box(label)]) or (slice(0, 0),) * 3
    return predicted.mask(label, box), reference.mask(label, box)


def _tolerances(tolerance: float, tolerances: Mapping[str, float], labels: Sequence[LabelEntry]) -> dict[str, float]:
    names = [label.name for label in labels]
    for name in tolerances:
        if name not in names:
            raise UserError(f"--nsd-tolerance {name}=...: there is no such label; there are {', '.join(names)}")
    return {name: tolerances.get(name, tolerance) for name in names}
