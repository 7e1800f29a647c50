"""A small picture of a case: the slice with most of its label, or the middle one, with the labels tinted."""

import colorsys
import io
from collections.abc import Sequence

import numpy as np
import SimpleITK as sitk
from matplotlib.image import imsave

from segmamba import images
from segmamba.data.description import LabelEntry
from segmamba.grid import Grid

_SIDE = 160  # pixels
_THICK = 1.5  # slices lie across the axis of the thickest voxels, if they are that much thicker
_TINT = 0.45


def draw_thumbnail(image: sitk.Image | None, label: sitk.Image | None, labels: Sequence[LabelEntry]) -> bytes:
    """A PNG of at most 160 x 160 pixels in the proportions of millimetres; dark where nothing could be read.

    Args:
        image: the first channel.
        label: the label map, drawn only where it lies on the image's grid.
        labels: give the colours; the last of those that hold a voxel's value wins.
    """
    if image is None and label is None:
        return _png(np.full((_SIDE, _SIDE, 3), 0.13))
    if image is not None and label is not None and image.GetSize() != label.GetSize():
        label = None
    straight = [None if volume is None else images.orient(volume, "LPS") for volume in (image, label)]
    grid = Grid.of(straight[0] if straight[0] is not None else straight[1])
    values = None if straight[0] is None else images.array(straight[0]).astype(np.float32)
    codes = None if straight[1] is None else images.array(straight[1])
    spacing = grid.spacing[::-1]
    thick = int(np.argmax(spacing))
    across = thick if spacing[thick] > _THICK * sorted(spacing)[1] else 0
    number = grid.size[::-1][across] // 2
    if codes is not None and codes.any():
        number = int((codes > 0).sum(axis=tuple(a for a in range(3) if a != across)).argmax())
    rows, columns = (mm for axis, mm in enumerate(spacing) if axis != across)
    section = None if values is None else values.take(number, axis=across)
    marks = None if codes is None else codes.take(number, axis=across)
    shape = (section if section is not None else marks).shape
    high, wide = shape[0] * rows, shape[1] * columns
    pixels = [max(1, round(_SIDE * mm / max(high, wide))) for mm in (high, wide)]
    place = [((np.arange(m) + 0.5) * n / m).astype(int) for n, m in zip(shape, pixels, strict=True)]
    grey = np.repeat(_grey(section, shape)[np.ix_(*place)][..., None], 3, axis=-1)
    picture = grey.copy()
    if marks is not None:
        marks = marks[np.ix_(*place)]
        for n, entry in enumerate(labels):
            inside = np.isin(marks, entry.members)
            picture[inside] = (1 - _TINT) * grey[inside] + _TINT * np.array(tint(n, len(labels)))
    if across != 0:  # from foot to head runs up
        picture = picture[::-1]
    square = np.zeros((_SIDE, _SIDE, 3))
    top, left = ((_SIDE - n) // 2 for n in picture.shape[:2])
    square[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return _png(square)


def tint(number: int, count: int) -> tuple[float, float, float]:
    """The colour of the ``number``-th of ``count`` labels, from 0 to 1."""
    return colorsys.hsv_to_rgb(number / max(count, 1), 0.85, 1.0)


def _grey(section: np.ndarray | None, shape: tuple[int, int]) -> np.ndarray:
    """Values from 0 to 1, windowed from the 0.5 to the 99.5 percentile of what is finite."""
    if section is None or not np.isfinite(section).any():
        return np.full(shape, 0.13)
    low, high = np.percentile(section[np.isfinite(section)], (0.5, 99.5))
    return np.clip((np.nan_to_num(section, nan=low) - low) / max(high - low, 1e-12), 0, 1)


def _png(picture: np.ndarray) -> bytes:
    file = io.BytesIO()
    imsave(file, np.clip(picture, 0, 1), format="png", metadata={"Software": "segmamba"})
    return file.getvalue()
