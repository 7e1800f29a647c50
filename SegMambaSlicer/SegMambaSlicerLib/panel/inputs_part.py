"""The panel's part "Inputs": one selector for each channel of the model, pre-picked, with what looks wrong."""

from __future__ import annotations

from html import escape
from typing import Any

import slicer
from slicer.i18n import tr as _

from ..nodes.inputs import check_inputs, pick_inputs
from ..parameters import MAX_CHANNELS, input_name
from .context import Context, warning_line

__all__ = ["InputsPart"]


class InputsPart:
    """Shows as many selectors as the model has channels.

    Args:
        context: shared by the parts.

    Attributes:
        metadata: of the chosen model, or None; set before ``refresh``.
        reason: why these inputs cannot be segmented, a sentence; None: they can.
    """

    def __init__(self, context: Context):
        self._context = context
        self._rows = [
            (getattr(context.ui, f"inputLabel{n}"), getattr(context.ui, f"inputSelector{n}"))
            for n in range(1, MAX_CHANNELS + 1)
        ]
        self.metadata: Any = None
        self.reason: str | None = None

    @property
    def volumes(self) -> list[Any]:
        """The volume of each channel, None where none is chosen."""
        parameters = self._context.parameters
        if self.metadata is None or parameters is None:
            return []
        return [getattr(parameters, input_name(n)) for n in range(self._count)]

    @property
    def _count(self) -> int:
        return min(len(self.metadata.channels), MAX_CHANNELS)

    def pick(self, anew: bool) -> None:
        """Fills selectors with the volumes of the scene that fit the channels by their names.

        Args:
            anew: all of them, for another model; else those alone that are empty: what the user has chosen stays.
        """
        parameters = self._context.parameters
        if self.metadata is None or parameters is None:
            return
        present = self.volumes
        if not anew and all(node is not None for node in present):
            return
        taken = [] if anew else [node for node in present if node is not None]
        scalars = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
        nodes = [node for node in scalars if not node.GetHideFromEditors() and node not in taken]
        picked = pick_inputs(nodes, self.metadata.channels[: self._count])
        with slicer.util.NodeModify(parameters):
            for n in range(MAX_CHANNELS):
                if anew:
                    setattr(parameters, input_name(n), picked[n] if n < self._count else None)
                elif n < self._count and present[n] is None:
                    setattr(parameters, input_name(n), picked[n])

    def refresh(self) -> None:
        """Shows the channels' names and what looks wrong with the chosen volumes."""
        channels = self.metadata.channels if self.metadata is not None else ()
        for n, (label, selector) in enumerate(self._rows):
            label.setVisible(n < len(channels))
            selector.setVisible(n < len(channels))
            if n < len(channels):
                text = _("{name} ({modality}):").format(name=channels[n].name, modality=channels[n].modality)
                label.setText(text)
                selector.setToolTip(_("The volume that is the model's channel {name}.").format(name=channels[n].name))
        self.reason, warnings = self._check()
        message = self._context.ui.inputsMessage
        if self.metadata is None:
            message.setText(escape(_("The model says which volumes it needs.")))
        else:
            message.setText("<br>".join(warning_line(w.message, w.blocking) for w in warnings))
        message.setVisible(self.metadata is None or bool(warnings))

    def _check(self) -> tuple[str | None, list[Any]]:
        """Why it cannot go on, and what the user reads below the selectors."""
        if self.metadata is None:
            return _("Choose a model first."), []
        count = len(self.metadata.channels)
        if count > MAX_CHANNELS:
            reason = _("This model has {count} channels and the panel serves {most}; call it from the console.")
            return reason.format(count=count, most=MAX_CHANNELS), []
        volumes = self.volumes
        found = check_inputs(volumes, self.metadata)
        blocking = [warning for warning in found if warning.blocking]
        # That a selector is empty can be seen; the button's tooltip says it.
        shown = [w for w in found if w.channel is None or volumes[w.channel] is not None]
        return (blocking[0].message if blocking else None), shown
