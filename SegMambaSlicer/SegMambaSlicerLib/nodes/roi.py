"""A markups ROI as voxels of a volume: the box that encloses it, whatever the ROI's and the volume's transforms."""

from __future__ import annotations

import numpy as np
import slicer
import vtk

from segmamba.errors import UserError

from . import geometry
from .text import _

# A box drawn along voxel edges must not gain a voxel by rounding.
_EDGE = 1e-3
# Through a transform that is not linear, a box bulges: it is sampled on this many points a side.
_SAMPLES = 17

Box = list[list[int]]


def voxel_ranges(roi: slicer.vtkMRMLMarkupsROINode, volume: slicer.vtkMRMLVolumeNode) -> Box:
    """The voxels of ``volume`` that enclose ``roi``, clipped to the volume.

    Args:
        roi: a markups ROI of type box; rotated ones and those under any transform, too.
        volume: the first volume of a case.

    Returns:
        [[i0, i1], [j0, j1], [k0, k1]], half-open, as the worker and the command line take them.

    Raises:
        UserError: the ROI has no box yet, is no box, or lies outside the volume.
    """
    names = {"roi": roi.GetName(), "volume": volume.GetName()}
    if roi.GetROIType() not in (roi.ROITypeBox, roi.ROITypeBoundingBox):
        raise UserError(_("ROI {roi} is no box: choose a box ROI.").format(**names))
    sides = np.array(roi.GetSize(), dtype=float)
    if roi.GetNumberOfControlPoints() < 1 or not np.all(np.isfinite(sides)) or np.any(sides <= 0):
        raise UserError(_("ROI {roi} is empty: place it around the region to segment.").format(**names))
    transform = vtk.vtkGeneralTransform()
    one, two = roi.GetParentTransformNode(), volume.GetParentTransformNode()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(one, two, transform)
    straight = slicer.vtkMRMLTransformNode.IsGeneralTransformLinear(transform)
    points = _box_points(2 if straight else _SAMPLES) * sides
    points = _applied(geometry.numbers(roi.GetObjectToNodeMatrix()), points)
    points = np.array([transform.TransformPoint(point) for point in points.tolist()])
    voxels = _applied(np.linalg.inv(geometry.ijk_to_local(volume)), points)
    # Voxel n reaches from n - 1/2 to n + 1/2.
    start = np.floor(voxels.min(axis=0) + 0.5 + _EDGE).astype(int)
    stop = np.ceil(voxels.max(axis=0) + 0.5 - _EDGE).astype(int)
    start, stop = np.maximum(start, 0), np.minimum(np.maximum(stop, start + 1), geometry.size(volume))
    if np.any(stop <= start):
        raise UserError(_("ROI {roi} lies outside volume {volume}: move it onto the volume.").format(**names))
    return [[int(a), int(b)] for a, b in zip(start, stop, strict=True)]


def _box_points(count: int) -> np.ndarray:
    """Points on the surface of the box from -1/2 to 1/2, ``count`` along each side: (n, 3)."""
    places = np.linspace(-0.5, 0.5, count)
    points = np.stack(np.meshgrid(places, places, places, indexing="ij"), axis=-1).reshape(-1, 3)
    return points[np.any(np.abs(points) == 0.5, axis=1)]


def _applied(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    return points @ matrix[:3, :3].T + matrix[:3, 3]
