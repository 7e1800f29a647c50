"""The worker process: a QProcess that takes and gives one JSON object a line."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import qt
from slicer.i18n import tr as _

from ..signal import Signal
from .environment import worker_environment
from .lines import LineReader, from_qt
from .timers import let_go, single_shot

__all__ = ["End", "WorkerProcess"]

TAIL_LINES = 30
HELLO = "hello"


@dataclass(frozen=True)
class End:
    """How a worker ended.

    Attributes:
        started: whether the program could be started at all.
        ready: whether it had sent a message.
        code: its exit code; of no meaning when it crashed.
        crashed: whether the system ended it.
        reason: why it could not be started.
        lines: the last lines that it wrote.
    """

    started: bool
    ready: bool
    code: int = 0
    crashed: bool = False
    reason: str = ""
    lines: tuple[str, ...] = ()


class WorkerProcess:
    """One worker process.

    Args:
        python: program and leading arguments that run Python.
        package_folder: where the package ``segmamba`` lies.

    Attributes:
        received: emits each message of the worker (a dict).
        written: emits each line that is no message: standard error, and what else came on standard output.
        ended: emits an :class:`End`, once, and not after :meth:`discard`.
        about: the worker's answer to the first ping: ``pid``, ``version``, ``python``.
    """

    def __init__(self, python: Sequence[str], package_folder: Path) -> None:
        self.received, self.written, self.ended = Signal(), Signal(), Signal()
        self.about: dict[str, Any] = {}
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)
        self.ready = False
        self._python, self._package_folder = [str(part) for part in python], Path(package_folder)
        self._over = False
        self._output, self._errors = LineReader(), LineReader(returns=True)
        self._later = single_shot(self._on_failed_to_start)
        process = self._process = qt.QProcess()
        process.setProcessEnvironment(worker_environment(package_folder))
        # `python -m` puts the working directory before everything else: a torch.py lying there would be imported.
        process.setWorkingDirectory(str(package_folder))
        process.connect("readyReadStandardOutput()", self._read_output)
        process.connect("readyReadStandardError()", self._read_errors)
        process.connect("errorOccurred(QProcess::ProcessError)", self._on_error)
        process.connect("finished(int,QProcess::ExitStatus)", self._on_finished)

    @property
    def program(self) -> str:
        """The program that runs it."""
        return self._python[0]

    def start(self) -> None:
        """Starts it; whether that worked shows later, in ``ended``."""
        self._process.start(self.program, [*self._python[1:], "-m", "segmamba.worker"])
        self.send({"id": HELLO, "do": "ping"})

    def send(self, message: dict[str, Any]) -> None:
        """Hands a message to the process; Qt keeps it until the process takes it, and it never blocks."""
        if not self._over:
            # ASCII alone (json escapes the rest) reads the same under any encoding.
            self._process.write(json.dumps(message, default=str).encode("ascii") + b"\n")

    def kill(self) -> None:
        """Ends it at once; ``ended`` follows."""
        if self._over:
            return
        # In Slicer the program may be a launcher, which dies alone: the worker itself is ended by the number that it
        # gave, while the launcher still waits for it and the number can belong to nobody else.
        number = self.about.get("pid")
        if isinstance(number, int) and number > 1 and number != int(self._process.processId()):
            with contextlib.suppress(OSError):
                os.kill(number, getattr(signal, "SIGKILL", signal.SIGTERM))
        self._process.kill()

    def discard(self, wait_ms: int = 3000) -> None:
        """Ends it, waits until it is gone, and says nothing more."""
        self.received, self.written, self.ended = Signal(), Signal(), Signal()
        if not self._over:
            self.kill()
            self._over = True
            self._process.waitForFinished(wait_ms)
            self._let_go()

    def _read_output(self) -> None:
        for line in self._output.feed(from_qt(self._process.readAllStandardOutput())):
            self._take(line)

    def _read_errors(self) -> None:
        for line in self._errors.feed(from_qt(self._process.readAllStandardError())):
            self._note(line)

    def _take(self, line: str) -> None:
        try:
            message = json.loads(line)
        except (ValueError, RecursionError):
            message = None
        if not isinstance(message, dict) or not isinstance(message.get("event"), str):
            self._note(line)
            return
        self.ready = True
        if message.get("id") == HELLO and message["event"] == "done":
            self.about = message
        self.received.emit(message)

    def _note(self, line: str) -> None:
        self.tail.append(line)
        self.written.emit(line)

    def _on_error(self, error: Any) -> None:
        if error == qt.QProcess.FailedToStart and not self._over:
            # On Windows this comes from within start(): later, it is the same on every system.
            self._later.start(0)

    def _on_failed_to_start(self) -> None:
        if shutil.which(self.program) is None:
            reason = _("there is no such program")
        elif not self._package_folder.is_dir():
            reason = _("there is no folder {folder}").format(folder=self._package_folder)
        else:
            reason = str(self._process.errorString()).rstrip(".")
        self._end(End(started=False, ready=False, reason=reason))

    def _on_finished(self, code: int, status: Any) -> None:
        if self._over:
            return
        # What it wrote last may not have been announced yet, and its end without an end of line never is.
        self._read_output()
        self._read_errors()
        for line in self._output.end():
            self._take(line)
        for line in self._errors.end():
            self._note(line)
        crashed = status == qt.QProcess.CrashExit
        self._end(End(True, self.ready, int(code), crashed, "", tuple(self.tail)))

    def _end(self, end: End) -> None:
        if not self._over:
            self._over = True
            self._let_go()
            self.ended.emit(end)

    def _let_go(self) -> None:
        """Qt would keep the process, and all that listens to it, as long as the application lives."""
        let_go(self._later)
        # Not disconnected: this may be called by one of its signals, whose list of listeners Qt's binding goes through.
        self._process.blockSignals(True)
        self._process.deleteLater()
