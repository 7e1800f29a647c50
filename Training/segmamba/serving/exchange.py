"""Volumes in and out of the worker through plain files of voxels."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from segmamba.atomic import replacing
from segmamba.errors import UserError
from segmamba.grid import Grid, singular
from segmamba.image_reading import reason
from segmamba.images import IMAGE_SUFFIXES, MASK_SUFFIXES, check_output, from_array, suffix_of
from segmamba.inference.memory_ladder import memory_full
from segmamba.inference.preprocess import NAME_KEY
from segmamba.inference.segmentation import Segmentation
from segmamba.serving.protocol import Output, Volume

_ARRAY = ".npy"
_SUFFIXES = {
    "labels": (_ARRAY, *MASK_SUFFIXES),
    "regions": (_ARRAY,),
    "probabilities": (_ARRAY, *IMAGE_SUFFIXES),
    "uncertainty": (_ARRAY, *IMAGE_SUFFIXES),
}


def check_files(output: Output, images: Sequence[str | Volume]) -> None:
    """Refuses files that could not be written, before anything is computed.

    Raises:
        UserError: Naming the file; also one that is among the images, or named twice.
    """
    paths = [image.array if isinstance(image, Volume) else image for image in images]
    taken = {Path(path).resolve(): "one of the images" for path in paths}
    for name, suffixes in _SUFFIXES.items():
        value = getattr(output, name)
        if value is None:
            continue
        path = check_output(value, suffixes).resolve()
        if path in taken:
            raise UserError(f"output.{name}: {value} is {taken[path]}, too; name another file")
        taken[path] = f"output.{name}"


def read_volume(volume: Volume) -> sitk.Image:
    """The image of a file of voxels, with its geometry to the bit.

    Raises:
        UserError: The file cannot be read, holds no volume of real numbers, or the axes do not span space.
    """
    name = volume.name or volume.array
    path = Path(volume.array)
    try:
        # Mapped: SimpleITK copies the voxels, and one copy is enough.
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise UserError(f"{name}: there is no file {path}") from None
    except OSError as error:
        raise UserError(f"{name}: {path} cannot be read ({error.strerror or error})") from error
    except (ValueError, EOFError) as error:
        raise UserError(f"{name}: {path} is no whole .npy file of plain numbers; write it again") from error
    if not isinstance(values, np.ndarray):  # an archive of several
        raise UserError(f"{name}: {path} is no .npy file; write one array into it")
    if values.ndim != 3 or not values.size:
        raise UserError(f"{name}: {path} has shape {values.shape}; a volume of shape (D, H, W) is needed")
    if values.dtype.kind not in "biuf" or values.dtype.itemsize > 8:
        raise UserError(f"{name}: {path} holds {values.dtype}; integers or floats of at most 64 bits are needed")
    if singular(np.reshape(volume.direction, (3, 3))):
        raise UserError(f"{name}: its axes do not span space (singular direction matrix): correct its geometry")
    values = np.asarray(values, dtype=values.dtype.newbyteorder("="))
    grid = Grid(values.shape[::-1], volume.spacing, volume.origin, volume.direction)
    try:
        image = from_array(values, grid)
    except RuntimeError as error:
        if memory_full(error):
            raise
        raise UserError(f"{name}: its geometry cannot be used ({reason(error)}): correct it") from error
    image.SetMetaData(NAME_KEY, name)
    return image


def write_results(segmentation: Segmentation, output: Output, check: Callable[[], None]) -> dict[str, str | None]:
    """Writes what was asked for: all files under temporary names first, then renamed.

    Args:
        segmentation: With the probabilities and the uncertainty, where they are asked for.
        output: The files.
        check: Called before each file; may raise, and nothing is written then.

    Returns:
        Of each field of ``output`` the file written, or None.

    Raises:
        UserError: A file cannot be written: none is then, unless one of them could not take its place at the end.
    """
    arrays = {
        "labels": sitk.GetArrayViewFromImage(segmentation.labels),
        "regions": segmentation.regions,
        "probabilities": segmentation.probabilities,
        "uncertainty": None
        if segmentation.uncertainty is None
        else sitk.GetArrayViewFromImage(segmentation.uncertainty),
    }
    savers = {
        "labels": segmentation.save,
        "probabilities": segmentation.save_probabilities,
        "uncertainty": segmentation.save_uncertainty,
    }
    written: dict[str, str | None] = dict.fromkeys(arrays)
    wanted = {name: getattr(output, name) for name in arrays if arrays[name] is not None and getattr(output, name)}
    with _in_place(), contextlib.ExitStack() as files:
        for name, path in wanted.items():
            check()
            suffix = suffix_of(path, _SUFFIXES[name])
            try:
                temporary = files.enter_context(replacing(path, suffix))
                if suffix == _ARRAY:
                    with open(temporary, "wb") as file:
                        np.save(file, arrays[name], allow_pickle=False)
                else:
                    savers[name](temporary)
            except OSError as error:
                raise UserError(f"{path} cannot be written ({error.strerror or error}): is the disk full?") from error
            except UserError as error:
                # Of the temporary file; the user knows the other name.
                raise UserError(str(error).replace(str(temporary), path)) from error
            written[name] = path
        check()
    return written


@contextlib.contextmanager
def _in_place() -> Iterator[None]:
    """What goes wrong when finished files take their places is the user's to mend, too."""
    try:
        yield
    except OSError as error:
        named = error.filename2 or error.filename or "a result"
        raise UserError(f"{named} cannot be written ({error.strerror or error}); is it open elsewhere?") from error
