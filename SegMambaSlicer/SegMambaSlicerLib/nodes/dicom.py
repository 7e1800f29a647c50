"""What the export as DICOM SEG (extension QuantitativeReporting) reads from the nodes.

- From each segment: the terminology tag (category and type are required), ``DICOM.SegmentAlgorithmType`` (MANUAL,
  SEMIAUTOMATIC or AUTOMATIC) and, unless it is MANUAL, ``DICOM.SegmentAlgorithmName``; name and colour.
- From the segmentation node: the reference image geometry role names the source volume, and that volume's attribute
  ``DICOM.instanceUIDs`` its files in the DICOM database.
- From the segmentation's item in the subject hierarchy: ``DICOM.ReferencedInstanceUIDs``, and its place in the study.

Volumes that were not loaded from DICOM have no ``DICOM.instanceUIDs``; then the export says so.
"""

from __future__ import annotations

import slicer

from segmamba.metadata import Metadata

ALGORITHM_TYPE = "DICOM.SegmentAlgorithmType"
ALGORITHM_NAME = "DICOM.SegmentAlgorithmName"
INSTANCE_UIDS = "DICOM.instanceUIDs"
# Of a DICOM value of representation LO.
_LONGEST = 64


def mark_segment(segment: slicer.vtkSegment, metadata: Metadata) -> None:
    """Says on the segment that an algorithm made it, and which."""
    segment.SetTag(ALGORITHM_TYPE, "AUTOMATIC")
    segment.SetTag(ALGORITHM_NAME, f"SegMamba {metadata.name} {metadata.version}"[:_LONGEST])


def refer(segmentation: slicer.vtkMRMLSegmentationNode, reference: slicer.vtkMRMLVolumeNode) -> None:
    """Notes the DICOM instances that the segmentation was made from."""
    tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    item = tree.GetItemByDataNode(segmentation)
    if not item:
        return
    name = slicer.vtkMRMLSubjectHierarchyConstants.GetDICOMReferencedInstanceUIDsAttributeName()
    tree.SetItemAttribute(item, f"{prefix()}{name}", reference.GetAttribute(INSTANCE_UIDS) or "")


def prefix() -> str:
    """``DICOM.``, before the names of attributes; older Slicers have it in the names."""
    constants = slicer.vtkMRMLSubjectHierarchyConstants
    name = constants.GetDICOMReferencedInstanceUIDsAttributeName()
    return "" if name.startswith("DICOM.") else constants.GetDICOMAttributePrefix()


def instance_uids(volume: slicer.vtkMRMLVolumeNode) -> list[str]:
    """Of the files that a volume was loaded from."""
    return (volume.GetAttribute(INSTANCE_UIDS) or "").split()


def value(volume: slicer.vtkMRMLVolumeNode, tag: str) -> str:
    """A DICOM value, e.g. ``0008,103e``, of the volume's first file, from Slicer's DICOM database; or nothing."""
    database = getattr(slicer, "dicomDatabase", None)
    uids = instance_uids(volume)
    if database is None or not uids:
        return ""
    file = database.fileForInstance(uids[0])
    return str(database.fileValue(file, tag) or "") if file else ""
