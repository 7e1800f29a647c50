"""Waiting for something while the application lives on."""

from __future__ import annotations

from collections.abc import Callable

import qt

from .timers import single_shot

__all__ = ["wait_until"]


def wait_until(over: Callable[[], bool], timeout_s: float | None = None) -> bool:
    """Handles events until ``over()`` holds; needs an application object, but no event loop that runs already.

    It sleeps between events, after each of which it looks: what makes ``over()`` hold must be an event of the
    application's.  Calls may be nested: each returns when its own condition holds, once those within it have returned.

    Returns:
        What ``over()`` gave last; False only after ``timeout_s`` seconds.
    """
    loop = qt.QEventLoop()
    # Not the clock: Qt's timers may run out a little early, and then nothing would wake the loop again.
    rung: list[bool] = []
    alarm = single_shot(lambda: rung.append(True))
    if timeout_s is not None:
        alarm.start(max(1, int(timeout_s * 1000)))
    try:
        while not over():
            if rung:
                return False
            loop.processEvents(qt.QEventLoop.WaitForMoreEvents)
        return True
    finally:
        alarm.stop()
