"""Volumes on their way to the worker, and its results on their way back: uncompressed .npy files.

Nothing is copied in memory on the way out: numpy writes the voxels straight from the volume's own memory.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import slicer
import vtk
from vtk.util import numpy_support

from segmamba.errors import UserError

from . import geometry
from .text import _


@dataclass
class Result:
    """What the worker found, on the first volume's grid.

    Attributes:
        labels: (k, j, i) unsigned integers.
        regions: (k, j, i) unsigned integers, bit r set where the model's label r (in its order) is present; None of
            models whose labels do not overlap.
        voxels: number of voxels by label name, where the worker told it.
        volumes_ml: millilitres by label name, where the worker told it.
    """

    labels: np.ndarray
    regions: np.ndarray | None = None
    voxels: dict[str, int] = field(default_factory=dict)
    volumes_ml: dict[str, float] = field(default_factory=dict)

    @classmethod
    def load(cls, done: dict[str, Any]) -> Result:
        """Reads what the worker's message ``done`` of a ``segment`` job names; .npy files only."""
        regions = done.get("regions")
        return cls(
            read_array(done["labels"]),
            read_array(regions) if regions else None,
            dict(done.get("voxels") or {}),
            dict(done.get("volumes_ml") or {}),
        )


def scalar_array(volume: slicer.vtkMRMLVolumeNode) -> np.ndarray:
    """The voxels (k, j, i), not copied.

    Raises:
        UserError: the volume has no voxels or several values a voxel.
    """
    image = volume.GetImageData()
    scalars = image.GetPointData().GetScalars() if image is not None else None
    if scalars is None or not all(image.GetDimensions()):
        raise UserError(_("Volume {name} holds no image: choose another one.").format(name=volume.GetName()))
    if scalars.GetNumberOfComponents() != 1:
        raise UserError(
            _("Volume {name} holds {count} values in each voxel (colour or vectors): choose a scalar volume.").format(
                name=volume.GetName(), count=scalars.GetNumberOfComponents())
        )  # fmt: skip
    return numpy_support.vtk_to_numpy(scalars).reshape(tuple(reversed(image.GetDimensions())))


def write_volume(
    volume: slicer.vtkMRMLVolumeNode,
    folder: str | os.PathLike,
    index: int,
    reference: slicer.vtkMRMLVolumeNode | None = None,
) -> dict[str, Any]:
    """Writes one channel for the worker.

    Args:
        volume: a scalar volume.
        folder: where ``channel<index>.npy`` is written; the caller removes it.
        index: of the channel.
        reference: the first volume, whose grid the result keeps.  With it, a volume under a sheared or non-linear
            transform is resampled (linearly) through it onto that grid; without it, it is refused.

    Returns:
        An IMAGE of the worker's protocol: array, origin, spacing, direction (LPS, parent transforms included), name.

    Raises:
        UserError: no scalar volume, or no image geometry.
    """
    values = scalar_array(volume)
    try:
        origin, spacing, direction = geometry.lps_geometry(volume)
    except geometry.UnsuitableTransform:
        if reference is None or reference is volume:
            raise
        origin, spacing, direction = geometry.lps_geometry(reference)
        values = resampled(volume, reference)
    path = Path(folder) / f"channel{index}.npy"
    temporary = path.with_suffix(".part")
    with temporary.open("wb") as file:
        np.save(file, values, allow_pickle=False)
    os.replace(temporary, path)
    return {
        "array": str(path),
        "origin": list(origin),
        "spacing": list(spacing),
        "direction": list(direction),
        "name": volume.GetName(),
    }


def resampled(volume: slicer.vtkMRMLVolumeNode, reference: slicer.vtkMRMLVolumeNode) -> np.ndarray:
    """The volume's values (k, j, i) at the reference's voxels, through every transform of both; outside: air."""
    to_volume = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(
        reference.GetParentTransformNode(), volume.GetParentTransformNode(), to_volume
    )
    whole = vtk.vtkGeneralTransform()
    whole.PostMultiply()
    whole.Concatenate(geometry.matrix_of(geometry.ijk_to_local(reference)))
    whole.Concatenate(to_volume)
    whole.Concatenate(geometry.matrix_of(np.linalg.inv(geometry.ijk_to_local(volume))))
    image = vtk.vtkImageData()  # the node's own may not lie at 0 with spacing 1
    image.ShallowCopy(volume.GetImageData())
    image.SetOrigin(0, 0, 0)
    image.SetSpacing(1, 1, 1)
    lowest = float(image.GetPointData().GetScalars().GetRange()[0])
    reslice = vtk.vtkImageReslice()
    reslice.SetInputData(image)
    reslice.SetResliceTransform(whole)
    reslice.SetInterpolationModeToLinear()
    reslice.SetOutputScalarType(vtk.VTK_FLOAT)
    reslice.SetBackgroundLevel(min(lowest, 0.0))
    reslice.SetOutputOrigin(0, 0, 0)
    reslice.SetOutputSpacing(1, 1, 1)
    reslice.SetOutputExtent(*(bound for count in geometry.size(reference) for bound in (0, count - 1)))
    reslice.Update()
    scalars = reslice.GetOutput().GetPointData().GetScalars()
    return numpy_support.vtk_to_numpy(scalars).reshape(tuple(reversed(geometry.size(reference)))).copy()


def read_array(path: str | os.PathLike, mapped: bool = False) -> np.ndarray:
    """An array that the worker wrote; ``mapped``: read from the file as it is used, for what is large."""
    return np.load(os.fspath(path), mmap_mode="r" if mapped else None, allow_pickle=False)
