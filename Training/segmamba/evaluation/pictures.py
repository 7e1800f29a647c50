"""Pictures of the worst cases: the slice where prediction and reference differ most, with both outlines."""

import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from segmamba import images
from segmamba.data.datasets import LabelEntry
from segmamba.evaluation.cases import Evaluation, Row
from segmamba.evaluation.matching import Pair
from segmamba.evaluation.reading import Box, Masks, read_pair, union
from segmamba.grid import Grid

#: How many are shown of each label, and of all labels together.
WORST, MOST = 5, 30
#: Colours that the colour-blind tell apart (Okabe and Ito), on grey values too.
PREDICTED, REFERENCE = "#ff9f1c", "#4cc9f0"
# Behind masks whose image nobody named.
_NOTHING = "#1c1f24"
# Millimetres shown around the masks, and the shortest side of a picture.
_MARGIN_MM, _SIDE_MM = 10.0, 50.0
# Slices this much thicker than their voxels are wide are looked at as they were acquired.
_THICK = 1.5
_INCHES, _DPI = 2.9, 150


@dataclass(frozen=True)
class _Plane:
    """What lies at the edges of a slice across one axis of an array in LPS orientation, (k, j, i)."""

    name: str
    left: str
    right: str
    top: str
    bottom: str
    upside_down: bool


# Radiological convention, as in Slicer: the patient's right on the left of axial and coronal pictures.
_PLANES = (
    _Plane("axial", "R", "L", "A", "P", False),
    _Plane("coronal", "R", "L", "S", "I", True),
    _Plane("sagittal", "A", "P", "S", "I", True),
)


@dataclass(frozen=True)
class Picture:
    """One label of one case, drawn.

    Attributes:
        row: what was measured.
        png: the picture's file.
        where: which slice it is, such as "axial, k = 31".
        differs_mm2: the area in it that is in one mask alone.
    """

    row: Row
    png: bytes
    where: str
    differs_mm2: float


def worst(evaluation: Evaluation, each: int = WORST, most: int = MOST) -> list[Row]:
    """The rows of lowest Dice, worst first, label by label; those that agree in every voxel are not among them.

    Args:
        evaluation: what was measured.
        each: how many of a label at most.
        most: how many of all labels together: first the worst of each label, then the second worst, and so on.
    """
    by_label = []
    for label in evaluation.labels:
        rows = [row for row in evaluation.rows_of(label.name) if row.counts.dice not in (None, 1.0)]
        rows.sort(key=lambda row: (row.counts.dice, -abs(row.predicted_ml - row.reference_ml), row.case))
        by_label.append(rows[:each])
    ranked = [(rank, n) for n, rows in enumerate(by_label) for rank in range(len(rows))]
    kept = set(sorted(ranked)[:most])
    return [row for n, rows in enumerate(by_label) for rank, row in enumerate(rows) if (rank, n) in kept]


def draw_worst(evaluation: Evaluation, report: Callable[[float, str], None] | None = None) -> list[Picture]:
    """Draws the worst rows, in their order; every case is read once.

    Raises:
        UserError: A file cannot be read any more, or an image cannot.
    """
    rows = worst(evaluation)
    labels = {label.name: label for label in evaluation.labels}
    pairs = {pair.case: pair for pair in evaluation.pairs}
    drawn: dict[tuple[str, str], Picture] = {}
    for case in dict.fromkeys(row.case for row in rows):
        pair = pairs[case]
        predicted, reference = read_pair(pair.prediction, pair.reference, evaluation.labels)
        image = _read_image(pair)
        for row in rows:
            if row.case == case:
                if report:
                    report(len(drawn) / len(rows), f"picture {len(drawn) + 1} of {len(rows)}")
                drawn[case, row.label] = draw(row, labels[row.label], predicted, reference, image)
    return [drawn[row.case, row.label] for row in rows]


def _read_image(pair: Pair) -> sitk.Image | None:
    """The case's image, or its first channel."""
    return None if pair.image is None else images.read_volumes(pair.image, None)[0]


def draw(row: Row, label: LabelEntry, predicted: Masks, reference: Masks, image: sitk.Image | None) -> Picture:
    """One picture: of the slice across the thickest axis in which most voxels lie in one mask alone.

    Args:
        row: what was measured.
        label: which of the masks.
        predicted: the prediction's masks.
        reference: the reference's.
        image: what to draw over, on any grid; None draws over nothing.
    """
    box = union([predicted.box(label), reference.box(label)])
    grid, axes, flips = reference.grid.oriented("LPS")
    across = _across(grid.spacing[::-1])
    stored = 2 - axes[2 - across]  # the same axis of arrays as they are stored
    box = _widened(box, reference.grid, stored)
    codes = predicted.mask(label, box).astype(np.uint8) + 2 * reference.mask(label, box)
    place = _part(reference.grid, box)
    straight = images.orient(images.from_array(codes, place), "LPS")
    codes = images.array(straight)
    differs = np.logical_or(codes == 1, codes == 2).sum(axis=tuple(a for a in range(3) if a != across))
    number = int(differs.argmax())
    section = codes.take(number, axis=across)
    behind = None if image is None else _behind(image, reference.grid, box, place).take(number, axis=across)
    # Along which axis of the file, and where: what a viewer shows as the voxel's index.
    number = box[stored].stop - 1 - number if flips[2 - across] else box[stored].start + number
    rows, columns = (grid.spacing[::-1][a] for a in range(3) if a != across)
    return Picture(
        row,
        _render(section, behind, (rows, columns), _PLANES[across]),
        f"{_PLANES[across].name}, {'kji'[stored]} = {number}",
        float(differs.max()) * rows * columns,
    )


def _across(spacing: Sequence[float]) -> int:
    """The axis of an array in LPS orientation that slices lie across: that of thick slices, else from foot to head."""
    order = np.argsort(spacing)
    return int(order[2]) if spacing[order[2]] > _THICK * spacing[order[1]] else 0


def _widened(box: Box, grid: Grid, across: int) -> Box:
    """The box with anatomy around it in the plane, a square in mm as far as the image goes."""
    spacing, size = grid.spacing[::-1], grid.size[::-1]
    sides = [(s.stop - s.start) * mm for s, mm in zip(box, spacing, strict=True)]
    side = max(max(mm for a, mm in enumerate(sides) if a != across) + 2 * _MARGIN_MM, _SIDE_MM)
    wide = []
    for axis, part in enumerate(box):
        more = 0 if axis == across else math.ceil((side - sides[axis]) / 2 / spacing[axis])
        wide.append(slice(max(0, part.start - more), min(size[axis], part.stop + more)))
    return tuple(wide)


def _part(grid: Grid, box: Box) -> Grid:
    """The grid of a part of an image; ``box`` is of the array."""
    start = [s.start for s in box][::-1]
    size = tuple(s.stop - s.start for s in box)[::-1]
    origin = tuple((grid.ijk_to_lps @ [*start, 1])[:3].tolist())
    return Grid(size, grid.spacing, origin, grid.direction)


def _behind(image: sitk.Image, grid: Grid, box: Box, place: Grid) -> np.ndarray:
    """The image's values at a part of the masks' grid, oriented as the masks are drawn."""
    if Grid.of(image).same_as(grid, 0.1):
        part = images.from_array(sitk.GetArrayViewFromImage(image)[box], place)
    else:
        part = images.resample(image, place)
    return images.array(images.orient(part, "LPS")).astype(np.float32)


def _render(codes: np.ndarray, behind: np.ndarray | None, spacing: tuple[float, float], plane: _Plane) -> bytes:
    """A square PNG; ``codes`` are 1 for the prediction, 2 for the reference and 3 for both."""
    high, wide = (n * mm for n, mm in zip(codes.shape, spacing, strict=True))
    # A square, less what the rounding to voxels has put on one side.
    side = min(high, wide) if abs(high - wide) <= 2 * max(spacing) else max(high, wide)
    empty = "black" if behind is not None else _NOTHING
    figure = Figure(figsize=(_INCHES, _INCHES), dpi=_DPI, facecolor=empty)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    extent = (0, wide, high, 0)
    if behind is not None:
        low, top = _window(behind)
        axes.imshow(behind, cmap="gray", vmin=low, vmax=top, extent=extent, interpolation="bilinear", aspect="auto")
    for code, colour in ((1, PREDICTED), (2, REFERENCE)):
        axes.imshow(_tint(codes == code, colour), extent=extent, interpolation="nearest", aspect="auto")
    # The reference wider and below, so that both are seen where they agree.
    for bit, colour, width in ((2, REFERENCE, 2.6), (1, PREDICTED, 1.2)):
        lines = _outline(codes & bit > 0, spacing)
        axes.add_collection(LineCollection(lines, colors=colour, linewidths=width, capstyle="projecting"))
    axes.set_xlim((wide - side) / 2, (wide + side) / 2)
    low, top = (high - side) / 2, (high + side) / 2
    axes.set_ylim((low, top) if plane.upside_down else (top, low))
    style = {"color": "white", "fontsize": 8, "weight": "bold", "transform": axes.transAxes, "alpha": 0.85}
    style["path_effects"] = [withStroke(linewidth=1.5, foreground="black", alpha=0.8)]
    axes.text(0.02, 0.5, plane.left, ha="left", va="center", **style)
    axes.text(0.98, 0.5, plane.right, ha="right", va="center", **style)
    axes.text(0.5, 0.98, plane.top, ha="center", va="top", **style)
    axes.text(0.5, 0.02, plane.bottom, ha="center", va="bottom", **style)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=_DPI, facecolor=empty, metadata={"Software": "segmamba"})
    return picture.getvalue()


def _window(values: np.ndarray) -> tuple[float, float]:
    """Grey values shown as black and white: 0.5 and 99.5 percentiles of what is finite."""
    values = values[np.isfinite(values)]
    low, high = np.percentile(values, (0.5, 99.5)) if values.size else (0, 1)
    return (float(low), float(high)) if high > low else (float(low) - 1, float(low) + 1)


def _tint(mask: np.ndarray, colour: str) -> np.ndarray:
    """RGBA of a mask."""
    red, green, blue = (int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5))
    return np.where(mask[..., None], (red, green, blue, 0.35), 0.0)


def _outline(mask: np.ndarray, spacing: tuple[float, float]) -> np.ndarray:
    """The voxels' edges between a mask and what is outside, as lines in mm: (lines, 2 ends, x and y).

    The true edges of voxels, not a smoothed contour: what is measured is what is seen.
    """
    padded = np.pad(mask, 1)
    below = np.argwhere(padded[1:, 1:-1] != padded[:-1, 1:-1])  # (row of the edge, column)
    beside = np.argwhere(padded[1:-1, 1:] != padded[1:-1, :-1])  # (row, column of the edge)
    lines = [(below, (0, 1)), (beside, (1, 0))]
    ends = [np.stack([start, start + step], axis=1)[..., ::-1] for start, step in lines]
    return np.concatenate(ends) * spacing[::-1]
