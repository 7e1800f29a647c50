"""Watches for a worker that neither says nor answers anything."""

from __future__ import annotations

import time
from collections.abc import Callable

from .timers import let_go, single_shot

__all__ = ["HangWatch"]


class HangWatch:
    """Asks after a silence, and gives up when no answer comes.

    One timer that runs out only when the silence could have lasted long enough; nothing is polled.

    Args:
        seconds: of silence before ``ask`` is called.
        answer_seconds: of silence after that before ``give_up`` is called.  It also covers the time in which the
            application itself was busy: lines that came meanwhile are read before it runs out.

    Attributes:
        silence: how many seconds of it end in ``give_up``.
    """

    def __init__(
        self, seconds: float, answer_seconds: float, ask: Callable[[], None], give_up: Callable[[], None]
    ) -> None:
        self._usual, self._answer_seconds = seconds, answer_seconds
        self._seconds = seconds
        self._ask, self._give_up = ask, give_up
        self._heard = 0.0
        self._asking = False
        self._timer = single_shot(self._on_timeout)

    @property
    def silence(self) -> float:
        return self._seconds + self._answer_seconds

    def start(self) -> None:
        """Watches from now on, with twice the patience: importing PyTorch from a slow disk answers nothing."""
        self._seconds = 2 * self._usual + self._answer_seconds
        self.touch()
        self._run(self._seconds)

    def begun(self) -> None:
        """The work has begun; from now on with the usual patience."""
        self._seconds = self._usual
        self.touch()
        self._run(self._seconds)

    def touch(self) -> None:
        """Something was heard."""
        self._heard = time.monotonic()
        self._asking = False

    def stop(self) -> None:
        """Watches no more."""
        self._timer.stop()

    def close(self) -> None:
        """Of no use afterwards."""
        let_go(self._timer)

    def _on_timeout(self) -> None:
        if self._asking:
            self._give_up()
            return
        left = self._seconds - (time.monotonic() - self._heard)
        if left > 0:
            self._run(left)
            return
        self._asking = True
        self._run(self._answer_seconds)
        self._ask()

    def _run(self, seconds: float) -> None:
        self._timer.start(max(1, int(seconds * 1000) + 1))
