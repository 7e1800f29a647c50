"""What the tests of nodes share: grids at odd places, metadata, and where voxels lie by Slicer's own transforms."""

import numpy as np

from segmamba.metadata import Channel, Label, Metadata, Normalisation

CODES = {
    "category": {"CodingSchemeDesignator": "SCT", "CodeValue": "123037004", "CodeMeaning": "Anatomical Structure"},
    "type": {"CodingSchemeDesignator": "SCT", "CodeValue": "5366008", "CodeMeaning": "Hippocampus"},
    "type_modifier": {"CodingSchemeDesignator": "SCT", "CodeValue": "255549009", "CodeMeaning": "Anterior"},
}
SHAPE = (7, 8, 9)  # k, j, i


def rotation(degrees: float, axis: int) -> np.ndarray:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    one, two = (n for n in range(3) if n != axis)
    matrix = np.eye(4)
    matrix[one, one], matrix[one, two], matrix[two, one], matrix[two, two] = c, -s, s, c
    return matrix


def placed(spacing=(0.9, 1.1, 2.5), origin=(-12.5, 30.25, -41.0), turned=None, flipped=()) -> np.ndarray:
    """(4, 4) IJK to RAS."""
    matrix = (np.eye(4) if turned is None else turned).copy()
    matrix[:3, :3] = matrix[:3, :3] @ np.diag([s * (-1 if a in flipped else 1) for a, s in enumerate(spacing)])
    matrix[:3, 3] = origin
    return matrix


GEOMETRIES = {
    "straight": placed(),
    "oblique": placed(turned=rotation(20, 0) @ rotation(-35, 2)),
    "flipped": placed(flipped=(0, 2)),
    "mirrored and oblique": placed(flipped=(1,), turned=rotation(12, 1)),
    "permuted": placed()[:, [2, 0, 1, 3]],
}


def make_metadata(channels=("T1",), **changes) -> Metadata:
    values = {
        "name": "tiny-model",
        "version": "1.2.0",
        "description": "For tests.",
        "network": "lightmunet",
        "channels": tuple(c if isinstance(c, Channel) else Channel(c, "MR", Normalisation("zscore")) for c in channels),
        "labels": (Label(1, "Front", (230, 60, 50), terminology=CODES), Label(2, "Back part", (60, 120, 220))),
        "patch": (16, 16, 16),
    }
    return Metadata(**{**values, **changes})


def mask_of(segmentation, segment_id, reference) -> np.ndarray:
    """The segment on the reference's grid, as Slicer resamples it there."""
    import slicer.util

    return slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, segment_id, reference).astype(bool)


def world_points(segmentation, segment_id) -> np.ndarray:
    """World RAS of the segment's voxel centres, (n, 3), from the labelmap's own matrix and the node's transform."""
    import slicer
    import slicer.util
    import vtk
    from vtk.util import numpy_support

    segment = segmentation.GetSegmentation().GetSegment(segment_id)
    image = segment.GetRepresentation("Binary labelmap")
    values = numpy_support.vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1])
    ijk = np.argwhere(values == segment.GetLabelValue())[:, ::-1] + np.array(image.GetExtent()[::2])
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    to_world = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(segmentation.GetParentTransformNode(), None, to_world)
    local = np.c_[ijk, np.ones(len(ijk))] @ slicer.util.arrayFromVTKMatrix(matrix).T
    return np.array([to_world.TransformPoint(point[:3].tolist()) for point in local])


def volume_points(volume, mask) -> np.ndarray:
    """World RAS of a volume's voxel centres where a mask is set, as Slicer's own transforms place them."""
    import slicer
    import slicer.util
    import vtk

    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    ijk = np.argwhere(mask)[:, ::-1]
    local = np.c_[ijk, np.ones(len(ijk))] @ slicer.util.arrayFromVTKMatrix(matrix).T
    to_world = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(volume.GetParentTransformNode(), None, to_world)
    return np.array([to_world.TransformPoint(point[:3].tolist()) for point in local])


FRONT, BACK = "SegMamba_tiny_model_Front", "SegMamba_tiny_model_Back_part"


def ids_of(node) -> list[str]:
    """Ids of the segments, in their order."""
    return list(node.GetSegmentation().GetSegmentIDs())


def draw(node, volume, segment_id, mask, name="drawn") -> None:
    """Draws a segment as the Segment Editor would; it is added if it is not there."""
    import slicer.util

    if node.GetSegmentation().GetSegment(segment_id) is None:
        node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
        node.GetSegmentation().AddEmptySegment(segment_id, name, [0.1, 0.2, 0.3])
    slicer.util.updateSegmentBinaryLabelmapFromArray(np.asarray(mask, np.uint8), node, segment_id, volume)
