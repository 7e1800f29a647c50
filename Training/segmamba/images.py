"""Volumes with their geometry: reading, checking, orienting, resampling and writing them.

Files and SimpleITK speak LPS, Slicer and MONAI speak RAS; the two meet only here (``Grid.ijk_to_lps``,
``Grid.ijk_to_ras``).  Arrays are numpy in (k, j, i) order; everything else is in (i, j, k), as in ITK.

Example:
    >>> image = read_image("case.nii.gz")                                  # doctest: +SKIP
    >>> straight = orient(image, "LPS")                                    # doctest: +SKIP
    >>> mask = from_array(array(straight) > 100, Grid.of(straight))        # doctest: +SKIP
    >>> write_image(like(mask, Grid.of(image)), "mask.nii.gz")             # doctest: +SKIP
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from segmamba import dicom
from segmamba.atomic import replacing
from segmamba.errors import UserError
from segmamba.grid import Grid, grid_with_spacing, squared, warn
from segmamba.image_headers import check_header, nifti_not_finite, several, squared_nifti
from segmamba.segmentation_file import write_segmentation_nrrd

__all__ = [
    "IMAGE_SUFFIXES",
    "MASK_SUFFIXES",
    "Grid",
    "array",
    "check_image",
    "check_output",
    "check_values",
    "finite",
    "from_array",
    "grid_with_spacing",
    "like",
    "orient",
    "read_image",
    "resample",
    "suffix_of",
    "write_image",
    "write_segmentation",
]

IMAGE_SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".mha")
MASK_SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".mha", ".seg.nrrd")
_UNSIGNED = (sitk.sitkUInt8, sitk.sitkUInt16, sitk.sitkUInt32, sitk.sitkUInt64)
_COMPLEX = (sitk.sitkComplexFloat32, sitk.sitkComplexFloat64)

# ITK's warnings go to standard error past Python's logging; what matters of them is checked here and said in words.
sitk.ProcessObject_SetGlobalWarningDisplay(False)


def read_image(path: str | os.PathLike, series: str | None = None, warnings: list[str] | None = None) -> sitk.Image:
    """Read a 3-D scalar volume, in its own pixel type, from a file or a DICOM folder.

    Args:
        path: a NIfTI, NRRD or MetaImage file, any other that ITK reads, or a folder of DICOM files.
        series: the SeriesInstanceUID to read, for a folder with several.
        warnings: what the user should know is appended here as text; without it, it is logged.

    Raises:
        UserError: there is no such file, it is empty or damaged, no image, not one 3-D scalar volume, or its
            header does not place the voxels in space.
    """
    path = Path(path)
    # os.path rather than Path: a name that is too long is no such file, too.
    if os.path.isdir(path):
        return check_image(dicom.read_series(path, series, warnings), str(path), warnings)
    if not os.path.exists(path):
        raise UserError(f"{path}: there is no such file or folder")
    if series is not None:
        raise UserError(f"{path}: a series can be chosen in a DICOM folder only, and this is a file")
    try:
        if path.stat().st_size == 0:
            raise UserError(f"{path}: the file is empty: get it again")
        check_header(path, warnings)
    except OSError as error:
        raise UserError(f"{path}: the file cannot be opened ({error.strerror}): check its permissions") from error
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
        # Before the voxels are read: a series of volumes may be far larger than the memory.
        _check_kind(
            reader.GetDimension(), reader.GetSize(), reader.GetNumberOfComponents(), reader.GetPixelID(), str(path)
        )
        if reader.HasMetaDataKey("0020|000e") and reader.GetSize()[2:] == (1,):
            warn(warnings, f"{path}: this is one slice of a DICOM series; give its folder for the whole volume.")
        image = reader.Execute()
    except RuntimeError as error:
        if "orthonormal" not in str(error):
            raise UserError(_unreadable(path, error)) from error
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / "squared.nii"
            squared_nifti(path, copy, warnings)
            image = sitk.ReadImage(str(copy))
    except MemoryError as error:
        raise UserError(f"{path}: the image does not fit into this machine's memory: crop it first") from error
    return check_image(_not_finite_again(image, path), str(path), warnings)


def _not_finite_again(image: sitk.Image, path: Path) -> sitk.Image:
    """The image with NaN where its NIfTI file holds none or infinite numbers, and ITK's reader put 0."""
    if "float" not in image.GetPixelIDTypeAsString():
        return image
    places = nifti_not_finite(path)
    if not places.size:
        return image
    values = sitk.GetArrayFromImage(image)
    values.reshape(-1)[places] = np.nan
    result = sitk.GetImageFromArray(values, isVector=False)
    result.CopyInformation(image)
    return result


def check_image(image: sitk.Image, name: str, warnings: list[str] | None = None) -> sitk.Image:
    """Check that an image is one 3-D scalar volume whose header places it in space; returns it.

    Trailing axes and components of one are dropped; axes that are not quite perpendicular are squared, with a
    warning (see :func:`segmamba.grid.squared`).

    Args:
        image: any SimpleITK image.
        name: what messages call it, such as its file.
        warnings: as in :func:`read_image`.

    Raises:
        UserError: it is not.
    """
    if not isinstance(image, sitk.Image):
        raise UserError(f"{name}: a path or a SimpleITK.Image is needed, got {type(image).__name__}")
    size = image.GetSize()
    _check_kind(image.GetDimension(), size, image.GetNumberOfComponentsPerPixel(), image.GetPixelID(), name)
    if image.GetDimension() > 3:
        extract = sitk.ExtractImageFilter()
        extract.SetSize([*size[:3]] + [0] * (len(size) - 3))
        extract.SetIndex([0] * len(size))
        extract.SetDirectionCollapseToStrategy(extract.DIRECTIONCOLLAPSETOSUBMATRIX)
        image = extract.Execute(image)
    if "vector" in image.GetPixelIDTypeAsString():
        image = sitk.VectorIndexSelectionCast(image, 0)
    spacing, origin = image.GetSpacing(), image.GetOrigin()
    if not all(math.isfinite(s) and s > 0 for s in spacing):
        raise UserError(f"{name}: the spacing is {spacing} mm, correct it: all three must be positive")
    if not all(map(math.isfinite, origin)):
        raise UserError(f"{name}: the origin is {origin}, correct it: all three must be numbers")
    grid = Grid.of(image)
    fixed = squared(grid, name, warnings)
    return image if fixed is grid else fixed.place(sitk.Image(image))


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

    Unsigned integers (masks) are compressed in .nrrd and .mha too; other types are not, which is faster.

    Raises:
        UserError: as :func:`check_output`, or the disk refuses.
    """
    path = check_output(path, IMAGE_SUFFIXES)
    compress = path.name.lower().endswith(".gz") or image.GetPixelID() in _UNSIGNED
    try:
        with replacing(path, suffix_of(path, IMAGE_SUFFIXES)) as temporary:
            sitk.WriteImage(image, str(temporary), compress)
    except (RuntimeError, OSError) as error:
        raise UserError(f"{path}: the file could not be written ({_reason(error)}): is the disk full?") from error


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
        raise UserError(f"{path}: the file could not be written ({_reason(error)}): is the disk full?") from error


_LARGEST = {kind: 2**bits - 1 for kind, bits in zip(_UNSIGNED, (8, 16, 32, 64), strict=True)}


def _rearranged(image: sitk.Image, grid: Grid, axes: tuple[int, ...], flips: tuple[bool, ...]) -> sitk.Image:
    """``image`` with its axes permuted and flipped, placed on ``grid``."""
    if Grid.of(image) == grid:
        return image
    # numpy's axes are ITK's, turned round.
    values = sitk.GetArrayViewFromImage(image).transpose([2 - a for a in reversed(axes)])
    values = values[tuple(slice(None, None, -1 if flip else 1) for flip in reversed(flips))]
    return from_array(values, grid)


def _check_kind(dimension: int, size: tuple[int, ...], components: int, kind: int, name: str) -> None:
    """Refuse what is not one 3-D scalar volume."""
    if dimension < 3:
        raise UserError(f"{name}: the image is {dimension}D, a 3D volume is needed")
    if math.prod(size[3:]) > 1:
        raise UserError(f"{name}: {several(math.prod(size[3:]))}")
    if components > 1:
        raise UserError(
            f"{name}: every voxel holds {components} values (a colour, vector or multi-volume image), one is needed: "
            "save the component to segment as a scalar image"
        )
    if kind in _COMPLEX:
        raise UserError(f"{name}: the voxels are complex numbers: save the magnitude image")
    if math.prod(size) == 0:
        raise UserError(f"{name}: the image has no voxels (size {tuple(size)}): export it again")


def _unreadable(path: Path, error: Exception) -> str:
    if "Unable to determine ImageIO reader" in str(error):
        return f"{path}: this is not an image that can be read: give NIfTI, NRRD, MHA or a DICOM folder"
    return f"{path}: the image cannot be read ({_reason(error)}): get the file again or convert it"


def _reason(error: Exception) -> str:
    """The telling end of an exception: ITK wraps it in places of its sources and addresses in memory."""
    text = " ".join(str(error).split("ERROR:")[-1].split())
    return text.split("): ", 1)[-1].rstrip(".!") or type(error).__name__
