"""The worker's jobs, one after the other, each of which can be cancelled while it waits and while it runs."""

from __future__ import annotations

import threading
from collections import deque

from segmamba.serving.protocol import Segment, Warm


class Cancelled(Exception):
    """The job was cancelled by its parent."""


class Job:
    """A request and whether it is still wanted."""

    def __init__(self, request: Segment | Warm) -> None:
        self.request = request
        self.id = request.id
        self._cancelled = threading.Event()

    def cancel(self) -> None:
        """It is no longer wanted."""
        self._cancelled.set()

    def check(self) -> None:
        """Raises Cancelled if it is no longer wanted."""
        if self._cancelled.is_set():
            raise Cancelled


class Queue:
    """First come, first served; safe to use from several threads."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: deque[Job] = deque()
        self._running: Job | None = None

    def holds(self, id: str) -> bool:
        """Whether a job of that id waits or runs."""
        with self._changed:
            return any(job.id == id for job in self._unfinished())

    def put(self, request: Segment | Warm) -> bool:
        """Appends a job; False where an unfinished one has its id."""
        with self._changed:
            if any(job.id == request.id for job in self._unfinished()):
                return False
            self._waiting.append(Job(request))
            self._changed.notify()
            return True

    def take(self) -> Job:
        """Waits for a job, which then runs until :meth:`finished`."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting)
            self._running = self._waiting.popleft()
            return self._running

    def finished(self) -> None:
        """The job that ran is done; to be called before its last event is sent, so that its id is free then."""
        with self._changed:
            self._running = None

    def cancel(self, id: str) -> str:
        """Cancels a job.

        Returns:
            ``waiting`` (it is out of the queue), ``running`` (it will end soon) or ``unknown``.
        """
        with self._changed:
            for job in self._waiting:
                if job.id == id:
                    self._waiting.remove(job)
                    return "waiting"
            if self._running is not None and self._running.id == id:
                self._running.cancel()
                return "running"
            return "unknown"

    @property
    def current(self) -> str | None:
        """The id of the job that runs."""
        with self._changed:
            return None if self._running is None else self._running.id

    def _unfinished(self) -> list[Job]:
        return [*self._waiting, *([self._running] if self._running is not None else [])]
