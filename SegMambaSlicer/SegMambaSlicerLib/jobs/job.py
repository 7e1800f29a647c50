"""One segmentation to be done: what is asked of the worker, and what became of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..signal import Signal
from .temporary import TemporaryFolder

__all__ = ["ENDED", "Job"]

ENDED = ("done", "failed", "cancelled")

# What a job keeps of the worker's output: enough to understand a failure, not enough to fill the memory.
LOG_LINES = 1000
LINE_LENGTH = 2000


@dataclass(eq=False)
class Job:
    """One segmentation.

    Attributes:
        title: what the user sees in the queue.
        request: the worker's ``segment`` message without ``id`` and ``do``.
        prepare: called with the job just before it starts, to write the inputs and complete the request, so that a
            long queue does not fill the disk; a UserError that it raises fails the job with kind ``input``.
        windows: how many windows the network will take, where it is known: gives a time estimate before the first.
        state: ``queued``, ``running``, ``cancelling``, ``done``, ``failed`` or ``cancelled``.
        result: the worker's ``done`` message.  Files that it names are gone after the listeners of ``finished``.
        kind: of a failure: ``input``, ``memory`` or ``defect`` by the worker; ``start`` (it could not be started),
            ``crash`` (it ended unasked) or ``hang`` (it answered no more) by the runner.
        error: one sentence for the user.
        details: what belongs to the error beyond the sentence: a traceback, or the worker's last lines.
        log: lines that the worker wrote while the job ran.
        progressed: emits (fraction, seconds left or None, message).
        logged: emits each new line of the log.
        finished: emits the job, once.
    """

    title: str
    request: dict[str, Any]
    prepare: Callable[[Job], None] | None = None
    windows: int | None = None
    state: str = "queued"
    result: dict[str, Any] | None = None
    kind: str | None = None
    error: str | None = None
    details: str = ""
    log: list[str] = field(default_factory=list)
    progressed: Signal = field(default_factory=Signal, repr=False)
    logged: Signal = field(default_factory=Signal, repr=False)
    finished: Signal = field(default_factory=Signal, repr=False)
    _folder: TemporaryFolder | None = field(default=None, repr=False)

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.state in ENDED

    @property
    def folder(self) -> Path:
        """The job's own temporary folder, made at the first use; removed after the listeners of ``finished``."""
        if self._folder is None:
            if self.ended:
                raise RuntimeError(f"the job {self.title!r} has ended, and its folder with it")
            self._folder = TemporaryFolder()
        return self._folder.path

    def add_line(self, line: str) -> None:
        """Adds a line to the log; the oldest are forgotten."""
        if len(line) > LINE_LENGTH:
            line = f"{line[:LINE_LENGTH]} … ({len(line)} characters)"
        self.log.append(line)
        del self.log[:-LOG_LINES]
        self.logged.emit(line)

    def remove_folder(self) -> bool:
        """Removes the temporary folder; False when something in it is still held, as Windows does: try again."""
        if self._folder is not None and self._folder.remove():
            self._folder = None
        return self._folder is None
