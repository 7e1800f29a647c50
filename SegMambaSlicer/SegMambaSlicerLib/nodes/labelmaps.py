"""Label arrays as the labelmaps of a segmentation: cropped to what is present, in as few layers as overlaps need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import slicer
import vtk
from vtk.util import numpy_support

from . import geometry

# Slicer and its extensions ask for the voxels by this name.
SCALARS = "ImageScalars"


@dataclass(frozen=True)
class Layer:
    """Segments that share a labelmap because they do not overlap.

    Attributes:
        voxels: (k, j, i) unsigned integers of ``start`` to ``start + shape``.
        start: (k, j, i) of the first voxel in the whole volume.
        values: positions of its segments in the model's labels, each with its value in ``voxels``.
    """

    voxels: np.ndarray
    start: tuple[int, int, int]
    values: dict[int, int]


def layers(labels: np.ndarray, regions: np.ndarray | None, values: Sequence[int]) -> list[Layer]:
    """The layers of a result; memory is that of the box around what is present.

    Args:
        labels: (k, j, i) label map.
        regions: (k, j, i) bitmask, bit r for the model's label r, or None.
        values: of the model's labels, in its order.
    """
    if regions is None:
        cropped, start = crop(labels)
        return [Layer(np.ascontiguousarray(cropped), start, dict(enumerate(values)))]
    if regions.shape != labels.shape:
        raise ValueError(f"regions of shape {regions.shape} do not lie on labels of shape {labels.shape}")
    cropped, start = crop(regions)
    kind = np.min_scalar_type(max(values, default=0))
    found = []
    layer_of = _layers_of(cropped, len(values))
    for layer in range(max(layer_of, default=0) + 1):
        voxels = np.zeros(cropped.shape, kind)
        members = {r: value for r, value in enumerate(values) if layer_of[r] == layer}
        for r, value in members.items():
            bit = cropped.dtype.type(1 << r)
            for plane, bits in zip(voxels, cropped, strict=True):  # plane by plane: no temporary of the whole
                plane[(bits & bit) != 0] = value
        found.append(Layer(voxels, start, members))
    return found


def crop(values: np.ndarray) -> tuple[np.ndarray, tuple[int, int, int]]:
    """The box around the voxels that are not zero (a view) and its first voxel; without any, a small empty box."""
    bounds = []
    for axis in range(3):
        used = np.flatnonzero(values.any(axis=tuple(a for a in range(3) if a != axis)))
        # Not a single voxel: the conversion to a surface wants three dimensions.
        bounds.append((int(used[0]), int(used[-1]) + 1) if used.size else (0, min(2, values.shape[axis])))
    return values[tuple(slice(*b) for b in bounds)], tuple(b[0] for b in bounds)


def oriented_image(layer: Layer, ijk_to_ras: np.ndarray) -> slicer.vtkOrientedImageData:
    """The layer's voxels with the geometry (4 x 4) of the whole volume; a copy that the image owns."""
    image = slicer.vtkOrientedImageData()
    extent = []
    for first, count in zip(reversed(layer.start), reversed(layer.voxels.shape), strict=True):
        extent += [first, first + count - 1]
    image.SetExtent(extent)
    image.SetGeometryFromImageToWorldMatrix(geometry.matrix_of(ijk_to_ras))
    scalars = numpy_support.numpy_to_vtk(layer.voxels.ravel(), deep=True)
    scalars.SetName(SCALARS)
    image.GetPointData().SetScalars(scalars)
    return image


def segment_mask(segment: slicer.vtkSegment) -> tuple[np.ndarray, np.ndarray] | None:
    """Where a segment is present.

    Returns:
        the box around it as booleans (k, j, i), and the place (x, y, z) in RAS of its first voxel; None of a segment
        without a labelmap or without voxels.
    """
    image = segment.GetRepresentation(binary_labelmap())
    scalars = image.GetPointData().GetScalars() if image is not None else None
    if scalars is None or image.IsEmpty():
        return None
    voxels = numpy_support.vtk_to_numpy(scalars).reshape(tuple(reversed(image.GetDimensions())))
    mask, start = crop(voxels == segment.GetLabelValue())
    if not mask.any():
        return None
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    first = np.array(image.GetExtent()[::2]) + np.array(start[::-1])
    return mask, (geometry.numbers(matrix) @ [*first, 1])[:3]


def binary_labelmap() -> str:
    """Slicer's name of the representation."""
    return slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()


def closed_surface() -> str:
    """Slicer's name of the representation."""
    return slicer.vtkSegmentationConverter.GetSegmentationClosedSurfaceRepresentationName()


def _layers_of(regions: np.ndarray, count: int) -> list[int]:
    """A layer for each of ``count`` regions, so that no two of one layer overlap."""
    combinations: set[int] = set()
    for plane in regions:
        combinations.update(np.unique(plane).tolist())
    found: list[int] = []
    for r in range(count):
        taken = {found[o] for bits in combinations if bits >> r & 1 for o in range(r) if bits >> o & 1}
        found.append(next(n for n in range(count) if n not in taken))
    return found
