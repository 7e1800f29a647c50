"""Where a volume's voxels lay when the worker got them, in case the volume is changed or removed meanwhile."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import slicer
import vtk

from . import dicom, geometry, hierarchy


@dataclass(frozen=True)
class Snapshot:
    """A volume's grid.

    Attributes:
        name: of the volume.
        size: voxels along i, j, k.
        ijk_to_ras: (4, 4) before the parent transform.
        transform: ID of the parent transform, or None.
        uids: of its DICOM instances, as its attribute holds them.
        parent: item of the subject hierarchy that it lies in, or 0.
    """

    name: str
    size: tuple[int, int, int]
    ijk_to_ras: np.ndarray
    transform: str | None
    uids: str
    parent: int

    @classmethod
    def of(cls, volume: slicer.vtkMRMLVolumeNode) -> Snapshot:
        """The volume as it is now."""
        return cls(
            volume.GetName(),
            geometry.size(volume),
            geometry.ijk_to_local(volume),
            volume.GetTransformNodeID(),
            volume.GetAttribute(dicom.INSTANCE_UIDS) or "",
            hierarchy.tree().GetItemParent(hierarchy.item_of(volume)),
        )

    def fits(self, volume: slicer.vtkMRMLVolumeNode) -> bool:
        """Whether the volume is in the scene with the same voxels; one that was moved is: a result moves with it."""
        return volume.GetScene() is not None and geometry.size(volume) == self.size

    @contextlib.contextmanager
    def stand_in(self) -> Iterator[slicer.vtkMRMLScalarVolumeNode]:
        """A volume without values where the volume was, in the scene for a moment."""
        node = slicer.vtkMRMLScalarVolumeNode()
        node.SetName(self.name)
        node.SetHideFromEditors(True)
        image = vtk.vtkImageData()
        image.SetDimensions(self.size)
        node.SetAndObserveImageData(image)
        node.SetIJKToRASMatrix(geometry.matrix_of(self.ijk_to_ras))
        node.SetAttribute(dicom.INSTANCE_UIDS, self.uids or None)
        node = slicer.mrmlScene.AddNode(node)
        if self.transform is not None and slicer.mrmlScene.GetNodeByID(self.transform) is not None:
            node.SetAndObserveTransformNodeID(self.transform)
        items = vtk.vtkIdList()
        hierarchy.tree().GetItemChildren(hierarchy.tree().GetSceneItemID(), items, True)
        if items.IsId(self.parent) >= 0:
            hierarchy.tree().SetItemParent(hierarchy.item_of(node), self.parent)
        try:
            yield node
        finally:
            slicer.mrmlScene.RemoveNode(node)
