"""Evaluation of a folder of masks against their references: a table per case and a summary."""

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segmamba import images
from segmamba.atomic import replacing
from segmamba.data.datasets import LabelEntry, read_dataset, read_label
from segmamba.errors import UserError
from segmamba.evaluation.metrics import Overlap, mean_dice, overlap
from segmamba.grid import Grid

EMPTY_POLICY = (
    "Dice is left out of the mean where a label is empty in both masks, and 0 where it is empty in one of them alone; "
    "misses counts references that are not empty and found empty, extra the reverse"
)
_COLUMNS = ("case", "label", "dice", "predicted_ml", "reference_ml", "difference_ml")
# Of ITK's many, those that segmentations come in.
_SUFFIXES = (".seg.nrrd", ".nii.gz", ".nii", ".nrrd", ".mha")


@dataclass(frozen=True)
class Row:
    """One label of one case: voxel counts and the volume of a voxel in ml."""

    case: str
    label: str
    counts: Overlap
    voxel_ml: float

    def cells(self) -> dict:
        """The row of the table."""
        predicted, reference = self.counts.predicted * self.voxel_ml, self.counts.reference * self.voxel_ml
        dice = self.counts.dice
        values = ("" if dice is None else dice, predicted, reference, predicted - reference)
        cells = (self.case, self.label, *(v if isinstance(v, str) else f"{v:.6f}" for v in values))
        return dict(zip(_COLUMNS, cells, strict=True))


def evaluate(predictions: Path, references: Path, labels: Sequence[LabelEntry] | None = None) -> tuple[list[Row], dict]:
    """Compares masks of the same name in two folders, or two files.

    Args:
        predictions: Folder of masks, or one mask.
        references: Folder of reference masks, or one; it may hold more than was predicted.
        labels: Names and values; None takes them from the dataset.json beside the references' folder, or else every
            value found is a label of its own.

    Returns:
        Rows per case and label, and the summary: mean Dice per label, counts, policy.

    Raises:
        UserError: No files, a case without its counterpart, a file that cannot be read, grids that differ, or a
            value that is none of the labels'.
    """
    pairs = _pairs(Path(predictions), Path(references))
    labels = labels or _labels_beside(Path(references)) or _labels_found(pairs)
    rows: list[Row] = []
    cases = []
    for name, prediction, reference in pairs:
        predicted, truth = read_label(prediction), read_label(reference)
        if not Grid.of(predicted).same_as(Grid.of(truth), 0.1):
            raise UserError(f"{prediction} lies on another grid than its reference {reference}; evaluate on one grid")
        voxel_ml = float(np.prod(truth.GetSpacing())) / 1000
        found, right = images.array(predicted), images.array(truth)
        _check_values(found, {label.value for label in labels}, prediction)
        _check_values(right, {member for label in labels for member in label.members}, reference)
        counts = {}
        for label in labels:
            counts[label.name] = overlap(np.isin(found, painted(label, labels)), np.isin(right, label.members))
            rows.append(Row(name, label.name, counts[label.name], voxel_ml))
        cases.append(counts)
    return rows, _summary(cases, [label.name for label in labels])


def painted(label: LabelEntry, labels: Sequence[LabelEntry]) -> list[int]:
    """Values of a predicted label map that belong to a label: its own, and those of the regions nested in it."""
    return [other.value for other in labels if set(other.members) <= set(label.members)]


def _check_values(mask: np.ndarray, allowed: set[int], path: Path) -> None:
    extra = sorted(set(np.unique(mask).tolist()) - allowed - {0})
    if extra:
        known = ", ".join(map(str, sorted(allowed)))
        raise UserError(f"{path} holds the value {extra[0]}, which is none of the labels' ({known})")


def write_report(rows: list[Row], summary: dict, folder: Path) -> None:
    """Writes ``cases.csv`` and ``summary.json``.

    Raises:
        UserError: Where the folder cannot be written.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(folder / "cases.csv") as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, _COLUMNS)
            writer.writeheader()
            writer.writerows(row.cells() for row in rows)
        with replacing(folder / "summary.json") as temporary:
            temporary.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise UserError(f"{folder} cannot be written to ({error.strerror}); name another folder with -o") from error


def _summary(cases: list[dict[str, Overlap]], names: list[str]) -> dict:
    dice = mean_dice(cases)
    known = [value for value in dice.values() if value is not None]
    return {
        "cases": len(cases),
        "mean_dice": float(np.mean(known)) if known else None,
        "labels": {
            name: {
                "dice": dice[name],
                "measured": sum(case[name].dice is not None for case in cases),
                "misses": sum(case[name].reference > 0 and case[name].predicted == 0 for case in cases),
                "extra": sum(case[name].reference == 0 and case[name].predicted > 0 for case in cases),
            }
            for name in names
        },
        "empty": EMPTY_POLICY,
    }


def _masks(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        suffix = next((s for s in _SUFFIXES if path.name.lower().endswith(s)), None)
        if suffix is None or path.name.startswith("."):
            continue
        name = path.name[: -len(suffix)]
        if name in found:
            raise UserError(f"{folder} holds {found[name].name} and {path.name}; one mask a case is needed")
        found[name] = path
    return found


def _pairs(predictions: Path, references: Path) -> list[tuple[str, Path, Path]]:
    for path in (predictions, references):
        if not path.exists():
            raise UserError(f"{path} does not exist; name a folder of masks, or one mask")
    if predictions.is_file() and references.is_file():
        return [(predictions.name.split(".")[0], predictions, references)]
    if predictions.is_file() or references.is_file():
        raise UserError(f"{predictions} and {references}: name two folders or two files")
    found, right = _masks(predictions), _masks(references)
    if not found:
        raise UserError(f"{predictions} holds no masks; those are {', '.join(_SUFFIXES)}")
    # References may hold more than was predicted (a whole training set's labels).
    missing = sorted(set(found) - set(right))
    if missing:
        raise UserError(f"{predictions}: {missing[0]} has no reference of that name in {references}")
    return [(name, found[name], right[name]) for name in found]


def _labels_beside(references: Path) -> Sequence[LabelEntry] | None:
    folder = references if references.is_dir() else references.parent
    if (folder.parent / "dataset.json").is_file():
        return read_dataset(folder.parent).labels
    return None


def _labels_found(pairs: list[tuple[str, Path, Path]]) -> list[LabelEntry]:
    values: set[int] = set()
    for _, prediction, reference in pairs:
        for path in (prediction, reference):
            values |= {int(value) for value in np.unique(images.array(read_label(path)))}
    return [LabelEntry(str(value), value, (value,)) for value in sorted(values - {0})]
