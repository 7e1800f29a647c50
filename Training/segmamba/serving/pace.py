"""How long a job will still take, learned from its own windows and, before there are any, from the last job like it."""

from __future__ import annotations

import time
from collections.abc import Hashable

from segmamba.inference.course import SEGMENTING, Course

# The first calls load kernels and fill caches; once there are a few others, they are left out.
_FEW = 3


class Pace:
    """Seconds for a window, by what it depends on."""

    def __init__(self) -> None:
        self._learned: dict[Hashable, float] = {}

    def start(self, key: Hashable, course: Course) -> Estimate:
        """The estimate of a job that begins now; ``key`` names what the time of a window depends on."""
        return Estimate(course, self._learned.get(key))

    def learn(self, key: Hashable, estimate: Estimate) -> None:
        """Keeps what a job that is done has taught."""
        if estimate.per_window is not None:
            self._learned[key] = estimate.per_window


class Estimate:
    """Of one job.

    Attributes:
        per_window: Seconds from one window to the next, or None while nothing is known.
    """

    def __init__(self, course: Course, per_window: float | None) -> None:
        self._course = course
        self.per_window = per_window
        self._marks: list[tuple[int, float]] = []  # windows done, and when

    def seconds_left(self, now: float | None = None) -> float | None:
        """To be asked at every step; None while nothing is known."""
        course = self._course
        if course.phase != SEGMENTING or not course.planned:
            return None
        now = time.monotonic() if now is None else now
        done = course.windows + course.empty
        if self._marks and done < self._marks[-1][0]:
            self._marks.clear()  # windows are computed again, in another way
            self.per_window = None
        if not self._marks or done > self._marks[-1][0]:
            self._marks.append((done, now))
            self._learn()
        if self.per_window is None:
            return None
        # Between two marks the clock runs on.
        return max(0.0, (course.planned - self._marks[-1][0]) * self.per_window - (now - self._marks[-1][1]))

    def _learn(self) -> None:
        if len(self._marks) < 2:
            return
        first = self._marks[1 if len(self._marks) > _FEW else 0]
        last = self._marks[-1]
        self.per_window = (last[1] - first[1]) / (last[0] - first[0])
