"""A small signal in plain Python: listeners are called in the order in which they were connected."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

__all__ = ["Signal"]

_log = logging.getLogger(__name__)


class Signal:
    """Calls its listeners when it is emitted.

    A listener that raises is logged with its traceback, and the others are still called: a fault in one part of the
    panel must not stop a job.

    Example:
        >>> changed = Signal()
        >>> changed.connect(lambda name: print("now", name))
        >>> changed.emit("T1")
        now T1
    """

    def __init__(self) -> None:
        self._listeners: list[Callable[..., Any]] = []

    def connect(self, listener: Callable[..., Any]) -> None:
        """Calls ``listener`` at every later ``emit``; a listener that is connected already stays where it is."""
        if listener not in self._listeners:
            self._listeners.append(listener)

    def disconnect(self, listener: Callable[..., Any]) -> None:
        """Calls ``listener`` no more; one that was never connected is no mistake."""
        if listener in self._listeners:
            self._listeners.remove(listener)

    def emit(self, *arguments: Any) -> None:
        """Calls the listeners with ``arguments``; those that a listener connects meanwhile are called the next time."""
        for listener in list(self._listeners):
            if listener not in self._listeners:  # disconnected by one before it
                continue
            try:
                listener(*arguments)
            except Exception:
                _log.exception("A listener failed: %r", listener)
