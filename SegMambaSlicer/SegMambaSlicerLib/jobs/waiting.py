"""Waiting for something while the application lives on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
from slicer.i18n import tr as _

from ..signal import Signal
from .timers import let_go, single_shot

__all__ = ["Quitting", "look", "quitting", "wait_until"]

# For what nobody tells of: see `look`.
LOOK_MS = 100

#: Emits nothing when the application quits while something is waited for: the time to end what runs.
quitting = Signal()

_looks: list[Any] = []  # a timer for each call that waits


class Quitting(RuntimeError):
    """The application quits, and what was waited for will not come."""


def look() -> None:
    """Something has happened: all that wait look at their conditions, once the event that is handled now is over."""
    for timer in _looks:
        timer.start(0)


def wait_until(over: Callable[[], bool], timeout_s: float | None = None) -> bool:
    """Handles events until ``over()`` holds; needs an application object, but no event loop that runs already.

    It is an event loop of Qt's own, because that alone ends when the application quits.  The condition is looked at
    after :func:`look`, and now and then.  Calls may be nested: each returns when its own condition holds, once those
    within it have returned.

    Returns:
        What ``over()`` gave last; False only after ``timeout_s`` seconds.

    Raises:
        Quitting: the application quits; those who listen to :data:`quitting` have been told.
    """
    loop = qt.QEventLoop()
    rung: list[bool] = []
    ended: list[BaseException | None] = []  # by us: with what the condition raised, which Qt would swallow

    def check() -> None:
        try:
            if over():
                end()
        except BaseException as error:
            end(error)

    def end(error: BaseException | None = None) -> None:
        ended.append(error)
        loop.quit()

    def ring() -> None:
        # Not the clock: Qt's timers may run out a little early.
        rung.append(True)
        end()

    soon, often, alarm = single_shot(check), qt.QTimer(), single_shot(ring)
    often.connect("timeout()", check)
    often.start(LOOK_MS)
    _looks.append(soon)
    if timeout_s is not None:
        alarm.start(max(1, int(timeout_s * 1000)))
    try:
        while not over():
            if rung:
                return False
            ended.clear()
            loop.exec_()
            if not ended:
                quitting.emit()
                raise Quitting(_("The application quits."))
            for error in ended:
                if error is not None:
                    raise error
        return True
    finally:
        _looks.remove(soon)
        for timer in (soon, often, alarm):
            let_go(timer)
