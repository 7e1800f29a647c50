"""Masks of labels from files: label maps, and 3D Slicer's segmentations, whose segments may overlap."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from scipy import ndimage

from segmamba import images
from segmamba.data.datasets import GEOMETRY_TOLERANCE, LabelEntry, read_label
from segmamba.errors import UserError
from segmamba.grid import Grid
from segmamba.segmentation_file import StoredSegmentation, read_segmentation

Box = tuple[slice, ...]
# Values of segments are whatever a program gave them; those of label maps lie below.
_MANY = 65535


class Masks(Protocol):
    """A file's masks, one a label. Boxes are slices of (k, j, i)."""

    grid: Grid

    def box(self, label: LabelEntry) -> Box | None:
        """A box outside of which the label is not; None where it is nowhere."""

    def mask(self, label: LabelEntry, box: Box) -> np.ndarray:
        """Where the label is within a box: boolean (k, j, i)."""


def read_pair(prediction: Path, reference: Path, labels: Sequence[LabelEntry]) -> tuple[Masks, Masks]:
    """The masks of a case's prediction and of its reference.

    Raises:
        UserError: A file cannot be read, the grids differ, or a value is none of the labels'.
    """
    predicted = read_masks(prediction, labels, lambda label: painted(label, labels))
    truth = read_masks(reference, labels, lambda label: label.members)
    if not predicted.grid.same_as(truth.grid, GEOMETRY_TOLERANCE):
        raise UserError(f"{prediction} lies on another grid than its reference {reference}; evaluate on one grid")
    return predicted, truth


def read_masks(path: Path, labels: Sequence[LabelEntry], values: Callable[[LabelEntry], Sequence[int]]) -> Masks:
    """The masks of one file; ``values`` are those of a label in a label map.

    Raises:
        UserError: As :func:`read_pair` does.
    """
    if is_segmentation(path):
        segmentation = read_segmentation(path)
        if _matches(segmentation, labels, path):
            return _Segments(segmentation)
    image = read_label(path)
    masks = _LabelMap(Grid.of(image), images.array(image), {label.name: tuple(values(label)) for label in labels})
    allowed = {value for members in masks.values.values() for value in members}
    extra = [value for value in masks.boxes if value not in allowed]
    if extra:
        known = ", ".join(map(str, sorted(allowed)))
        raise UserError(f"{path} holds the value {extra[0]}, which is none of the labels' ({known})")
    return masks


def painted(label: LabelEntry, labels: Sequence[LabelEntry]) -> list[int]:
    """Values of a predicted label map that belong to a label: its own, and those of the regions nested in it."""
    return [other.value for other in labels if set(other.members) <= set(label.members)]


def is_segmentation(path: Path) -> bool:
    """Whether a file is one of 3D Slicer's segmentations rather than a label map that is named like one."""
    if not path.name.lower().endswith(".seg.nrrd"):
        return False
    try:
        with path.open("rb") as file:
            return b"_LabelValue:=" in file.read(1 << 20).split(b"\n\n")[0]
    except OSError:
        return False  # reading it as a label map tells why


def union(boxes: Sequence[Box | None]) -> Box | None:
    """The smallest box around all; None stands for an empty one."""
    boxes = [box for box in boxes if box is not None]
    if not boxes:
        return None
    return tuple(slice(min(s.start for s in sides), max(s.stop for s in sides)) for sides in zip(*boxes, strict=True))


@dataclass
class _LabelMap:
    """Masks of a label map: by the values that belong to each label."""

    grid: Grid
    array: np.ndarray
    values: dict[str, tuple[int, ...]]

    def __post_init__(self) -> None:
        # All boxes in one pass: with a hundred labels, whole volumes would be searched a hundred times.
        self.boxes = _boxes(self.array)

    def box(self, label: LabelEntry) -> Box | None:
        return union([self.boxes.get(value) for value in self.values[label.name]])

    def mask(self, label: LabelEntry, box: Box) -> np.ndarray:
        return np.isin(self.array[box], self.values[label.name])


class _Segments:
    """Masks of a segmentation: by the names of its segments. A label without a segment was not found."""

    def __init__(self, segmentation: StoredSegmentation) -> None:
        self.grid = segmentation.grid
        self._segmentation = segmentation
        self._boxes = [_boxes(layer) for layer in segmentation.layers]

    def box(self, label: LabelEntry) -> Box | None:
        return union([self._boxes[segment.layer].get(segment.value) for segment in self._of(label)])

    def mask(self, label: LabelEntry, box: Box) -> np.ndarray:
        found = np.zeros([len(range(*s.indices(n))) for s, n in zip(box, self.grid.size[::-1], strict=True)], bool)
        for segment in self._of(label):
            found |= self._segmentation.layers[segment.layer][box] == segment.value
        return found

    def _of(self, label: LabelEntry) -> list:
        return [segment for segment in self._segmentation.segments if segment.name == label.name]


def _boxes(values: np.ndarray) -> dict[int, Box]:
    """For each value above 0 the box that holds it."""
    names, shape = None, values.shape
    if values.max(initial=0) > _MANY:  # one entry is made for every number up to the greatest
        names, values = np.unique(values, return_inverse=True)
        values = values.reshape(shape) + 1
    found = ndimage.find_objects(values)
    boxes = {value: box for value, box in enumerate(found, start=1) if box is not None}
    return boxes if names is None else {int(names[n - 1]): box for n, box in boxes.items() if names[n - 1] > 0}


def _matches(segmentation: StoredSegmentation, labels: Sequence[LabelEntry], path: Path) -> bool:
    """Whether segments bear the labels' names; where none does, the file is to be read as a label map.

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
    return not extra
