"""How far a case is and what it has cost: the phase, the windows, and the time that the network alone took."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import torch

READING, PREPARING, SEGMENTING, RESTORING, DONE = "reading", "preparing", "segmenting", "restoring", "done"


class Course:
    """The course of one case; whoever passes one in may look at it from the progress callback.

    Attributes:
        phase: ``reading``, ``preparing``, ``segmenting`` (windows, and the way back of the planes that they finish),
            ``restoring`` (the last planes, and counting) or ``done``.
        planned: Windows of the case; 0 before it is known.
        windows: Windows that the network has run on, so far.
        empty: Windows that were background without a look, so far.
    """

    def __init__(self) -> None:
        self.phase = READING
        self.restart()

    def restart(self) -> None:
        """Forgets the windows: they are computed again."""
        self.planned = self.windows = self.empty = 0
        self._seconds = 0.0
        self._events: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []

    @property
    def seconds(self) -> float:
        """Time in the network, of the windows so far; on a CUDA device this waits for them."""
        for began, ended in self._events:
            ended.synchronize()
            self._seconds += began.elapsed_time(ended) / 1000
        self._events.clear()
        return self._seconds

    @contextlib.contextmanager
    def running(self, windows: int, device: torch.device) -> Iterator[None]:
        """Measures one call of the network with so many windows."""
        if device.type == "cuda":
            # Kernels are queued, so a clock here would measure the queueing; waiting for each would cost time.
            events = tuple(torch.cuda.Event(enable_timing=True) for _ in range(2))
            stream = torch.cuda.current_stream(device)
            events[0].record(stream)
            yield
            events[1].record(stream)
            self._events.append(events)
        else:
            began = time.perf_counter()
            yield
            if device.type == "mps":
                torch.mps.synchronize()
            self._seconds += time.perf_counter() - began
        self.windows += windows
