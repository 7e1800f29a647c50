"""Dialogues of files and questions with more than two answers."""

from __future__ import annotations

from collections.abc import Sequence

import qt
import slicer

__all__ = ["ask_which", "choose_file", "choose_folder"]


def choose_file(title: str, kinds: str) -> str:
    """The path of the file that the user chooses; empty: none."""
    return _path(qt.QFileDialog.getOpenFileName(_window(), title, "", kinds))


def choose_folder(title: str) -> str:
    """The path of the folder that the user chooses; empty: none."""
    return _path(qt.QFileDialog.getExistingDirectory(_window(), title, ""))


def ask_which(title: str, question: str, answers: Sequence[str]) -> int:
    """A question with these answers, the last of which does nothing.

    Returns:
        The index of the answer; that of the last where the dialogue was closed.
    """
    box = qt.QMessageBox(_window())
    box.setIcon(qt.QMessageBox.Question)
    box.setWindowTitle(title)
    box.setText(question)
    roles = [qt.QMessageBox.AcceptRole] * (len(answers) - 1) + [qt.QMessageBox.RejectRole]
    buttons = [box.addButton(text, role) for text, role in zip(answers, roles, strict=True)]
    box.exec_()
    clicked = box.clickedButton()
    return next((n for n, button in enumerate(buttons) if button == clicked), len(answers) - 1)


def _path(chosen: object) -> str:
    # PythonQt gives the path, other bindings the path and the filter.
    return str(chosen[0] if isinstance(chosen, (tuple, list)) else chosen or "")


def _window():
    return slicer.util.mainWindow()
