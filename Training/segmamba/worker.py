"""``python -m segmamba.worker``: the process that segments for 3D Slicer, warm from one job to the next.

It speaks the protocol of :mod:`segmamba.serving.protocol` on its standard input and output, and ends with its parent.
A thread reads the input, so that a job can be cancelled and ``ping`` answered at any time; jobs run in the main thread.
"""

from __future__ import annotations

import logging
import os
import platform
import re
import sys
import threading
import traceback
from dataclasses import asdict

from segmamba import __version__
from segmamba.errors import OutOfMemory, UserError
from segmamba.serving.channel import Channel
from segmamba.serving.ending import end, end_on_signals
from segmamba.serving.protocol import (
    LINE_LIMIT,
    LOADING,
    Cancel,
    Ping,
    Pong,
    Quit,
    Refused,
    Request,
    Segment,
    Segmented,
    Warm,
    Warmed,
    parse,
)
from segmamba.serving.queue import Cancelled, Job, Queue

_log = logging.getLogger(__name__)


class Worker:
    """One process, one parent."""

    def __init__(self) -> None:
        self._channel = Channel(lost=end)
        self._queue = Queue()
        self._workshop = None

    def run(self) -> None:
        """Serves until the process ends."""
        package = logging.getLogger("segmamba")
        package.setLevel(logging.INFO)
        package.addHandler(_Forward(self._channel, self._queue))
        package.propagate = False
        threading.Thread(target=self._listen, name="requests", daemon=True).start()
        while True:
            self._do(self._queue.take())

    # ---- the thread that reads

    def _listen(self) -> None:
        try:
            for line in self._channel.lines():
                self._hear(line)
        except BaseException:  # without this thread nobody could stop the process
            traceback.print_exc()
            end(1)
        end()

    def _hear(self, line: bytes | None) -> None:
        try:
            if line is None:
                raise Refused(f"the line is longer than {LINE_LIMIT} bytes; send volumes through files")
            self._accept(parse(line))
        except Refused as error:
            # Under the id of a job that is not over, it would end that job for the parent.
            id = None if error.id is None or self._queue.holds(error.id) else error.id
            self._channel.send(id, "failed", kind="input", message=str(error))

    def _accept(self, request: Request) -> None:
        if isinstance(request, Ping):
            # As far as it is imported: `import` here would wait for the main thread's.
            torch = getattr(sys.modules.get("torch"), "__version__", None)
            pong = Pong(os.getpid(), __version__, platform.python_version(), torch and str(torch))
            self._channel.send(request.id, "done", **asdict(pong))
        elif isinstance(request, Cancel):
            found = self._queue.cancel(request.id)
            if found == "waiting":
                self._channel.send(request.id, "failed", **_failure(Cancelled()))
            elif found == "unknown":
                message = "there is no such job to cancel, it may just have ended"
                self._channel.send(request.id, "log", level="INFO", message=message)
        elif isinstance(request, Quit):
            self._channel.send(request.id, "done")
            end()
        elif not self._queue.put(request):
            message = f"request {request.id!r}: a job of this id is not over yet; give every job an id of its own"
            raise Refused(message, request.id)

    # ---- the main thread

    def _do(self, job: Job) -> None:
        keep = isinstance(job.request, Warm) or job.request.keep_model
        try:
            event, values = "done", asdict(self._work(job))
        except Exception as error:
            event, values = "failed", _failure(error)
            # Where memory is full, others need it; where something is broken, it may be what is kept.
            keep = keep and values["kind"] in ("input", "cancelled")
        # Here, not above: an error's traceback holds on to the network.
        if not keep and self._workshop is not None:
            try:
                self._workshop.free()
            except Exception:  # a broken driver; the job's end is told all the same
                traceback.print_exc()
        self._queue.finished()
        self._channel.send(job.id, event, **values)

    def _work(self, job: Job) -> Warmed | Segmented:
        job.check()

        def tell(fraction: float, left: float | None, phase: str) -> None:
            left = None if left is None else round(left, 1)
            self._channel.send(job.id, "progress", fraction=round(fraction, 4), eta_s=left, message=phase)

        if self._workshop is None:
            tell(0.0, None, LOADING)
            from segmamba.serving.workshop import Workshop

            self._workshop = Workshop()
            job.check()
        if isinstance(job.request, Warm):
            return self._workshop.warm(job.request, job.check)
        return self._workshop.segment(job.request, job.check, tell)


def _failure(error: Exception) -> dict[str, str]:
    """The fields of ``failed``."""
    if isinstance(error, Cancelled):
        return {"kind": "cancelled", "message": "the job was cancelled"}
    if isinstance(error, UserError):
        kind = "memory" if isinstance(error, OutOfMemory) else "input"
        return {"kind": kind, "message": _as_fields(str(error))}
    text = "".join(traceback.format_exception(error))
    sys.stderr.write(text)
    message = f"the program has a defect: {type(error).__name__}: {' '.join(str(error).split())}"
    return {"kind": "defect", "message": message, "traceback": text}


class _Forward(logging.Handler):
    """Sends the package's log to the parent."""

    def __init__(self, channel: Channel, queue: Queue) -> None:
        super().__init__(logging.INFO)
        self._channel, self._queue = channel, queue

    def emit(self, record: logging.LogRecord) -> None:
        level = "ERROR" if record.levelno >= logging.ERROR else "INFO"
        level = "WARNING" if record.levelno == logging.WARNING else level
        self._channel.send(self._queue.current, "log", level=level, message=record.getMessage())


def _as_fields(message: str) -> str:
    """One line, in which options of the command line are called as the fields here: ``device``, not ``--device``."""
    fields = "|".join(Segment.__dataclass_fields__)
    return re.sub(rf"--({fields})\b", r"\1", " ".join(message.split()))


def main() -> None:
    """Runs a worker until its input ends."""
    worker = Worker()
    end_on_signals()
    worker.run()


if __name__ == "__main__":
    main()
