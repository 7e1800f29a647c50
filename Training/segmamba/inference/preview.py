"""A picture of a segmentation: three planes through its centre, contours in the labels' colours, a legend."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from scipy import ndimage

from segmamba.atomic import replacing
from segmamba.errors import UserError
from segmamba.grid import Grid
from segmamba.inference.masks import label_masks
from segmamba.inference.preprocess import reordered
from segmamba.inference.segmentation import Segmentation
from segmamba.metadata import Label

_BACKGROUND, _TEXT, _DIM = "#101216", "#f2f4f7", "#9aa3af"
_FONT = ["DejaVu Sans"]
# Millimetres shown around the segmentation, on each side, at least.
_MARGIN_MM = 12.0
_WIDTH_INCHES, _DPI = 12.0, 130
# Contours are found on a grid this many times finer, smoothed by this part of a voxel's short side.
_FINER, _SMOOTH = 4, 0.6


@dataclass(frozen=True)
class _Plane:
    """One of the pictures: which array axis it cuts, and what lies at its edges.

    The arrays are in LPS orientation, (k, j, i) = (superior, posterior, left).
    """

    name: str
    axis: int
    left: str
    right: str
    top: str
    bottom: str
    upside_down: bool  # rows of the array run upwards in the picture


# Radiological convention, as in Slicer: the patient's right on the left of axial and coronal pictures.
_PLANES = (
    _Plane("Axial", 0, "R", "L", "A", "P", False),
    _Plane("Coronal", 1, "R", "L", "S", "I", True),
    _Plane("Sagittal", 2, "A", "P", "S", "I", True),
)


def write_preview(segmentation: Segmentation, image: sitk.Image, path: str | Path, title: str = "") -> None:
    """Draws a segmentation over its image and writes it as PNG, whole or not at all.

    Args:
        segmentation: What to draw.
        image: The first image, on the segmentation's grid.
        path: A PNG file.
        title: Shown at the top right, such as the image's file name.

    Raises:
        UserError: The suffix is not .png, the image lies on another grid, or the file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise UserError(f"{path}: a preview is a PNG file; give it the suffix .png")
    write_picture(draw_preview(segmentation, image, title), path)


def draw_preview(segmentation: Segmentation, image: sitk.Image, title: str = "") -> bytes:
    """The same picture as the bytes of a PNG file.

    Raises:
        UserError: The image lies on another grid.
    """
    if not Grid.of(image).same_as(Grid.of(segmentation.labels)):
        raise UserError("the image of a preview must lie on the grid of the segmentation; give the first image")
    picture = io.BytesIO()
    figure = _draw(segmentation, image, title)
    figure.savefig(picture, format="png", dpi=_DPI, facecolor=_BACKGROUND, metadata={"Software": "segmamba"})
    return picture.getvalue()


def write_picture(picture: bytes, path: str | Path) -> None:
    """Writes a picture, whole or not at all.

    Raises:
        UserError: The file cannot be written.
    """
    try:
        with replacing(path, ".png") as temporary:
            temporary.write_bytes(picture)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}") from error


def _draw(segmentation: Segmentation, image: sitk.Image, title: str) -> Figure:
    grid, axes, flips = Grid.of(image).oriented("LPS")
    volume = reordered(sitk.GetArrayViewFromImage(image), axes, flips)
    spacing = tuple(reversed(grid.spacing))
    labels = reordered(sitk.GetArrayViewFromImage(segmentation.labels), axes, flips)
    found = labels if segmentation.regions is None else reordered(segmentation.regions, axes, flips)
    window = _window(volume)
    box, centre = _view(found, spacing)
    cuts = [_cut(plane, box, centre) for plane in _PLANES]
    sections: list[list[tuple[Label, np.ndarray]]] = [[] for _ in _PLANES]
    for label, mask in label_masks(segmentation):
        oriented = reordered(mask, axes, flips)
        for cut, kept in zip(cuts, sections, strict=True):
            if (section := oriented[cut]).any():
                kept.append((label, section.copy()))  # a copy, so that the whole mask can go

    sizes = [_size(box, spacing, plane) for plane in _PLANES]
    height = max(h for _, h in sizes)
    # Every picture as high as the highest, none so wide that it dwarfs the others.
    widths = [max(w * height / h, 0.5 * height) for w, h in sizes]
    rows = -(-len(segmentation.names) // _legend_columns(segmentation)[0])
    picture = min((_WIDTH_INCHES - 0.5) * height / sum(widths), 5.0)
    top, bottom, gap = 0.62, 0.36 + 0.27 * rows, 0.12
    total = top + picture + bottom
    figure = Figure(figsize=(_WIDTH_INCHES, total), facecolor=_BACKGROUND)
    FigureCanvasAgg(figure)
    scale = picture / height
    spread = sum(widths) * scale + 2 * gap
    left = (_WIDTH_INCHES - spread) / 2
    for plane, cut, kept, width in zip(_PLANES, cuts, sections, widths, strict=True):
        place = [left / _WIDTH_INCHES, bottom / total, width * scale / _WIDTH_INCHES, picture / total]
        _picture(figure.add_axes(place), plane, volume[cut], kept, spacing, window)
        left += width * scale + gap
    x = 0.25 / _WIDTH_INCHES
    y = 1 - 0.34 / total
    metadata = segmentation.metadata
    name = f"{metadata.name}  {metadata.version}"
    figure.text(x, y, name, color=_TEXT, fontsize=14, weight="bold", va="center", family=_FONT)
    if title:
        figure.text(1 - x, y, title, color=_DIM, fontsize=11, ha="right", va="center", family=_FONT)
    _legend(figure, segmentation, total)
    return figure


def _window(volume: np.ndarray) -> tuple[float, float]:
    """Grey values shown as black and white: 0.5 and 99.5 percentiles of a sample of what is not background."""
    step = tuple(max(1, n // 96) for n in volume.shape)
    sample = volume[:: step[0], :: step[1], :: step[2]].astype(np.float32)
    sample = sample[np.isfinite(sample)]
    inside = sample[sample > sample.min()] if sample.size else sample
    if not inside.size:
        return 0.0, 1.0
    low, high = np.percentile(inside, (0.5, 99.5))
    return (float(low), float(high)) if high > low else (float(low), float(low) + 1)


def _view(found: np.ndarray, spacing: tuple[float, ...]) -> tuple[list[slice], list[int]]:
    """The part of the image that is shown, and the voxel that the planes go through."""
    profiles = [found.any(axis=tuple(a for a in range(3) if a != axis)) for axis in range(3)]
    if not profiles[0].any():
        return [slice(0, n) for n in found.shape], [n // 2 for n in found.shape]
    box, centre = [], []
    extents = [np.flatnonzero(p)[[0, -1]] for p in profiles]
    # At least half as wide as the whole image: the anatomy around says where one is.
    for axis, (first, last) in enumerate(extents):
        size = found.shape[axis]
        margin = max(_MARGIN_MM / spacing[axis], 0.25 * size)
        box.append(slice(max(0, int(first - margin)), min(size, int(last + 1 + margin))))
    for axis in range(3):
        others = tuple(a for a in range(3) if a != axis)
        counts = np.count_nonzero(found, axis=others)
        centre.append(int(np.rint(np.average(np.arange(len(counts)), weights=counts))))
    # The centre of two organs may lie in neither: then the planes go through the fullest slices.
    for axis in range(3):
        if not found.take(centre[axis], axis=axis).any():
            others = tuple(a for a in range(3) if a != axis)
            centre[axis] = int(np.count_nonzero(found, axis=others).argmax())
    return box, centre


def _size(box: list[slice], spacing: tuple[float, ...], plane: _Plane) -> tuple[float, float]:
    """Width and height of a picture in mm."""
    rows, columns = (a for a in range(3) if a != plane.axis)
    return tuple((box[a].stop - box[a].start) * spacing[a] for a in (columns, rows))


def _cut(plane: _Plane, box: list[slice], centre: list[int]) -> tuple[slice | int, ...]:
    """The index of the voxels that a picture shows."""
    return tuple(centre[axis] if axis == plane.axis else box[axis] for axis in range(3))


def _picture(axes, plane: _Plane, picture: np.ndarray, sections: list, spacing, window) -> None:
    rows, columns = (a for a in range(3) if a != plane.axis)
    picture = picture.astype(np.float32)
    high, wide = picture.shape
    # Outer edges in mm, so that the aspect ratio is that of the anatomy.
    extent = (0, wide * spacing[columns], high * spacing[rows], 0)
    axes.imshow(
        picture, cmap="gray", vmin=window[0], vmax=window[1], extent=extent, interpolation="bicubic", aspect="equal"
    )
    for label, section in sections:
        _contour(axes, section, (spacing[rows], spacing[columns]), np.divide(label.colour, 255))
    axes.set_facecolor("black")
    axes.set_xlim(0, extent[1])
    axes.set_ylim((0, extent[2]) if plane.upside_down else (extent[2], 0))
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color("#2a2f38")
    style = {"color": _TEXT, "fontsize": 10, "weight": "bold", "transform": axes.transAxes, "alpha": 0.9}
    style |= {"family": _FONT, "path_effects": _outline()}
    axes.text(0.02, 0.5, plane.left, ha="left", va="center", **style)
    axes.text(0.98, 0.5, plane.right, ha="right", va="center", **style)
    axes.text(0.5, 0.985, plane.top, ha="center", va="top", **style)
    axes.text(0.5, 0.015, plane.bottom, ha="center", va="bottom", **style)
    axes.text(0.02, 0.985, plane.name, ha="left", va="top", **(style | {"weight": "normal", "fontsize": 9}))


def _contour(axes, section: np.ndarray, spacing: tuple[float, float], colour: np.ndarray) -> None:
    """A smooth filled contour: the mask's signed distance, interpolated between voxels, where it is nought.

    Distances rather than the mask itself, so that thick slices are joined by slopes, as an organ is, not by steps.
    """
    first = [int(np.flatnonzero(section.any(axis=1 - axis))[0]) for axis in (0, 1)]
    last = [int(np.flatnonzero(section.any(axis=1 - axis))[-1]) + 1 for axis in (0, 1)]
    padded = np.pad(section[first[0] : last[0], first[1] : last[1]], 2)
    distance = ndimage.distance_transform_edt(padded, sampling=spacing)
    distance -= ndimage.distance_transform_edt(~padded, sampling=spacing)
    # Steps of the finer grid are about equal in mm along both axes, however flat the voxels.
    factors = [max(1, round(_FINER * mm / min(spacing))) for mm in spacing]
    while padded.size * factors[0] * factors[1] > 2e6 and max(factors) > 1:
        factors = [max(1, factor // 2) for factor in factors]
    fine = ndimage.zoom(distance, factors, order=1, mode="nearest", grid_mode=True)
    sigma = [_SMOOTH * min(spacing) / mm * factor for factor, mm in zip(factors, spacing, strict=True)]
    fine = ndimage.gaussian_filter(fine, sigma)
    y = ((np.arange(fine.shape[0]) + 0.5) / factors[0] - 2 + first[0]) * spacing[0]
    x = ((np.arange(fine.shape[1]) + 0.5) / factors[1] - 2 + first[1]) * spacing[1]
    if fine.max() <= 0:  # a speck that smoothing removed
        fine = fine - fine.max() + 1e-3
    axes.contourf(x, y, fine, levels=[0, np.inf], colors=[(*colour, 0.32)], antialiased=True)
    axes.contour(x, y, fine, levels=[0], colors=[tuple(colour)], linewidths=1.4, antialiased=True)


def _outline():
    from matplotlib.patheffects import withStroke

    return [withStroke(linewidth=1.6, foreground="black", alpha=0.75)]


def _legend_columns(segmentation: Segmentation) -> tuple[int, float]:
    """Number of columns, and their width in inches."""
    width = 0.083 * max(len(name) for name in segmentation.names.values()) + 1.35
    columns = max(1, min(len(segmentation.names), int((_WIDTH_INCHES - 0.5) / width)))
    return columns, min((_WIDTH_INCHES - 0.5) / columns, width + 0.4)


def _legend(figure: Figure, segmentation: Segmentation, total: float) -> None:
    columns, step = _legend_columns(segmentation)
    axes = figure.add_axes([0, 0, 1, 1])
    axes.set_axis_off()
    axes.set_xlim(0, _WIDTH_INCHES)
    axes.set_ylim(0, total)
    rows = -(-len(segmentation.names) // columns)
    for n, label in enumerate(segmentation.metadata.labels):
        x = 0.25 + (n % columns) * step
        y = 0.2 + 0.27 * (rows - 1 - n // columns) + 0.06
        found = segmentation.volumes_ml[label.name] > 0
        colour = tuple(np.divide(label.colour, 255))
        axes.add_patch(
            Rectangle((x, y - 0.07), 0.14, 0.14, facecolor=(*colour, 0.9 if found else 0.25), edgecolor=colour)
        )
        volume = _millilitres(segmentation.volumes_ml[label.name]) if found else "not found"
        text = figure.text(
            (x + 0.24) / _WIDTH_INCHES, y / total, label.name, color=_TEXT if found else _DIM, fontsize=10,
            va="center", family=_FONT,
        )  # fmt: skip
        end = text.get_window_extent(figure.canvas.get_renderer()).x1 / figure.dpi
        axes.text(end + 0.12, y, volume, color=_DIM, fontsize=10, va="center", family=_FONT)


def _millilitres(volume: float) -> str:
    return f"{volume:.0f} ml" if volume >= 100 else f"{volume:.1f} ml" if volume >= 10 else f"{volume:.2f} ml"
