"""The table of volumes: a row for each segment that we made."""

from __future__ import annotations

import numpy as np
import slicer
import vtk

from . import edited, geometry, hierarchy, labelmaps
from .text import _

_ROLE = "SegMamba.Volumes"


def place_table(
    segmentation: slicer.vtkMRMLSegmentationNode, table: slicer.vtkMRMLTableNode | None = None
) -> slicer.vtkMRMLTableNode:
    """Counts the voxels of our segments as they are now and writes them into a table node.

    Args:
        segmentation: a result; of its other segments nothing is said.
        table: the node to use; None takes that of an earlier call for this segmentation, or makes one.

    Returns:
        The table: Segment, Voxels, Volume [mL], Volume [cm3].  Volumes count a linear parent transform.
    """
    rows = []
    for segment_id in segmentation.GetSegmentation().GetSegmentIDs():
        segment = segmentation.GetSegmentation().GetSegment(segment_id)
        if edited.ours(segment, segment_id):
            voxels, millilitres = measured(segmentation, segment)
            rows.append((segment.GetName(), voxels, millilitres))
    if table is None:
        table = segmentation.GetNodeReference(_ROLE)
    if table is None:
        name = _("{segmentation} volumes").format(segmentation=segmentation.GetName())
        table = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode", slicer.mrmlScene.GenerateUniqueName(name))
    segmentation.SetNodeReferenceID(_ROLE, table.GetID())
    modified = table.StartModify()
    try:
        table.RemoveAllColumns()
        names, voxels = vtk.vtkStringArray(), vtk.vtkLongLongArray()
        millilitres, cubic = vtk.vtkDoubleArray(), vtk.vtkDoubleArray()
        for column, title in zip((names, voxels, millilitres, cubic), columns(), strict=True):
            column.SetName(title)
        for name, count, volume in rows:
            names.InsertNextValue(name)
            voxels.InsertNextValue(count)
            millilitres.InsertNextValue(volume)
            cubic.InsertNextValue(volume)
        for column in (names, voxels, millilitres, cubic):
            table.AddColumn(column)
        table.SetUseColumnTitleAsColumnHeader(True)
        table.SetLocked(True)
    finally:
        table.EndModify(modified)
    hierarchy.place_beside(table, segmentation)
    return table


def columns() -> tuple[str, str, str, str]:
    """Names of the columns."""
    return _("Segment"), _("Voxels"), _("Volume [mL]"), _("Volume [cm3]")


def measured(segmentation: slicer.vtkMRMLSegmentationNode, segment: slicer.vtkSegment) -> tuple[int, float]:
    """Voxels and millilitres of a segment."""
    found = labelmaps.segment_mask(segment)
    if found is None:
        return 0, 0.0
    count = int(np.count_nonzero(found[0]))
    matrix = vtk.vtkMatrix4x4()
    segment.GetRepresentation(labelmaps.binary_labelmap()).GetImageToWorldMatrix(matrix)
    to_world = geometry.between(segmentation, None)
    columns = geometry.numbers(matrix)[:3, :3]
    if to_world is not None:
        columns = to_world[:3, :3] @ columns
    return count, float(count * abs(np.linalg.det(columns)) / 1000)
