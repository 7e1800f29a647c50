"""What the module's self-test does inside Slicer: the phantom is drawn, segmented, and looked at."""

from __future__ import annotations

from typing import Any

import slicer

from .nodes.provenance import Provenance
from .phantom import load_phantom

__all__ = ["segment_phantom"]

MODEL = "phantom-lightmunet"
#: Millilitres that a tumour of a phantom may have.
SMALLEST, LARGEST = 0.5, 500.0


def segment_phantom(logic: Any) -> Any:
    """Segments the phantom through the module's logic and checks the nodes.

    Args:
        logic: the module's logic.

    Returns:
        The segmentation node.

    Raises:
        AssertionError: something is not as it should be; the text says what.
    """
    volumes = load_phantom()
    node = logic.segment(volumes, model=MODEL)
    segmentation = node.GetSegmentation()
    names = [segmentation.GetNthSegment(n).GetName() for n in range(segmentation.GetNumberOfSegments())]
    _check(names == ["WT", "TC", "ET"], f"the segments are {names}")
    whole, core = (slicer.util.arrayFromSegmentBinaryLabelmap(node, segmentation.GetNthSegmentID(n), volumes[0])
                   for n in (0, 1))  # fmt: skip
    millilitres = float((whole > 0).sum()) * _product(volumes[0].GetSpacing()) / 1000
    _check(SMALLEST < millilitres < LARGEST, f"the tumour has {millilitres:.1f} ml")
    inside = float(((core > 0) & (whole > 0)).sum()) / max(1.0, float((core > 0).sum()))
    _check(inside > 0.9, f"only {inside:.0%} of the core lies inside the tumour")
    reference = node.GetNodeReference(slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole())
    _check(reference is volumes[0], "the reference geometry is not that of the first volume")
    provenance = Provenance.read(node)
    _check(provenance is not None and provenance.model == MODEL, f"the node says that it was made by {provenance}")
    return node


def _product(values: Any) -> float:
    result = 1.0
    for value in values:
        result *= value
    return result


def _check(good: bool, what: str) -> None:
    if not good:
        raise AssertionError(f"self-test of SegMamba: {what}")
