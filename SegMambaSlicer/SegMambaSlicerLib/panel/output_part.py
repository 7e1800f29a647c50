"""The panel's part "Output": where the segments go, the region, and the question about edited segments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from slicer.i18n import tr as _

from .dialogues import ask_which

__all__ = ["ask_about_edited"]

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
