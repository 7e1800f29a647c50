"""How segments look: name, colour and display, so that they stay where a segment is replaced or comes back."""

from __future__ import annotations

import slicer

_DISPLAY = (
    "SegmentVisibility", "SegmentVisibility2DFill", "SegmentVisibility2DOutline", "SegmentVisibility3D",
    "SegmentOpacity2DFill", "SegmentOpacity2DOutline", "SegmentOpacity3D",
)  # fmt: skip


class Looks:
    """Name, colour and display of a segment as they are now."""

    def __init__(self, node: slicer.vtkMRMLSegmentationNode, segment_id: str):
        segment, display = node.GetSegmentation().GetSegment(segment_id), node.GetDisplayNode()
        self.name, self.colour = segment.GetName(), segment.GetColor()
        self.display = {}
        if display is not None:
            self.display = {name: getattr(display, f"Get{name}")(segment_id) for name in _DISPLAY}

    def give_names(self, segment: slicer.vtkSegment) -> None:
        """Gives name and colour to a segment, which need not be in a node yet."""
        segment.SetName(self.name)
        segment.SetColor(*self.colour)

    def give_display(self, node: slicer.vtkMRMLSegmentationNode, segment_id: str) -> None:
        """Gives the display to a segment of a node."""
        display = node.GetDisplayNode()
        for name, value in self.display.items() if display is not None else ():
            getattr(display, f"Set{name}")(segment_id, value)


def looks_of(node: slicer.vtkMRMLSegmentationNode) -> dict[str, Looks]:
    """Of every segment by its id."""
    return {segment_id: Looks(node, segment_id) for segment_id in node.GetSegmentation().GetSegmentIDs()}
