"""Evaluation of a folder of masks against their references: a table per case and a summary."""

import csv
import json
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segmamba import images
from segmamba.atomic import replacing
from segmamba.data.datasets import LabelEntry, read_label, read_labels
from segmamba.errors import UserError
from segmamba.evaluation.metrics import Overlap, mean_dice, overlap
from segmamba.grid import Grid
from segmamba.segmentation_file import StoredSegmentation, read_segmentation

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

    The segments of a ``.seg.nrrd`` file are matched with the labels by their names, where they bear them; they may
    overlap.

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
        place, predicted = _read_masks(prediction, labels, lambda label: painted(label, labels))
        grid, truth = _read_masks(reference, labels, lambda label: label.members)
        if not place.same_as(grid, 0.1):
            raise UserError(f"{prediction} lies on another grid than its reference {reference}; evaluate on one grid")
        voxel_ml = float(np.prod(grid.spacing)) / 1000
        counts = {}
        for label in labels:
            counts[label.name] = overlap(predicted(label), truth(label))
            rows.append(Row(name, label.name, counts[label.name], voxel_ml))
        cases.append(counts)
    return rows, _summary(cases, [label.name for label in labels])


def painted(label: LabelEntry, labels: Sequence[LabelEntry]) -> list[int]:
    """Values of a predicted label map that belong to a label: its own, and those of the regions nested in it."""
    return [other.value for other in labels if set(other.members) <= set(label.members)]


def _read_masks(
    path: Path, labels: Sequence[LabelEntry], values: Callable[[LabelEntry], Sequence[int]]
) -> tuple[Grid, Callable[[LabelEntry], np.ndarray]]:
    """The grid of a mask's file, and what gives a label's boolean mask; ``values`` are a label's in a label map."""
    if _is_segmentation(path):
        segmentation = read_segmentation(path)
        matched = _match(segmentation, labels, path)
        if matched is not None:
            return segmentation.grid, matched
    image = read_label(path)
    mask = images.array(image)
    _check_values(mask, {value for label in labels for value in values(label)}, path)
    return Grid.of(image), lambda label: np.isin(mask, values(label))


def _is_segmentation(path: Path) -> bool:
    """Whether a file is one of 3D Slicer's segmentations rather than a label map that is named like one."""
    if not path.name.lower().endswith(".seg.nrrd"):
        return False
    try:
        with path.open("rb") as file:
            return b"_LabelValue:=" in file.read(1 << 20).split(b"\n\n")[0]
    except OSError:
        return False  # reading it as a label map tells why


def _match(
    segmentation: StoredSegmentation, labels: Sequence[LabelEntry], path: Path
) -> Callable[[LabelEntry], np.ndarray] | None:
    """What gives a label's mask from the segments of that name; None where the file is to be read as a label map.

    Raises:
        UserError: Some segments bear labels' names and others do not, or they overlap and none does.
    """
    names = {label.name for label in labels}
    extra = [segment.name for segment in segmentation.segments if segment.name not in names]
    overlapping = len(segmentation.layers) > 1
    if extra and (overlapping or len(extra) < len(segmentation.segments)):
        raise UserError(
            f"{path} holds the segment {extra[0]!r}, which is none of the labels' ({', '.join(sorted(names))}); "
            "name what has these segments as labels with --dataset or --model"
        )
    if extra:
        return None

    def mask(label: LabelEntry) -> np.ndarray:
        found = np.zeros(segmentation.layers[0].shape, dtype=bool)
        for segment in segmentation.segments:
            if segment.name == label.name:
                found |= segmentation.mask(segment)
        return found

    return mask


def _check_values(mask: np.ndarray, allowed: set[int], path: Path) -> None:
    extra = sorted(set(np.unique(mask).tolist()) - allowed - {0})
    if extra:
        known = ", ".join(map(str, sorted(allowed)))
        raise UserError(f"{path} holds the value {extra[0]}, which is none of the labels' ({known})")


def check_report(folder: Path) -> None:
    """Checks, before anything is computed, that a report can be written; the folder is not made yet.

    Raises:
        UserError: It is a file, or cannot be made or written to.
    """
    folder = Path(folder)
    there = next(place for place in (folder, *folder.absolute().parents) if os.path.exists(place))
    if not there.is_dir():
        raise UserError(f"{folder} cannot be written to ({there} is a file); name another folder with -o")
    try:
        # Tried rather than asked: permissions do not tell of read-only disks, and root may do anything.
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise UserError(f"{folder} cannot be written to ({error.strerror}); name another folder with -o") from error


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
        return read_labels(folder.parent)
    return None


def _labels_found(pairs: list[tuple[str, Path, Path]]) -> list[LabelEntry]:
    values: set[int] = set()
    for _, prediction, reference in pairs:
        for path in (prediction, reference):
            if _is_segmentation(path) and len(read_segmentation(path).layers) > 1:
                raise UserError(
                    f"{path} holds segments that overlap; name the data set whose labels they are with --dataset"
                )
            values |= {int(value) for value in np.unique(images.array(read_label(path)))}
    return [LabelEntry(str(value), value, (value,)) for value in sorted(values - {0})]
