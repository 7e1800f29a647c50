"""Reading volumes from files and DICOM folders, and checking that they are volumes.

Of every volume two grids are known: the one it is worked on, whose axes are perpendicular, and the one it is stored on,
to the bit, on which results are placed.  They differ where the file's axes are not quite perpendicular.
"""

from __future__ import annotations

import math
import os
import tempfile
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from segmamba import dicom
from segmamba.errors import UserError
from segmamba.grid import Grid, squared, warn
from segmamba.image_headers import check_header, nifti_not_finite, several, squared_nifti

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
    return read_placed(path, series, warnings)[0]


def read_placed(
    path: str | os.PathLike, series: str | None = None, warnings: list[str] | None = None
) -> tuple[sitk.Image, Grid]:
    """The same with the grid as stored, to the bit: what results are placed on."""
    # os.path rather than Path: a name that is too long is no such file, too.
    if os.path.isdir(path):
        return check_placed(dicom.read_series(Path(path), series, warnings), str(path), warnings)
    if series is not None and os.path.exists(path):
        raise UserError(f"{path}: a series can be chosen in a DICOM folder only, and this is a file")
    image, stored = _read_file(Path(path), 1, warnings)
    image, own = check_placed(image, str(path), warnings)
    return image, stored or own


def read_volumes(path: str | os.PathLike, count: int | None, warnings: list[str] | None = None) -> list[sitk.Image]:
    """Read a file that holds several volumes on one grid, along its last axis or as components of its voxels.

    Args:
        path: as for :func:`read_image`, but no folder.
        count: the most volumes that it may hold; None for any number.
        warnings: as in :func:`read_image`.

    Returns:
        The volumes, each checked as :func:`read_image` does.
    """
    image, _ = _read_file(Path(path), count, warnings)
    if (
        image.GetDimension() > 3
        and image.GetNumberOfComponentsPerPixel() == 1
        and not math.prod(image.GetSize()[4:]) > 1
    ):
        image = image[(slice(None),) * 4 + (0,) * (image.GetDimension() - 4)]
        parts = [image[:, :, :, n] for n in range(image.GetSize()[3])]
    elif image.GetDimension() == 3:
        number = image.GetNumberOfComponentsPerPixel()
        parts = [sitk.VectorIndexSelectionCast(image, n) for n in range(number)] if number > 1 else [image]
    else:
        raise UserError(f"{path} is {image.GetDimension()}-D; give a 4-D file with the volumes along its last axis")
    # All lie on one grid: what is wrong with it is said once.
    return [check_image(part, str(path), [] if n else warnings) for n, part in enumerate(parts)]


def _read_file(path: Path, volumes: int | None, warnings: list[str] | None) -> tuple[sitk.Image, Grid | None]:
    """A file's image with any number of dimensions, its header checked; its stored grid where that is another."""
    if not os.path.exists(path):
        raise UserError(f"{path}: there is no such file or folder")
    try:
        if path.stat().st_size == 0:
            raise UserError(f"{path}: the file is empty: get it again")
        check_header(path, warnings, volumes)
    except OSError as error:
        raise UserError(f"{path}: the file cannot be opened ({error.strerror}): check its permissions") from error
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    stored = None
    try:
        reader.ReadImageInformation()
        if volumes == 1:
            # Before the voxels are read: a series of volumes may be far larger than the memory.
            _check_kind(
                reader.GetDimension(), reader.GetSize(), reader.GetNumberOfComponents(), reader.GetPixelID(), str(path)
            )
        if reader.HasMetaDataKey("0020|000e") and reader.GetSize()[2:] == (1,):
            warn(warnings, f"{path}: this is one slice of a DICOM series; give its folder for the whole volume.")
        elif reader.HasMetaDataKey("0020|000e"):
            warn(warnings, dicom.unchecked_frames(path))
        image = reader.Execute()
    except RuntimeError as error:
        if "orthonormal" not in str(error):
            raise UserError(_unreadable(path, error)) from error
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / "squared.nii"
            stored = squared_nifti(path, copy, warnings)
            image = sitk.ReadImage(str(copy))
    except MemoryError as error:
        raise UserError(f"{path}: the image does not fit into this machine's memory: crop it first") from error
    return _not_finite_again(image, path), stored


def _not_finite_again(image: sitk.Image, path: Path) -> sitk.Image:
    """The image with NaN where its NIfTI file holds none or infinite numbers, and ITK's reader put 0."""
    if "float" not in image.GetPixelIDTypeAsString():
        return image
    places = nifti_not_finite(path)
    if not places.size:
        return image
    values = sitk.GetArrayFromImage(image)
    vector = image.GetNumberOfComponentsPerPixel() > 1
    # In the file the components come last, each a volume of its own; in memory each voxel has its own together.
    stored = np.moveaxis(values, -1, 0) if vector else values
    stored[np.unravel_index(places, stored.shape)] = np.nan
    result = sitk.GetImageFromArray(values, isVector=vector)
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
    return check_placed(image, name, warnings)[0]


def check_placed(image: sitk.Image, name: str, warnings: list[str] | None = None) -> tuple[sitk.Image, Grid]:
    """The same with the grid before it was squared, to the bit: what results are placed on."""
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
    return (image if fixed is grid else fixed.place(sitk.Image(image))), grid


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
    return f"{path}: the image cannot be read ({reason(error)}): get the file again or convert it"


def reason(error: Exception) -> str:
    """The telling end of an exception: ITK wraps it in places of its sources and addresses in memory."""
    text = " ".join(str(error).split("ERROR:")[-1].split())
    return text.split("): ", 1)[-1].rstrip(".!") or type(error).__name__
