"""Which segments are ours, and whether the user has edited them: tags on each hold a hash of its
voxels and its id, which a copy of it does not have."""

from __future__ import annotations

import hashlib

import numpy as np
import slicer
import vtk

from segmamba.errors import UserError

from . import labelmaps
from .text import _

TAG, ID_TAG = "SegMamba.Voxels", "SegMamba.Segment"
# A segment that lies this much further off, in mm, was moved.
_MOVED = 1e-3


class EditedSegments(UserError):
    """Segments that a new result would replace were edited.

    Attributes:
        node: the segmentation node.
        segment_ids: of the edited segments.
        names: theirs.
    """

    def __init__(self, node: slicer.vtkMRMLSegmentationNode, segment_ids: list[str]):
        self.node = node
        self.segment_ids = segment_ids
        self.names = [node.GetSegmentation().GetSegment(segment_id).GetName() for segment_id in segment_ids]
        super().__init__(
            _("In segmentation {node}, {segments} was edited since it was computed: choose another output, or say "
              "whether to replace or to keep it.").format(node=node.GetName(), segments=", ".join(self.names))
        )  # fmt: skip


def mark(segment: slicer.vtkSegment, segment_id: str) -> None:
    """Notes the segment's voxels on it, as computed, and the id that it gets."""
    segment.SetTag(TAG, fingerprint(segment))
    segment.SetTag(ID_TAG, segment_id)


def ours(segment: slicer.vtkSegment, segment_id: str) -> bool:
    """Whether we made the segment with this id; a copy carries our tags along, but is the user's."""
    return bool(tag(segment, TAG)) and tag(segment, ID_TAG) == segment_id


def is_edited(segment: slicer.vtkSegment) -> bool:
    """Whether a segment that we made has other voxels, or lies elsewhere, than when it was computed."""
    before, now = tag(segment, TAG).split(" "), fingerprint(segment).split(" ")
    if before[0] != now[0]:
        return True
    return len(now) > 1 and not np.allclose(np.float64(before[1:]), np.float64(now[1:]), rtol=0, atol=_MOVED)


def fingerprint(segment: slicer.vtkSegment) -> str:
    """A hash of the shape of the segment's voxels, and where the box around them begins; ``empty`` without voxels.

    It does not depend on label values, layers or extents, which Slicer changes when it saves a segmentation.
    """
    found = labelmaps.segment_mask(segment)
    if found is None:
        return "empty"
    mask, place = found
    digest = hashlib.blake2b(np.array(mask.shape, "<i8").tobytes(), digest_size=16)
    for plane in mask:
        digest.update(np.packbits(plane).tobytes())
    return " ".join([digest.hexdigest(), *(f"{x:.6f}" for x in place)])


def tag(segment: slicer.vtkSegment, name: str) -> str:
    """A tag's text, or nothing."""
    value = vtk.reference("")
    return str(value) if segment.GetTag(name, value) else ""
