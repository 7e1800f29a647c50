"""The panel's part "Advanced": cases, device, precision, mirroring, memory."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _

from .. import cases
from .bindings import Choice, ChoiceBinding, enable
from .context import Context

__all__ = ["AdvancedPart"]


class AdvancedPart:
    """Fills the lists whose content is known while the program runs.

    Args:
        context: shared by the parts.

    Attributes:
        metadata: of the chosen model, or None; set before ``refresh``.
    """

    def __init__(self, context: Context):
        self._context = context
        self.metadata: Any = None
        ui = context.ui
        self._cases = ChoiceBinding(ui.casesSelector, cases.missing, self._setter("cases"))
        self._device = ChoiceBinding(ui.deviceSelector, self._missing_device, self._setter("device"))
        self._precision = ChoiceBinding(ui.precisionSelector, str, self._setter("precision"))
        self._precision.fill(
            [
                Choice("auto", _("Automatic"), _("32 bits on the processor; on graphics cards what they do fast.")),
                Choice("fp32", _("32 bits (fp32)")),
                Choice("bf16", _("16 bits, wide range (bf16)")),
                Choice("fp16", _("16 bits (fp16)")),
            ]
        )
        self._cases.fill([Choice(value, title) for value, title in cases.sources()])
        ui.freeMemoryButton.connect("clicked()", context.guarded(self._free))

    def refresh(self) -> None:
        """Shows the parameters."""
        context = self._context
        parameters, ui = context.parameters, context.ui
        if parameters is None:
            return
        titles = {"auto": _("Automatic"), "cpu": _("Processor")}
        titles.update(context.logic.devices)
        self._device.fill([Choice(name, title) for name, title in titles.items()])
        if parameters.cases or not ui.advancedSection.collapsed:  # looking through a large scene takes a moment
            self._cases.fill([Choice(value, title) for value, title in cases.sources()])
        self._device.show(parameters.device)
        self._precision.show(parameters.precision)
        self._cases.show(parameters.cases)
        enable(ui.mirroringCheckBox, self._no_mirroring())
        enable(ui.freeMemoryButton, self._nothing_to_free())

    def _setter(self, name: str):
        def store(value: str) -> None:
            if self._context.parameters is not None:
                setattr(self._context.parameters, name, value)

        return store

    def _missing_device(self, name: str) -> str:
        return name if not self._context.logic.devices else _("{name} (not on this computer)").format(name=name)

    def _no_mirroring(self) -> str | None:
        if self.metadata is None or self.metadata.training.get("mirror_axes"):
            return None
        return _("{name} was trained without mirrored copies.").format(name=self.metadata.name)

    def _nothing_to_free(self) -> str | None:
        if self._context.logic.busy:
            return _("A segmentation is running; cancel it to free its memory.")
        return None if self._context.logic.warm else _("No process is waiting, there is nothing to free.")

    def _free(self) -> None:
        self._context.logic.free_memory()
        self._context.say(_("The waiting process has ended and its memory is free."))
