"""From images to the network's input: values checked, one grid, the model's orientation and spacing, normalised.

Inference and training prepare their cases by these functions, so that a network sees the same numbers in both.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from segmamba import images as files
from segmamba.errors import UserError
from segmamba.grid import Grid, grid_with_spacing, warn
from segmamba.inference.course import PREPARING, READING
from segmamba.inference.normalisation import apply_scale, scale_of
from segmamba.inference.roi import Box, parse_roi
from segmamba.metadata import Metadata

Source = sitk.Image | str | Path

# The most voxels that an image may have at the model's spacing: four terabytes for each channel.
_MOST_VOXELS = 1e12
# Metadata of an image in memory that tell what messages call it.
NAME_KEY = "segmamba.name"
# Spacings that agree to this part are the same spacing: headers round, and resampling blurs for nothing.
_SAME_SPACING = 1e-3
# How far, as a factor, an image's extent may leave the expected range before it is worth a warning.
_FAR = 1.5


@dataclass(frozen=True)
class Prepared:
    """A case as the network sees it.

    Attributes:
        array: (C, D, H, W) float32, normalised, in the model's orientation and spacing.
        grid: Grid of ``array``.
        source_grid: Grid of the first image, with perpendicular axes.
        stored_grid: The same as stored, to the bit: what results are placed on.
        oriented_grid: The same voxels in the model's orientation.
        axes, flips: For each axis (i, j, k) of ``oriented_grid`` the source's axis, and whether it runs backwards.
        box: Voxels of ``oriented_grid`` that results are wanted for, slices in array order (k, j, i).
        empty_is_background: Zero means "outside the body" in every channel.
        image: The first image, on ``stored_grid``, if it was to be kept.
    """

    array: np.ndarray
    grid: Grid
    source_grid: Grid
    stored_grid: Grid
    oriented_grid: Grid
    axes: tuple[int, int, int]
    flips: tuple[bool, bool, bool]
    box: tuple[slice, slice, slice]
    empty_is_background: bool
    image: sitk.Image | None = None

    def oriented(self, array: np.ndarray) -> np.ndarray:
        """A view in the model's orientation of an array (..., k, j, i) on the source grid."""
        return reordered(array, self.axes, self.flips)


def prepare(
    images: Sequence[Source],
    metadata: Metadata,
    warnings: list[str] | None = None,
    *,
    roi: str | Path | Sequence[Sequence[int]] | None = None,
    series: str | Sequence[str] | None = None,
    keep_image: bool = False,
    step: Callable[[str, int], None] | None = None,
) -> Prepared:
    """Brings the images of one case to the network's input.

    Images are read one after the other, so that memory holds one of them beside the result.  The statistics of the
    normalisation are those of the whole image: a region of interest never changes intensities.

    Args:
        images: One for each channel, in the model's order; SimpleITK images or paths.
        metadata: Channels, orientation, spacing and patch of the model.
        warnings: Texts for the user are appended; logged when None.
        roi: See :func:`segmamba.inference.roi.parse_roi`; half a patch around it is kept as context.
        series: DICOM series to read; several are those of the images that are DICOM folders, in their order.
        keep_image: Keep the first image.
        step: Called with ``reading`` or ``preparing`` and the image's number, from 0, before either; may raise, which
            ends the work.

    Raises:
        UserError: Wrong number of images, an image that cannot be used, or a wrong region of interest.
    """
    check_channels(images, metadata)
    check_order(images, metadata, warnings)
    uids = series_of(images, series)
    step = step or (lambda phase, n: None)
    step(READING, 0)
    # An image whose axes are not quite perpendicular is squared to be worked on; its mask still fits it exactly.
    first, stored_grid = _load(images[0], metadata, 0, uids[0], warnings)
    source_grid = Grid.of(first)
    kept = None
    if keep_image:
        kept = first if stored_grid == source_grid else stored_grid.place(sitk.Image(first))
    oriented_grid, axes, flips = source_grid.oriented(metadata.orientation)
    grid = model_grid(oriented_grid, metadata.spacing)
    voxels = parse_roi(roi, source_grid) if roi is not None else tuple((0, size) for size in source_grid.size)
    check_field_of_view(source_grid, voxels, metadata, warnings)
    box = _oriented_box(voxels, oriented_grid, axes, flips)
    crop = _model_box(box, oriented_grid, grid, metadata.patch) if roi is not None else _whole(grid)
    cropped = _shifted(grid, crop)
    _check_size(grid, source_grid, _name(images[0], metadata, 0))

    array = np.empty((len(images), *reversed(cropped.size)), dtype=np.float32)
    inside = tuple(slice(*pair) for pair in reversed(crop))
    for n, channel in enumerate(metadata.channels):
        if n:
            step(READING, n)
        image = first if n == 0 else _load(images[n], metadata, n, uids[n], warnings)[0]
        first = None
        step(PREPARING, n)
        own = Grid.of(image)
        if n and not own.same_as(source_grid) and not own.oriented(metadata.orientation)[0].same_as(oriented_grid):
            name = _name(images[n], metadata, n)
            warn(warnings, f"{name}: lies on another grid than the first image and was resampled onto it.")
        target = array[n] if roi is None else np.empty(tuple(reversed(grid.size)), dtype=np.float32)
        normalisation = channel.normalisation
        outside = 0.0 if normalisation.region == "nonzero" else None
        _fill(target, image, own, source_grid, grid, metadata.orientation, outside)
        del image
        scale = scale_of(target, normalisation)
        if roi is not None:
            array[n] = target[inside]
            del target
        apply_scale(array[n], scale)
    empty = all(channel.normalisation.region == "nonzero" for channel in metadata.channels)
    place = tuple(slice(*pair) for pair in reversed(box))
    return Prepared(array, cropped, source_grid, stored_grid, oriented_grid, axes, flips, place, empty, kept)


def series_of(images: Sequence[Source], series: str | Sequence[str] | None) -> list[str | None]:
    """For each image the DICOM series to read, or None: ``series`` has one for each image that is a DICOM folder.

    Raises:
        UserError: There are more or fewer series than DICOM folders.
    """
    found: list[str | None] = [None] * len(images)
    if series is None or not len(series):
        return found
    paths = [image for image in images if isinstance(image, (str, Path))]
    if not all(map(os.path.exists, paths)):
        return found  # reading tells which is missing
    uids = [series] if isinstance(series, str) else list(series)
    folders = [n for n, image in enumerate(images) if isinstance(image, (str, Path)) and os.path.isdir(image)]
    if len(uids) != len(folders):
        given = ", ".join(str(image) if isinstance(image, (str, Path)) else "an image in memory" for image in images)
        raise UserError(
            f"--series (series= in Python) names {len(uids)} series, and {len(folders)} of the images ({given}) "
            f"{'is a DICOM folder' if len(folders) == 1 else 'are DICOM folders'}: give one series for each such folder"
        )
    for n, uid in zip(folders, uids, strict=True):
        found[n] = uid
    return found


def prepare_label(label: sitk.Image, grid: Grid) -> np.ndarray:
    """A label map on a prepared case's ``grid``, by nearest neighbour.

    Returns:
        (D, H, W), the smallest of uint8, uint16 and int32 that holds the values.
    """
    own, axes, flips = Grid.of(label).oriented(grid.orientation)
    if own.same_as(grid):
        array = reordered(sitk.GetArrayViewFromImage(label), axes, flips)
    else:
        moved = files.resample(label, grid, linear=False)  # named: a view does not keep its image alive
        array = sitk.GetArrayViewFromImage(moved)
    if array.dtype.kind == "f":
        array = np.rint(array)
    low, high = array.min(), array.max()
    kind = np.uint8 if low >= 0 and high < 256 else np.uint16 if low >= 0 and high < 65536 else np.int32
    return np.array(array, dtype=kind, order="C")  # always a copy: the view ends with its image


def model_grid(oriented: Grid, spacing: Sequence[float] | None) -> Grid:
    """The grid that the network sees: that of the oriented image, or of another spacing over the same extent."""
    if spacing is None:
        return oriented
    new = tuple(
        own if abs(own - wanted) <= _SAME_SPACING * wanted else wanted
        for own, wanted in zip(oriented.spacing, spacing, strict=True)
    )
    return oriented if new == tuple(oriented.spacing) else grid_with_spacing(oriented, new)


def check_channels(images: Sequence[Source], metadata: Metadata) -> None:
    """Raises UserError, naming the channels in their order, unless there is one image for each channel."""
    if len(images) != len(metadata.channels):
        names = ", ".join(f"{channel.name} ({channel.modality})" for channel in metadata.channels)
        wanted = f"{len(metadata.channels)} image" + ("s, in this order" if len(metadata.channels) > 1 else "")
        raise UserError(f"model {metadata.name} needs {wanted}: {names}; {len(images)} given")


def check_order(images: Sequence[Source], metadata: Metadata, warnings: list[str] | None) -> None:
    """Warns where a file's name speaks of another channel than the one that it is given as."""
    names = {channel.name.lower(): channel.name for channel in metadata.channels}
    for source, channel in zip(images, metadata.channels, strict=True):
        if not isinstance(source, (str, Path)):
            continue
        words = set(re.split(r"[^a-z0-9]+", Path(source).name.lower()))
        others = sorted(names[word] for word in words & set(names))
        if others and channel.name not in others:
            warn(
                warnings,
                f"{source} is taken as channel {channel.name}, but its name speaks of {', '.join(others)}: the images "
                f"must be in the order {', '.join(names.values())}.",
            )


def check_field_of_view(grid: Grid, voxels: Box, metadata: Metadata, warnings: list[str] | None) -> None:
    """Warns where the part of the image that is segmented is far larger or smaller than the model is meant for."""
    if metadata.field_of_view is None:
        return
    low, high = metadata.field_of_view
    extent = [(stop - start) * mm for (start, stop), mm in zip(voxels, grid.spacing, strict=True)]
    if min(extent) * _FAR < low or max(extent) > high * _FAR:
        size = " x ".join(f"{mm:.0f}" for mm in extent)
        warn(
            warnings,
            f"The image measures {size} mm; model {metadata.name} is meant for {low:.0f} to {high:.0f} mm. "
            "The result may be meaningless.",
        )


def _fill(
    target: np.ndarray,
    image: sitk.Image,
    own: Grid,
    source_grid: Grid,
    grid: Grid,
    orientation: str,
    outside: float | None,
) -> None:
    """Writes an image onto the model's grid: a mere reordering where the voxels agree, else one interpolation."""
    aligned = own.same_as(source_grid)
    oriented, axes, flips = (source_grid if aligned else own).oriented(orientation)
    view = sitk.GetArrayViewFromImage(image)
    if oriented.same_as(grid):
        target[...] = reordered(view, axes, flips)
        return
    if outside is None:  # what no image covers is air, or the nearest thing to it
        outside = float(view.min())
    del view
    moved = files.resample(image, grid, linear=True, outside=outside)  # named: a view does not keep its image alive
    target[...] = sitk.GetArrayViewFromImage(moved)


def _load(
    source: Source, metadata: Metadata, n: int, series: str | None, warnings: list[str] | None
) -> tuple[sitk.Image, Grid]:
    """A channel's image, geometry and values checked, and its grid as stored."""
    name = _name(source, metadata, n)
    if isinstance(source, (str, Path)):
        image, stored = files.read_placed(source, series=series, warnings=warnings)
    else:
        image, stored = files.check_placed(source, name, warnings)
    values = sitk.GetArrayViewFromImage(image)
    checked = files.check_values(values, name, warnings)
    return image if checked is values else files.from_array(checked, Grid.of(image)), stored


def _name(source: Source, metadata: Metadata, n: int) -> str:
    if isinstance(source, (str, Path)):
        return str(source)
    if isinstance(source, sitk.Image) and source.HasMetaDataKey(NAME_KEY):
        return f"{source.GetMetaData(NAME_KEY)} ({metadata.channels[n].name})"
    return f"image {n + 1} ({metadata.channels[n].name})"


def reordered(array: np.ndarray, axes: Sequence[int], flips: Sequence[bool]) -> np.ndarray:
    """A view (..., k, j, i) whose axis n of (i, j, k) is the array's axis ``axes[n]``, backwards where ``flips[n]``."""
    lead = array.ndim - 3
    order = [*range(lead), *(lead + 2 - axes[n] for n in (2, 1, 0))]
    steps = [slice(None)] * lead + [slice(None, None, -1 if flips[n] else 1) for n in (2, 1, 0)]
    return array.transpose(order)[tuple(steps)]


def between(one: Grid, other: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Scale and offset along i, j, k that take voxels of one grid to voxels of another, axis-aligned with it."""
    matrix = np.linalg.solve(other.ijk_to_lps, one.ijk_to_lps)
    return np.diag(matrix)[:3], matrix[:3, 3]


def _oriented_box(voxels: Box, oriented: Grid, axes: Sequence[int], flips: Sequence[bool]) -> Box:
    box = []
    for axis, flip, size in zip(axes, flips, oriented.size, strict=True):
        start, stop = voxels[axis]
        box.append((size - stop, size - start) if flip else (start, stop))
    return tuple(box)


def _model_box(box: Box, oriented: Grid, grid: Grid, patch: Sequence[int]) -> Box:
    """The model's voxels around a box, with half a patch of context on each side."""
    scale, offset = between(oriented, grid)
    crop = []
    for n, (start, stop) in enumerate(box):
        low = int(np.floor(start * scale[n] + offset[n])) - patch[n] // 2
        high = int(np.ceil((stop - 1) * scale[n] + offset[n])) + 1 + patch[n] // 2
        low = min(max(low, 0), grid.size[n] - 1)
        crop.append((low, max(min(high, grid.size[n]), low + 1)))
    return tuple(crop)


def _check_size(grid: Grid, source_grid: Grid, name: str) -> None:
    """Refuses what no computer holds, which a spacing in wrong units leads to."""
    size = [
        extent * mm / new for extent, mm, new in zip(source_grid.size, source_grid.spacing, grid.spacing, strict=True)
    ]
    if math.prod(size) > _MOST_VOXELS:
        spacing = " x ".join(f"{mm:g}" for mm in source_grid.spacing)
        raise UserError(
            f"{name}: with its spacing of {spacing} mm it has {math.prod(size):.0e} voxels at the model's; "
            "is it in other units than millimetres? Correct it"
        )


def _whole(grid: Grid) -> Box:
    return tuple((0, size) for size in grid.size)


def _shifted(grid: Grid, crop: Box) -> Grid:
    """The grid of a box of voxels."""
    if crop == _whole(grid):
        return grid
    origin = (grid.ijk_to_lps @ [*(start for start, _ in crop), 1])[:3]
    size = tuple(stop - start for start, stop in crop)
    return Grid(size, grid.spacing, tuple(origin.tolist()), grid.direction)
