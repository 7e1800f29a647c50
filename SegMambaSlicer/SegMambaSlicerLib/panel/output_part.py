"""The panel's part "Output": where the segments go, the region, and the question about edited segments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import slicer
from slicer.i18n import tr as _

from ..jobs.timers import let_go, single_shot
from .context import Context
from .dialogues import ask_which

__all__ = ["NewRegion", "ask_about_edited"]

REPLACE, KEEP, CANCEL = range(3)


def ask_about_edited(segmentation: Any, names: Sequence[str]) -> bool | None:
    """Asks what becomes of segments that were edited by hand.

    Returns:
        True: they are replaced; False: they stay and the new ones come beside them; None: nothing is segmented.
    """
    question = _("{segments} of {node} were edited by hand. Replace them by the new result?").format(
        segments=", ".join(names), node=segmentation.GetName()
    )
    answers = [_("Replace"), _("Keep both"), _("Cancel")]
    return {REPLACE: True, KEEP: False, CANCEL: None}[ask_which(_("Edited segments"), question, answers)]


class NewRegion:
    """A region that is made in the panel begins as a box around the first volume, to be made smaller.

    Args:
        context: shared by the parts.
    """

    def __init__(self, context: Context):
        self._context = context
        self._new: Any = None
        self._later = single_shot(self._surround)
        context.ui.roiSelector.connect("nodeAddedByUser(vtkMRMLNode*)", self._on_added)

    def close(self) -> None:
        """The module is unloaded."""
        let_go(self._later)

    def _on_added(self, node: Any) -> None:
        # In spite of its name it tells of every node that comes into the scene, before one of ours is chosen.
        if not slicer.mrmlScene.IsBatchProcessing():
            self._new = node
            self._later.start(0)

    def _surround(self) -> None:
        roi, self._new = self._new, None
        parameters = self._context.parameters
        if roi is None or parameters is None or parameters.roi is not roi or parameters.input1 is None:
            return
        if roi.GetNumberOfControlPoints() or any(roi.GetSize()):
            return
        bounds = [0.0] * 6
        parameters.input1.GetRASBounds(bounds)
        ends = list(zip(bounds[::2], bounds[1::2], strict=True))
        roi.SetCenterWorld([(low + high) / 2 for low, high in ends])
        roi.SetSizeWorld([high - low for low, high in ends])
        self._context.refresh()
