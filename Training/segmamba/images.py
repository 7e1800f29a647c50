"""Volumes with their geometry: orienting, resampling and writing them; what reads them is at hand here too.

Files and SimpleITK speak LPS, Slicer and MONAI speak RAS; the two meet only here (``Grid.ijk_to_lps``,
``Grid.ijk_to_ras``).  Arrays are numpy in (k, j, i) order; everything else is in (i, j, k), as in ITK.

Example:
    >>> image = read_image("case.nii.gz")                                  # doctest: +SKIP
    >>> straight = orient(image, "LPS")                                    # doctest: +SKIP
    >>> mask = from_array(array(straight) > 100, Grid.of(straight))        # doctest: +SKIP
    >>> write_image(like(mask, Grid.of(image)), "mask.nii.gz")             # doctest: +SKIP
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from segmamba.atomic import replacing
from segmamba.errors import UserError
from segmamba.grid import Grid, grid_with_spacing, squared, warn
from segmamba.image_reading import check_image, check_placed, read_image, read_placed, read_volumes, reason
from segmamba.segmentation_file import write_segmentation_nrrd

__all__ = [
    "IMAGE_SUFFIXES",
    "MASK_SUFFIXES",
    "Grid",
    "array",
    "check_image",
    "check_output",
    "check_placed",
    "check_values",
    "finite",
    "from_array",
    "grid_with_spacing",
    "like",
    "orient",
    "read_image",
    "read_placed",
    "read_volumes",
    "resample",
    "suffix_of",
    "write_image",
    "write_segmentation",
]

IMAGE_SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".mha")
MASK_SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".mha", ".seg.nrrd")
_UNSIGNED = (sitk.sitkUInt8, sitk.sitkUInt16, sitk.sitkUInt32, sitk.sitkUInt64)


def array(image: sitk.Image) -> np.ndarray:
    """A copy of the voxels, (k, j, i), in their own type.

    A copy because a view of SimpleITK's memory is read-only and ends with the image.
    """
    return sitk.GetArrayFromImage(image)


def from_array(values: np.ndarray, grid: Grid) -> sitk.Image:
    """The image of an array on a grid.

    Args:
        values: (k, j, i); or (channels, k, j, i), which gives an image with that many components a voxel.
            Booleans become 0 and 1 of 8 bits, half precision becomes single.
        grid: its size is the array's, turned round.
    """
    values = np.asarray(values)
    if values.dtype == bool:
        values = values.view(np.uint8) if values.flags.c_contiguous else values.astype(np.uint8)
    elif values.dtype == np.float16:
        values = values.astype(np.float32)
    if values.ndim not in (3, 4) or values.shape[-3:] != tuple(grid.size)[::-1]:
        raise ValueError(f"an array of shape {values.shape} does not lie on a grid of size {grid.size} (i, j, k)")
    if values.ndim == 4:
        values = np.moveaxis(values, 0, -1)
    return grid.place(sitk.GetImageFromArray(np.ascontiguousarray(values), isVector=values.ndim == 4))


def orient(image: sitk.Image, code: str) -> sitk.Image:
    """The same voxels at the same places, with axes permuted and flipped to run nearest to ``code``.

    "LPS" has i, j, k run to the left, to the back and up, as ``sitk.DICOMOrient`` has it. Nothing is
    interpolated: an oblique image stays oblique.

    Raises:
        UserError: the code is unknown.
    """
    grid, axes, flips = Grid.of(image).oriented(code)
    return _rearranged(image, grid, axes, flips)


def like(image: sitk.Image, grid: Grid) -> sitk.Image:
    """Undo :func:`orient`: the voxels back in the order of ``grid``, with its geometry to the bit.

    Raises:
        ValueError: the image does not hold the grid's voxels, in whatever order and direction of axes.
    """
    between = np.reshape(grid.direction, (3, 3)).T @ np.reshape(image.GetDirection(), (3, 3))
    axes = tuple(int(a) for a in np.abs(between).argmax(axis=1))
    flips = tuple(bool(between[n, a] < 0) for n, a in enumerate(axes))
    if sorted(axes) != [0, 1, 2] or not Grid.of(image).rearranged(axes, flips).same_as(grid):
        raise ValueError(f"{Grid.of(image)} does not hold the voxels of {grid}")
    return _rearranged(image, grid, axes, flips)


def resample(image: sitk.Image, grid: Grid, linear: bool = True, outside: float = 0.0) -> sitk.Image:
    """The image's values at the voxel centres of another grid, in physical space.

    Args:
        image: scalar volume.
        grid: where values are wanted.
        linear: trilinear, in float32 (float64 stays); otherwise the nearest voxel's value, in the image's type.
        outside: the value beyond the edges of the image's outer voxels.
    """
    kind = image.GetPixelID()
    if linear and kind != sitk.sitkFloat64:
        kind = sitk.sitkFloat32
    if Grid.of(image) == grid:
        return image if image.GetPixelID() == kind else sitk.Cast(image, kind)
    return sitk.Resample(
        image,
        grid.size,
        sitk.Transform(),
        sitk.sitkLinear if linear else sitk.sitkNearestNeighbor,
        grid.origin,
        grid.spacing,
        grid.direction,
        outside,
        kind,
    )


def finite(values: np.ndarray, name: str, warnings: list[str] | None = None) -> np.ndarray:
    """``values`` without NaN and infinity: itself where there are none, else a copy.

    They take the smallest finite value: in CT and MR that is air or background, where 0 may be tissue.

    Raises:
        UserError: no value is finite.
    """
    if values.dtype.kind not in "fc":
        return values
    good = np.isfinite(values)
    bad = values.size - int(np.count_nonzero(good))
    if not bad:
        return values
    if bad == values.size:
        raise UserError(f"{name}: no voxel holds a number (all are NaN or infinite): export the image again")
    least = values[good].min()
    warn(
        warnings,
        f"{name}: {bad} voxel{'s' if bad > 1 else ''} of {values.size} held NaN or infinity and "
        f"{'were' if bad > 1 else 'was'} set to the smallest other value, {least:g}.",
    )
    return np.where(good, values, least)


def check_values(values: np.ndarray, name: str, warnings: list[str] | None = None) -> np.ndarray:
    """Check that a volume shows something: :func:`finite` values that are not all the same; returns them.

    Raises:
        UserError: every voxel holds the same value, or none a number.
    """
    values = finite(values, name, warnings)
    low, high = values.min(), values.max()
    if low == high:
        raise UserError(f"{name}: the image is blank, every voxel holds {low:g}: give an image with content")
    return values


def suffix_of(path: str | os.PathLike, suffixes: Sequence[str] = MASK_SUFFIXES) -> str | None:
    """The longest of ``suffixes`` that the file's name ends with, in whatever case, or None."""
    name = Path(path).name.lower()
    return max((s for s in suffixes if name.endswith(s) and name != s), key=len, default=None)


def check_output(path: str | os.PathLike, suffixes: Sequence[str] = MASK_SUFFIXES) -> Path:
    """Check, before anything is computed, that a file can be written at ``path``; returns it.

    Raises:
        UserError: the format is unknown, ``path`` is a folder, or its folder is missing or not writable.
    """
    path = Path(path)
    if os.path.isdir(path):
        raise UserError(f"{path}: this is a folder: name the file to write, such as {path / ('out' + suffixes[0])}")
    if suffix_of(path, suffixes) is None:
        raise UserError(f"{path}: the format of the output is unknown: end its name with one of {', '.join(suffixes)}")
    if not os.path.isdir(path.parent):
        if os.path.exists(path.parent):
            raise UserError(f"{path}: {path.parent} is a file, not a folder: name another place")
        raise UserError(f"{path}: the folder {path.parent} does not exist: make it first")
    try:
        # Tried rather than asked: permissions do not tell of read-only disks, and root may do anything.
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise UserError(f"{path}: the folder {path.parent} cannot be written to ({error.strerror})") from error
    return path


def write_image(image: sitk.Image, path: str | os.PathLike) -> None:
    """Write a volume as .nii, .nii.gz, .nrrd or .mha, whole or not at all.

    Unsigned integers (masks) are compressed in .nrrd and .mha too; other types are not, which is faster.  Axes that
    are not quite perpendicular are kept by .nrrd and .mha; NIfTI gets the nearest that are, about the same centre.

    Raises:
        UserError: as :func:`check_output`, or the disk refuses.
    """
    path = check_output(path, IMAGE_SUFFIXES)
    compress = path.name.lower().endswith(".gz") or image.GetPixelID() in _UNSIGNED
    if suffix_of(path, IMAGE_SUFFIXES) in (".nii", ".nii.gz"):
        image = _perpendicular(image)
    try:
        with replacing(path, suffix_of(path, IMAGE_SUFFIXES)) as temporary:
            sitk.WriteImage(image, str(temporary), compress)
    except (RuntimeError, OSError) as error:
        raise UserError(f"{path}: the file could not be written ({reason(error)}): is the disk full?") from error


def _perpendicular(image: sitk.Image) -> sitk.Image:
    """The image on perpendicular axes; ITK's NIfTI writer would turn the axes about the first voxel by itself."""
    if image.GetDimension() not in (3, 4):
        return image
    rest = image.GetDimension() - 3
    direction = np.reshape(image.GetDirection(), (3 + rest, 3 + rest))
    grid = Grid(
        image.GetSize()[:3], image.GetSpacing()[:3], image.GetOrigin()[:3], tuple(direction[:3, :3].ravel().tolist())
    )
    fixed = squared(grid, "image", [])
    if fixed is grid:
        return image
    direction = np.eye(3 + rest)
    direction[:3, :3] = np.reshape(fixed.direction, (3, 3))
    image = sitk.Image(image)
    image.SetOrigin((*fixed.origin, *image.GetOrigin()[3:]))
    image.SetDirection(direction.ravel().tolist())
    return image


def write_segmentation(
    labels: sitk.Image, path: str | os.PathLike, segments: Sequence, regions: np.ndarray | None = None
) -> None:
    """Write a mask; as .seg.nrrd with names, colours and terminology, as 3D Slicer does.

    Args:
        labels: label map of whole numbers, 0 is background.
        path: .seg.nrrd, or any suffix of :func:`write_image`, which gets the label map alone.
        segments: what has a value: objects with ``value``, ``name``, ``colour`` and ``terminology``
            (:class:`segmamba.bundle.Label`).
        regions: (k, j, i) unsigned integers whose bit r is set where ``segments[r]`` is present. Segments that
            overlap go to layers of their own in .seg.nrrd; elsewhere only ``labels`` is written.

    Raises:
        UserError: as :func:`check_output`.
    """
    path = check_output(path, MASK_SUFFIXES)
    if suffix_of(path) != ".seg.nrrd":
        highest = int(array(labels).max(initial=0))
        write_image(sitk.Cast(labels, next(k for k in _UNSIGNED if highest <= _LARGEST[k])), path)
        return
    try:
        write_segmentation_nrrd(array(labels), Grid.of(labels), path, segments, regions)
    except OSError as error:
        raise UserError(f"{path}: the file could not be written ({reason(error)}): is the disk full?") from error


_LARGEST = {kind: 2**bits - 1 for kind, bits in zip(_UNSIGNED, (8, 16, 32, 64), strict=True)}


def _rearranged(image: sitk.Image, grid: Grid, axes: tuple[int, ...], flips: tuple[bool, ...]) -> sitk.Image:
    """``image`` with its axes permuted and flipped, placed on ``grid``."""
    if Grid.of(image) == grid:
        return image
    # numpy's axes are ITK's, turned round.
    values = sitk.GetArrayViewFromImage(image).transpose([2 - a for a in reversed(axes)])
    values = values[tuple(slice(None, None, -1 if flip else 1) for flip in reversed(flips))]
    return from_array(values, grid)
