"""Where a volume's voxels lie, parent transforms included, in Slicer's RAS and in the worker's LPS.

A volume under a transform lies where the transform puts it.  Linear transforms without shear (rotation, translation,
mirroring, scaling along the volume's axes) give an image geometry again and are composed into it.  A sheared or
non-linear transform does not: of the first volume, whose grid the result keeps, it is refused with a sentence that
says what to do; other channels are resampled through it onto the first volume's grid (see ``exchange``).
"""

from __future__ import annotations

import numpy as np
import slicer
import slicer.util
import vtk

from segmamba.errors import UserError

from .text import _

# As in segmamba.grid: beyond it, squared axes would put anatomy visibly elsewhere; the worker squares what is below.
MAX_SHEAR_DEGREES = 1.0
_SINGULAR = 1e-6
_FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])  # RAS <-> LPS

Lps = tuple[tuple[float, float, float], tuple[float, float, float], tuple[float, ...]]


class UnsuitableTransform(UserError):
    """The volume's place is no image geometry: its axes are sheared, or its transform is not linear."""


def size(volume: slicer.vtkMRMLVolumeNode) -> tuple[int, int, int]:
    """Voxels along i, j, k; zeros without image data."""
    image = volume.GetImageData()
    return tuple(image.GetDimensions()) if image is not None else (0, 0, 0)


def numbers(matrix: vtk.vtkMatrix4x4) -> np.ndarray:
    """A VTK matrix as an array (4, 4)."""
    return slicer.util.arrayFromVTKMatrix(matrix)


def matrix_of(values: np.ndarray) -> vtk.vtkMatrix4x4:
    """An array (4, 4) as a VTK matrix."""
    return slicer.util.vtkMatrixFromArray(values)


def ijk_to_local(volume: slicer.vtkMRMLVolumeNode) -> np.ndarray:
    """(4, 4): voxel indices to RAS before the parent transform."""
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    return numbers(matrix)


def between(
    source: slicer.vtkMRMLTransformableNode, target: slicer.vtkMRMLTransformableNode | None
) -> np.ndarray | None:
    """(4, 4): RAS of ``source`` before its transform to RAS of ``target`` before its own; None: the world.

    Returns:
        None where a transform on the way is not linear.
    """
    one = source.GetParentTransformNode()
    two = target.GetParentTransformNode() if target is not None else None
    if one is two:
        return np.eye(4)
    matrix = vtk.vtkMatrix4x4()
    if not slicer.vtkMRMLTransformNode.GetMatrixTransformBetweenNodes(one, two, matrix):
        return None
    return numbers(matrix)


def ijk_to_world(volume: slicer.vtkMRMLVolumeNode) -> np.ndarray:
    """(4, 4): voxel indices to RAS in the world.

    Raises:
        UnsuitableTransform: a parent transform is not linear.
    """
    to_world = between(volume, None)
    if to_world is None:
        raise UnsuitableTransform(
            _("Volume {name} is under the transform {transform}, which is not linear: harden the transform (module "
              "Transforms) or take the volume out of it.").format(
                name=volume.GetName(), transform=volume.GetParentTransformNode().GetName())
        )  # fmt: skip
    return ijk_to_local(volume) if np.array_equal(to_world, np.eye(4)) else to_world @ ijk_to_local(volume)


def world_to_ijk(volume: slicer.vtkMRMLVolumeNode) -> np.ndarray:
    """(4, 4): RAS in the world to voxel indices; raises as :func:`ijk_to_world`."""
    return np.linalg.inv(ijk_to_world(volume))


def lps_geometry(volume: slicer.vtkMRMLVolumeNode) -> Lps:
    """The world geometry of a volume as ITK has it.

    Returns:
        origin (mm), spacing (mm along i, j, k), direction (3 x 3, row by row), all LPS; without a parent transform the
        node's own numbers to the bit.

    Raises:
        UnsuitableTransform: a parent transform is not linear, or the axes are sheared or do not span space.
    """
    if volume.GetParentTransformNode() is None:
        columns = [[0.0] * 3 for _row in range(3)]
        volume.GetIJKToRASDirections(columns)
        columns = np.array(columns)
        spacing, origin = np.array(volume.GetSpacing()), np.array(volume.GetOrigin())
    else:
        matrix = ijk_to_world(volume)
        spacing, origin = np.linalg.norm(matrix[:3, :3], axis=0), matrix[:3, 3]
        columns = matrix[:3, :3] / np.where(spacing > 0, spacing, 1)
    check_axes(columns, volume.GetName())
    direction = _FLIP[:3, :3] @ columns
    # + 0.0: no negative zeros.
    return (
        tuple((_FLIP[:3, :3] @ origin + 0.0).tolist()),
        tuple(spacing.tolist()),
        tuple((direction + 0.0).ravel().tolist()),
    )


def check_axes(columns: np.ndarray, name: str) -> None:
    """Raises UnsuitableTransform unless the columns are three perpendicular directions, nearly."""
    lengths = np.linalg.norm(columns, axis=0)
    if not np.all(np.isfinite(columns)) or not np.all(lengths > 0) or abs(np.linalg.det(columns / lengths)) < _SINGULAR:
        raise UnsuitableTransform(
            _("The axes of volume {name} do not span space: correct its geometry (module Volumes) or its "
              "transform.").format(name=name)
        )  # fmt: skip
    unit = columns / lengths
    shear = float(np.degrees(np.arcsin(np.abs(np.triu(unit.T @ unit, 1)).max().clip(0, 1))))
    if shear > MAX_SHEAR_DEGREES:
        raise UnsuitableTransform(
            _("The axes of volume {name} are not perpendicular ({degrees} degrees off), by its transform or as with a "
              "tilted gantry: resample it (module Resample Scalar/Vector/DWI Volume) or take it out of the "
              "transform.").format(name=name, degrees=f"{shear:.2g}")
        )  # fmt: skip


def same_grid(one: slicer.vtkMRMLVolumeNode, two: slicer.vtkMRMLVolumeNode, tolerance: float = 1e-3) -> bool:
    """Whether both volumes have their voxels at the same places in the world, within ``tolerance`` voxels."""
    if size(one) != size(two):
        return False
    to_two = between(one, two)
    if to_two is None:
        return False
    extent = np.array(size(one)) - 1
    corners = np.array([(i, j, k, 1.0) for i in (0, extent[0]) for j in (0, extent[1]) for k in (0, extent[2])])
    moved = corners @ (np.linalg.inv(ijk_to_local(two)) @ to_two @ ijk_to_local(one)).T - corners
    return bool(np.abs(moved).max() <= tolerance)
