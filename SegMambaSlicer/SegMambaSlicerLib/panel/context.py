"""What the parts of the panel share: the widgets, the logic, the parameters, and a word for the user."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Sequence
from html import escape
from typing import Any

import slicer
from slicer.i18n import tr as _

__all__ = ["Context", "warning_line"]

logger = logging.getLogger(__name__)


class Context:
    """Given to every part.

    Attributes:
        ui: the widgets of the .ui by name.
        logic: the module's logic.
        parameters: the scene's parameters; None while a scene is being closed.
        refresh: shows everything anew after something has changed.
    """

    def __init__(self, ui: Any, logic: Any, refresh: Callable[[], None]):
        self.ui = ui
        self.logic = logic
        self.parameters: Any = None
        self.refresh = refresh

    def log(self, text: str) -> None:
        """Adds lines to the log at the panel's end."""
        self.ui.logText.appendPlainText(text.rstrip("\n"))

    def say(self, text: str, warnings: Sequence[str] = ()) -> None:
        """One sentence below the button and in the log; below it, what else the user should know."""
        self.ui.statusLabel.setText("<br>".join([escape(text), *(warning_line(warning) for warning in warnings)]))
        if text:
            self.log(text)

    def complain(self, text: str, details: str = "") -> None:
        """The same for what has gone wrong; the log opens where there is more to read."""
        self.ui.statusLabel.setText(warning_line(text, bad=True))
        self.log(text)
        if details:
            self.log(details)
            self.ui.packagesSection.collapsed = False

    def guarded(self, action: Callable[[], None]) -> Callable[..., None]:
        """For a button: what goes wrong in ``action`` is shown, the panel goes on working."""

        def call(*_arguments: Any) -> None:
            from segmamba.errors import UserError

            try:
                action()
            except UserError as error:
                self.complain(str(error))
            except Exception as error:
                logger.exception("an action of the panel failed")
                sentence = _("This should not have happened: {error}. The log has more.").format(error=error)
                self.complain(sentence, traceback.format_exc())
            self.refresh()

        return call

    def ask(self, question: str) -> bool:
        """A question that is answered with yes or no."""
        return bool(slicer.util.confirmYesNoDisplay(question))


def warning_line(text: str, bad: bool = False) -> str:
    """A sentence with a sign before it, as rich text; its own colour tells what prevents from what is worth knowing."""
    return f'<span style="color:{"#c0392b" if bad else "#b9770e"}">&#9888;</span> {escape(text)}'
