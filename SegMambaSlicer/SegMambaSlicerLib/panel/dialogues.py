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

    The first one takes something away where there are three.  No two buttons get the same role: Qt 6 and macOS have
    told the wrong one of two.

    Args:
        title: of the window.
        question: what is asked.
        answers: two or three, the last of which is what Escape and Enter do.

    Returns:
        The index of the answer; that of the last where the dialogue was closed.
    """
    box = qt.QMessageBox(_window())
    box.setIcon(qt.QMessageBox.Question)
    box.setWindowTitle(title)
    box.setText(question)
    roles = [qt.QMessageBox.DestructiveRole, qt.QMessageBox.AcceptRole, qt.QMessageBox.RejectRole][-len(answers) :]
    buttons = [box.addButton(text, role) for text, role in zip(answers, roles, strict=True)]
    box.setDefaultButton(buttons[-1])
    box.setEscapeButton(buttons[-1])
    box.exec_()
    clicked = box.clickedButton()
    chosen = next((n for n, button in enumerate(buttons) if button == clicked), len(answers) - 1)
    box.deleteLater()
    return chosen


def _path(chosen: object) -> str:
    # PythonQt gives the path, other bindings the path and the filter.
    return str(chosen[0] if isinstance(chosen, (tuple, list)) else chosen or "")


def _window():
    return slicer.util.mainWindow()
