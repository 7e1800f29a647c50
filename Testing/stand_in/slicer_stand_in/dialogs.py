"""Dialogs answer as the test says and never wait: what was asked is recorded.

`answer("Replace?", "Yes")` tells what the next question whose text holds "Replace?" gets. A question that nobody told
an answer for raises `UnexpectedQuestion`; a message with nothing but OK to press is recorded and closed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


class UnexpectedQuestion(AssertionError):
    """A dialog asked something that the test did not foresee."""


@dataclass
class Shown:
    """One dialog that was shown: its kind, its texts and what it was answered."""

    kind: str
    text: str
    title: str = ""
    detail: str = ""
    answer: Any = None


shown: list[Shown] = []
_answers: list[tuple[str, Any]] = []


def reset() -> None:
    """Forgets what was shown and what answers were told."""
    shown.clear()
    _answers.clear()


def answer(text: str, reply: Any) -> None:
    """The next dialog whose text or title holds `text` gets `reply`: a button's name ("Yes") or a path, once."""
    _answers.append((text, reply))


def unused_answers() -> list[tuple[str, Any]]:
    """Answers that no dialog asked for."""
    return list(_answers)


def _reply(entry: Shown, default: Any) -> Any:
    for index, (text, reply) in enumerate(_answers):
        if text in entry.text or text in entry.title:
            entry.answer = reply
            del _answers[index]
            return reply
    if default is None:
        shown.append(entry)
        raise UnexpectedQuestion(f"{entry.kind}: {entry.title!r} {entry.text!r}; tell an answer with dialogs.answer()")
    entry.answer = default
    return default


def ask(entry: Shown, default: Any = None) -> Any:
    """Records `entry` and gives its answer, `default` where none was told."""
    reply = _reply(entry, default)
    shown.append(entry)
    return reply


def _execute_message_box(box: Any) -> int:
    from PySide6.QtWidgets import QMessageBox

    buttons = box.standardButtons
    # "Show Details..." and the like have the action role: they do not end the dialog.
    ending = [button for button in box.buttons() if box.buttonRole(button) != box.ButtonRole.ActionRole]
    custom = {button.text.replace("&", ""): button for button in ending if not box.standardButton(button)}
    if len({box.buttonRole(button) for button in custom.values()}) < len(custom):
        raise AssertionError(f"two buttons of the box {box.text!r} share a role: Qt 6 may tell the wrong one of them")
    plain = not custom and buttons in (QMessageBox.StandardButton.Ok, QMessageBox.StandardButton.NoButton)
    entry = Shown("message box", box.text, box.windowTitle.strip(), box.informativeText + box.detailedText)
    reply = ask(entry, "Ok" if plain else None)
    if reply in custom:
        box._clicked = custom[reply]
        return 0
    value = getattr(QMessageBox.StandardButton, reply) if isinstance(reply, str) else reply
    if not plain and not buttons & value:
        raise UnexpectedQuestion(f"the box {entry.text!r} has no button {reply!r}")
    box._clicked = box.button(value)
    return value


def install(qt: Any) -> None:
    """Puts the recording in the place of QMessageBox, QFileDialog and QInputDialog's waiting."""
    box = qt.QMessageBox
    box.exec_ = box.exec = _execute_message_box
    original_clicked = box.clickedButton
    box.clickedButton = lambda self: getattr(self, "_clicked", None) or original_clicked(self)
    standard = box.StandardButton
    for name, buttons in (
        ("information", standard.Ok),
        ("warning", standard.Ok),
        ("critical", standard.Ok),
        ("question", standard.Yes | standard.No),
    ):

        def static(parent: Any, title: str, text: str, buttons: Any = buttons, default: Any = None, _kind: str = name):
            reply = ask(Shown(_kind, text, title), "Ok" if buttons == standard.Ok else None)
            return getattr(standard, reply) if isinstance(reply, str) else reply

        setattr(box, name, staticmethod(static))

    def path_dialog(kind: str):
        def dialog(parent: Any = None, title: str = "", *rest: Any) -> Any:
            return ask(Shown(kind, title, title))

        return staticmethod(dialog)

    # PythonQt gives the path alone, PySide6 gives the filter, too.
    for name in ("getOpenFileName", "getOpenFileNames", "getSaveFileName", "getExistingDirectory"):
        setattr(qt.QFileDialog, name, path_dialog(name))
    for name in ("getText", "getItem", "getInt", "getDouble"):
        setattr(qt.QInputDialog, name, path_dialog(name))
    qt.QDesktopServices.openUrl = staticmethod(lambda url: bool(ask(Shown("open url", url.toString()), True)))
