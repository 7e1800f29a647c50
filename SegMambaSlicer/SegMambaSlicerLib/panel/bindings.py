"""Connects widgets whose content is only known while the program runs with parameters, and helps to grey out.

Slicer's own connectors serve the other widgets.  They cannot serve a list of models or devices: a QComboBox is bound
by them to choices that are fixed when the class is written, and a ctkSearchBox not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import qt

__all__ = ["Choice", "ChoiceBinding", "TextBinding", "enable"]


class Choice(NamedTuple):
    """One line of a list: the parameter's value, what the user reads, and a longer text about it."""

    value: str
    title: str
    tooltip: str = ""


class ChoiceBinding:
    """A QComboBox with changing content for a text parameter.

    A value that is not among the choices, as after loading a scene made elsewhere, is kept and shown as ``missing``
    words it: choosing is the user's.

    Args:
        combo: the QComboBox.
        missing: gives the title of a value that is not among the choices.
        chosen: called with the value that the user has chosen.
    """

    def __init__(self, combo, missing: Callable[[str], str], chosen: Callable[[str], None]):
        self._combo = combo
        self._missing = missing
        self._chosen = chosen
        self._choices: list[Choice] = []
        self._shown: list[Choice] = []
        self._busy = False
        combo.connect("currentIndexChanged(int)", self._on_index)

    def fill(self, choices: Sequence[Choice]) -> None:
        """Sets what can be chosen; shown at the next ``show``."""
        self._choices = list(choices)

    def show(self, value: str) -> None:
        """Shows a value of the parameter."""
        shown = list(self._choices)
        if value not in [choice.value for choice in shown]:
            shown.append(Choice(value, self._missing(value)))
        self._busy = True
        try:
            if shown != self._shown:
                self._combo.clear()
                for index, choice in enumerate(shown):
                    self._combo.addItem(choice.title)
                    self._combo.setItemData(index, choice.tooltip or choice.title, qt.Qt.ToolTipRole)
                self._shown = shown
            self._combo.setCurrentIndex([choice.value for choice in shown].index(value))
        finally:
            self._busy = False

    def values(self) -> list[str]:
        """The values that are shown, in their order."""
        return [choice.value for choice in self._shown]

    def _on_index(self, index: int) -> None:
        if not self._busy and 0 <= index < len(self._shown):
            self._chosen(self._shown[index].value)


class TextBinding:
    """A line of text, a ctkSearchBox for one, for a text parameter."""

    def __init__(self, line, changed: Callable[[str], None]):
        self._line = line
        self._changed = changed
        self._busy = False
        line.connect("textChanged(QString)", self._on_text)

    def show(self, value: str) -> None:
        """Shows a value of the parameter; the cursor stays where it is while the user types."""
        if self._line.text == value:
            return
        self._busy = True
        try:
            self._line.setText(value)
        finally:
            self._busy = False

    def _on_text(self, text: str) -> None:
        if not self._busy:
            self._changed(text)


def enable(widget, reason: str | None) -> None:
    """Enables a widget, or greys it out with the reason in its tooltip.

    Args:
        widget: its tooltip in the .ui is what it says while it is enabled.
        reason: why it cannot be used now, a sentence; None: it can.
    """
    if widget.property("usualToolTip") is None:
        widget.setProperty("usualToolTip", widget.toolTip or "")
    widget.setEnabled(reason is None)
    widget.setToolTip(widget.property("usualToolTip") if reason is None else reason)
