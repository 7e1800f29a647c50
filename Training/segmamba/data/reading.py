"""Reading the files of a case, and checking that they fit together."""

from pathlib import Path

import numpy as np
import SimpleITK as sitk

from segmamba.data.description import Case, Dataset
from segmamba.data.segments import read_segments
from segmamba.errors import UserError
from segmamba.images import Grid, read_image, read_volumes, resample

#: Furthest a voxel of an image may lie from the same voxel of its label, in voxels: the rounding of real headers
#: stays below, and nothing that a network could learn from lies there.
GEOMETRY_TOLERANCE = 0.1


def read_case_images(case: Case, warnings: list[str] | None = None) -> list[sitk.Image]:
    """Read the channels of a case, each a 3-D image; a 4-D file is taken apart along its last axis.

    Args:
        case: as ``read_dataset`` found it.
        warnings: gets a sentence for each peculiarity of the files; without it they are logged.

    Raises:
        UserError: a file cannot be read, or holds another number of channels.
    """
    if not case.packed:
        return [read_image(path, warnings=warnings) for path in case.images]
    path = case.images[0]
    channels = read_volumes(path, case.channels, warnings)
    if len(channels) != case.channels:
        raise UserError(f"{path} holds {len(channels)} channels where its data set has {case.channels}")
    return channels


def read_case_label(case: Case, warnings: list[str] | None = None) -> sitk.Image:
    """Read the label map of a case as an image of whole numbers, whatever the file's own type.

    Raises:
        UserError: no label, a file that cannot be read, or a value that is no whole number from 0 to 65535.
    """
    if case.label is None:
        raise UserError(f"case {case.name!r} has no label")
    if case.segments:
        return read_segments(case.label, case.segments, warnings)
    return read_label(case.label, warnings)


def on_image_grid(label: sitk.Image, image: sitk.Image, case: Case) -> sitk.Image:
    """A case's label map where its first image lies, for 3D Slicer's segmentations, which may be cropped or wider.

    Any other label map comes back as it is: where it lies elsewhere, that is a mistake that :func:`check_case` tells.

    Raises:
        UserError: segments lie outside the image altogether.
    """
    grid = Grid.of(image)
    if not case.segments or Grid.of(label).same_as(grid, GEOMETRY_TOLERANCE):
        return label
    moved = resample(label, grid, linear=False)
    if sitk.GetArrayViewFromImage(label).any() and not sitk.GetArrayViewFromImage(moved).any():
        raise UserError(
            f"image {case.images[0]} and its label {case.label} lie elsewhere in space: no segment lies within the "
            "image; export both from one scene, with transforms hardened"
        )
    return moved


def read_label(path: Path, warnings: list[str] | None = None) -> sitk.Image:
    """Read a label map as an image of whole numbers, whatever the file's own type.

    Raises:
        UserError: a file that cannot be read, or a value that is no whole number from 0 to 65535.
    """
    label = read_image(path, warnings=warnings)
    values = _values(label, path)
    pixel = sitk.sitkUInt8 if values.max(initial=0) < 256 else sitk.sitkUInt16
    return label if label.GetPixelID() == pixel else sitk.Cast(label, pixel)


def _values(label: sitk.Image, path: Path | str) -> np.ndarray:
    """The different values of a label map; files of floating point hold whole numbers too."""
    values = np.unique(sitk.GetArrayViewFromImage(label))
    whole = np.isfinite(values) & (values == np.rint(values)) & (values >= 0) & (values < 65536)
    if not whole.all():
        raise UserError(f"label {path} holds the value {values[~whole][0]}; a label map holds whole numbers from 0")
    return values.astype(np.int64)


def check_case(image: sitk.Image | list[sitk.Image], label: sitk.Image, dataset: Dataset, case: Case) -> None:
    """Check that the images and the label of a case fit each other and the data set.

    The first image and the label share a grid; the other channels may have grids of their own, onto which they are
    resampled later, but must lie at the same place.

    Args:
        image: the case's image, or its channels.
        label: its label map, of whole numbers in any type.
        dataset: what the label map may hold.
        case: names the files in messages.

    Raises:
        UserError: another size or geometry of the first image than of the label (beyond ``GEOMETRY_TOLERANCE``
            voxels), a channel that the first does not touch, or a value that the data set does not name.
    """
    check_geometry(image if isinstance(image, list) else [image], label, case)
    check_label_values(label, dataset, case)


def check_geometry(images: list[sitk.Image], label: sitk.Image, case: Case) -> None:
    """The part of :func:`check_case` that looks at grids."""
    grid, own = Grid.of(label), Grid.of(images[0])
    if own.size != grid.size:
        raise UserError(
            f"image {case.images[0]} has {_by(own.size)} voxels and its label {case.label} {_by(grid.size)}; "
            "give them the same grid or remove the case"
        )
    if not own.same_as(grid, GEOMETRY_TOLERANCE):
        raise UserError(
            f"image {case.images[0]} and its label {case.label} lie elsewhere in space (spacing {_by(own.spacing)} "
            f"and {_by(grid.spacing)} mm, origin {_by(own.origin)} and {_by(grid.origin)}, orientation "
            f"{own.orientation} and {grid.orientation}); give them the same grid or remove the case"
        )
    for n, channel in enumerate(images[1:], start=1):
        if not _touch(Grid.of(channel), own):
            raise UserError(
                f"image {case.images[min(n, len(case.images) - 1)]} and {case.images[0]} lie elsewhere in space and "
                "have no place in common; register the channels or remove the case"
            )


def check_label_values(label: sitk.Image, dataset: Dataset, case: Case) -> None:
    """The part of :func:`check_case` that looks at a label map's values."""
    extra = sorted(set(_values(label, case.label).tolist()) - set(dataset.values))
    if extra:
        source = dataset.source or dataset.folder / "dataset.json"
        raise UserError(
            f"label {case.label} holds the value {extra[0]}, which {source} does not name "
            f"(it names {', '.join(map(str, dataset.values))}); correct the one or the other"
        )


def _by(numbers: tuple) -> str:
    return "x".join(f"{n:.6g}" for n in numbers)


def _touch(one: Grid, other: Grid) -> bool:
    """Whether the boxes around two grids, along the axes of ``other``, share a place."""
    ends = np.stack(np.meshgrid(*[(0, n - 1) for n in one.size]), -1).reshape(-1, 3)
    corners = np.linalg.inv(other.ijk_to_lps) @ one.ijk_to_lps @ np.c_[ends, np.ones(8)].T
    low, high = corners[:3].min(axis=1), corners[:3].max(axis=1)
    return bool((high >= -0.5).all() and (low <= np.array(other.size) - 0.5).all())
