"""Timers that run out once for each start."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt

__all__ = ["let_go", "single_shot"]


def single_shot(on_timeout: Callable[[], Any]) -> Any:
    """A QTimer that calls ``on_timeout`` once, some milliseconds after each ``start(milliseconds)``."""
    timer = qt.QTimer()
    timer.setSingleShot(True)
    timer.connect("timeout()", on_timeout)
    return timer


def let_go(timer: Any) -> None:
    """Ends a timer for good: what it calls, and all that hangs on that, would otherwise be kept as long as Qt is."""
    timer.stop()
    timer.blockSignals(True)
    timer.deleteLater()
