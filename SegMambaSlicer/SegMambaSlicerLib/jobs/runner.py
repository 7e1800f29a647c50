"""Runs jobs one after another in a warm worker process, and mends what happens to it."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import qt
from slicer.i18n import tr as _

from ..signal import Signal
from .estimate import Estimates
from .failures import failure, hang, unprepared
from .job import Job
from .phases import phase
from .temporary import remove_leftovers
from .timers import let_go, single_shot
from .waiting import look, quitting, wait_until
from .watch import HangWatch
from .worker_process import End, WorkerProcess

__all__ = ["Runner"]

_log = logging.getLogger(__name__)

# A cancelled job has this long to end by itself before its worker is killed, and the worker this long to be gone.
CANCEL_MS, GONE_MS = 700, 200
# The next worker waits this long for a killed one that may still hold a graphics card's memory.
HOLD_MS = 5000
ANSWER_SECONDS = 30.0


class Runner:
    """A queue of jobs and the worker process that does them.

    The worker is started by the first job or by :meth:`warm` and kept for the next ones.  Everything happens on the
    application's event loop; nothing blocks but :meth:`wait` and, for a moment, :meth:`shut_down`.

    Args:
        python: program and leading arguments that run Python.
        package_folder: where the package ``segmamba`` lies.
        hang_seconds: of silence during a job, after which the worker is asked whether it lives; until the job's first
            message the time is twice as long.
        answer_seconds: that it may take to answer.
        spare: whether a worker that had to be killed is followed by another at once, warm for the same model, instead
            of with the next job.
        estimates: what is known of how long jobs take; the user's own when None.

    Attributes:
        queue: the jobs that wait.
        running: the job that runs, or None.
        devices: the worker's ``devices`` once it has been warmed: ``[{"name": ..., "title": ...}, ...]``.
        changed: emits nothing when the queue, the running job or a job's state changes.
        warmed: emits the worker's answer to :meth:`warm`, a ``done`` or a ``failed`` message.
        logged: emits each line that the worker writes, whatever it does.
    """

    def __init__(
        self,
        python: Sequence[str],
        package_folder: Path,
        *,
        hang_seconds: float = 120.0,
        answer_seconds: float = ANSWER_SECONDS,
        spare: bool = True,
        estimates: Estimates | None = None,
    ) -> None:
        self.queue: list[Job] = []
        self.running: Job | None = None
        self.devices: list[dict[str, str]] = []
        self.changed, self.warmed, self.logged = Signal(), Signal(), Signal()
        self._python, self._package_folder, self._with_spare = list(python), Path(package_folder), spare
        self._estimates = Estimates() if estimates is None else estimates
        self._watch = HangWatch(hang_seconds, answer_seconds, self._ask, self._on_hang)
        self._cancel_timer, self._gone_timer = single_shot(self._on_cancel_timeout), single_shot(self._on_gone)
        self._next_timer, self._hold_timer = single_shot(self._advance), single_shot(self._on_held)
        self._worker: WorkerProcess | None = None
        self._dying: list[WorkerProcess] = []
        self._holding: list[WorkerProcess] = []  # of these: those whose memory the next worker waits for
        self._warm_later = False
        self._verdict: tuple | None = None  # job, state, kind, error, details: waits for the killed worker's end
        self._warming: dict[str, Any] = {}
        self._untidy: list[Job] = []  # ended, with a folder that could not be removed yet
        self._count = 0
        self._id: str | None = None  # of the running job's request, once it is sent
        self._fresh = self._heard_job = False
        self._began, self._eta = 0.0, None
        self._closed = False
        remove_leftovers()
        application = qt.QCoreApplication.instance()
        if application is not None:
            application.connect("aboutToQuit()", self.shut_down)
        quitting.connect(self.shut_down)

    @property
    def idle(self) -> bool:
        """Whether nothing runs and nothing waits."""
        return self.running is None and not self.queue

    @property
    def is_warm(self) -> bool:
        """Whether a worker process stands ready or is starting."""
        return self._worker is not None or self._warm_later

    def submit(self, job: Job) -> Job:
        """Puts a job at the end of the queue; it starts at once when nothing else runs."""
        if self._closed:
            raise RuntimeError("the runner has been shut down")
        if job.state != "queued" or job in self.queue:
            raise ValueError(f"the job {job.title!r} has been submitted before")
        self.queue.append(job)
        self._advance()
        self.changed.emit()
        return job

    def wait(self, job: Job, timeout_s: float | None = None) -> Job:
        """Returns when the job has ended, or after ``timeout_s`` seconds; the application lives on meanwhile.

        Raises:
            RuntimeError: the application quits; the runner has been shut down.
        """
        if not job.ended and job is not self.running and job not in self.queue:
            raise ValueError(f"the job {job.title!r} has not been submitted")
        wait_until(lambda: job.ended, timeout_s)
        return job

    def cancel(self, job: Job) -> None:
        """Cancels a job: one that waits at once, one that runs within a second; one that has ended is left alone."""
        if job in self.queue:
            self.queue.remove(job)
            self._end(job, "cancelled")
        elif job is self.running and job.state == "running":
            job.state = "cancelling"
            self.changed.emit()
            if self._worker is None or self._id is None:
                self._end(job, "cancelled")
            else:
                self._worker.send({"id": self._id, "do": "cancel"})
                self._cancel_timer.start(CANCEL_MS)

    def cancel_all(self) -> None:
        """Cancels every job; the last in the queue first, so that none starts meanwhile."""
        for job in [*reversed(self.queue), *filter(None, [self.running])]:
            self.cancel(job)

    def warm(self, model: str | None = None, device: str = "auto", precision: str = "auto") -> None:
        """Makes the worker ready ahead of the click: imports, kernels, and the model where one is named."""
        if self._closed:
            return
        self._warming = {"model": model, "device": device, "precision": precision}
        if self.running is None:
            self._send_warm()

    def free(self) -> None:
        """Ends an idle worker, so that the memory that it holds is free; the next job starts another."""
        self._warm_later = False
        if self.running is None and self._worker is not None:
            self._let_die(self._worker)

    def shut_down(self) -> None:
        """Cancels everything, ends the worker and removes every temporary file; the runner is of no use afterwards."""
        if self._closed:
            return
        self._closed = True
        self._warm_later = False
        workers, self._worker = [*self._dying, *filter(None, [self._worker])], None
        self._dying, self._holding = [], []
        for worker in workers:
            worker.discard()
        for job in [*reversed(self.queue), *filter(None, [self.running])]:
            self._end(job, "cancelled")
        self._tidy()
        self._watch.close()
        for timer in (self._cancel_timer, self._gone_timer, self._next_timer, self._hold_timer):
            let_go(timer)
        quitting.disconnect(self.shut_down)
        application = qt.QCoreApplication.instance()
        if application is not None:
            application.disconnect("aboutToQuit()", self.shut_down)

    # Starting

    def _advance(self) -> None:
        """Starts the next job when none runs."""
        if self.queue and self.running is None and not self._holding and not self._closed:
            self._begin(self.queue.pop(0))

    def _begin(self, job: Job) -> None:
        self.running, job.state = job, "running"
        self._id, self._began = None, time.monotonic()
        self.changed.emit()
        if job.prepare is not None and job.state == "running":
            job.progressed.emit(0.0, None, phase("Preparing"))
            try:
                job.prepare(job)
            except Exception as error:
                if job is self.running:  # else it was cancelled meanwhile, and its folder is gone
                    self._end(job, "failed", *unprepared(job.title, error))
        if job is self.running:
            self._hand_over(job)

    def _hand_over(self, job: Job) -> None:
        self._fresh = self._worker is None
        self._heard_job = False
        self._id = self._next_id()
        self._warming = {name: job.request.get(name) for name in ("model", "device", "precision")}
        if job.request.get("keep_model") is False:
            del self._warming["model"]
        self._eta = self._estimates.job_seconds(job.request, job.windows, loaded=not self._fresh)
        self._ensure_worker().send({**job.request, "id": self._id, "do": "segment"})
        self._watch.start()
        job.progressed.emit(0.0, self._seconds_left(), phase("Starting"))

    def _ensure_worker(self) -> WorkerProcess:
        if self._worker is None:
            worker = self._worker = WorkerProcess(self._python, self._package_folder)
            worker.received.connect(lambda message: self._on_message(worker, message))
            worker.written.connect(lambda line: self._on_line(worker, line))
            worker.ended.connect(lambda end: self._on_end(worker, end))
            worker.start()
        return self._worker

    def _send_warm(self) -> None:
        self._warm_later = bool(self._holding) and self._worker is None
        if self._warm_later:
            return
        request = {name: value for name, value in self._warming.items() if value is not None}
        self._ensure_worker().send({**request, "id": f"warm-{self._next_id()}", "do": "warm"})

    def _next_id(self) -> str:
        self._count += 1
        return str(self._count)

    # Listening

    def _on_line(self, worker: WorkerProcess, line: str) -> None:
        if worker is not self._worker:
            return
        self._watch.touch()
        if self.running is not None:
            self.running.add_line(line)
        self.logged.emit(line)

    def _on_message(self, worker: WorkerProcess, message: dict[str, Any]) -> None:
        if worker is not self._worker:
            return
        self._watch.touch()
        event, number, job = message["event"], message.get("id"), self.running
        if event == "log":
            self._on_line(worker, str(message.get("message", "")))
        elif str(number).startswith("warm-") and event in ("done", "failed"):
            self._on_warmed(message)
        elif job is not None and number is not None and number == self._id:
            if not self._heard_job:
                self._heard_job = True
                self._watch.begun()
            self._on_job_message(job, message)

    def _on_warmed(self, message: dict[str, Any]) -> None:
        if isinstance(message.get("devices"), list):
            self.devices = message["devices"]
        if message["event"] == "failed":
            _log.warning("The worker could not be warmed: %s", message.get("message"))
        self.warmed.emit(message)

    def _on_job_message(self, job: Job, message: dict[str, Any]) -> None:
        event = message["event"]
        if event == "progress":
            left = _number(message.get("eta_s"))
            fraction = min(1.0, max(0.0, _number(message.get("fraction")) or 0.0))
            if job.state == "running":
                name = phase(str(message.get("message") or ""))
                job.progressed.emit(fraction, self._seconds_left() if left is None else left, name)
        elif job.state == "cancelling" and event in ("done", "failed"):
            self._end(job, "cancelled")  # also when it was done just before it heard of it: it was not wanted any more
        elif event == "done":
            job.result, seconds = message, time.monotonic() - self._began
            self._end(job, "done")
            self._estimates.learn(job.request, message, seconds)  # last: what fails here is no business of the job
        elif event == "failed" and message.get("kind") == "cancelled":
            self._end(job, "cancelled")
        elif event == "failed":
            text = str(message.get("message") or _("The worker gave no reason."))
            details = str(message.get("traceback") or "")
            if details:
                _log.error("%s\n%s", text, details)
            kind = str(message.get("kind") or "defect")
            if kind == "defect":  # after a fault on the graphics card, nothing works in this process any more
                self._let_die(self._worker)
            self._end(job, "failed", kind, text, details)
            if kind == "defect":
                self._start_spare()

    def _on_end(self, worker: WorkerProcess, end: End) -> None:
        if worker in self._dying:
            self._dying.remove(worker)
            self._tidy()
            if worker in self._holding:
                self._holding.remove(worker)
            if self._verdict is not None:
                self._on_gone()
            if not self._holding:
                self._on_held()
            return
        if worker is not self._worker:
            return
        self._worker = None
        job = self.running
        if job is None:
            _log.warning("The idle worker ended: %s", failure(end, worker.program)[1])
        elif job.state == "cancelling":
            self._end(job, "cancelled")
            self._start_spare()
        elif not self._fresh and not self._heard_job and end.started:
            # It was gone, or going, before the job came to it: none of the job's doing, and nothing is done yet.
            _log.warning("The worker had ended before the job came to it; it starts again in a new one")
            self._hand_over(job)
        else:
            self._end(job, "failed", *failure(end, worker.program))
            if end.ready:
                self._start_spare()

    # Ending

    def _ask(self) -> None:
        if self._worker is not None:
            self._worker.send({"id": "alive", "do": "ping"})

    def _on_hang(self) -> None:
        if self.running is not None and self._worker is not None and self._verdict is None:
            self._kill_for("failed", *hang(self._watch.silence, list(self._worker.tail)))

    def _on_cancel_timeout(self) -> None:
        if self.running is not None and self._worker is not None and self.running.state == "cancelling":
            self._kill_for("cancelled")

    def _kill_for(self, *verdict: str) -> None:
        """Ends the running job by ending its worker, whose memory shall be free before another starts."""
        self._verdict = (self.running, *verdict)
        self._gone_timer.start(GONE_MS)
        self._let_die(self._worker)

    def _let_die(self, worker: WorkerProcess) -> None:
        self._worker = None
        self._dying.append(worker)
        if self._on_card():
            self._holding.append(worker)
            self._hold_timer.start(HOLD_MS)
        worker.kill()

    def _on_card(self) -> bool:
        """Whether the worker may hold a graphics card's memory, by what it did last."""
        device = self._warming.get("device") or "auto"
        if device == "auto" and self.devices:
            return any(known.get("name") != "cpu" for known in self.devices)
        return device != "cpu"

    def _on_held(self) -> None:
        """Killed workers are gone with their memory, or have taken too long about it: on with what waits."""
        self._hold_timer.stop()
        self._holding.clear()
        self._advance()
        if self._warm_later:
            self._warm_later = False
            self._start_spare()

    def _on_gone(self) -> None:
        """The killed worker is gone, or takes its time about it, for which the user shall not wait."""
        verdict, self._verdict = self._verdict, None
        self._gone_timer.stop()
        if verdict is not None and verdict[0] is self.running:
            self._end(*verdict)
        self._start_spare()

    def _start_spare(self) -> None:
        if self._with_spare and self.idle and self._worker is None and not self._closed:
            self._send_warm()

    def _end(self, job: Job, state: str, kind: str | None = None, error: str | None = None, details: str = "") -> None:
        """The one place where a job ends."""
        if job is self.running:
            self.running = self._id = None
            self._watch.stop()
            self._cancel_timer.stop()
        elif job in self.queue:
            self.queue.remove(job)
        job.state, job.kind, job.error, job.details = state, kind, error, details
        job.finished.emit(job)
        if not job.remove_folder():
            self._untidy.append(job)
        self.changed.emit()
        look()
        if self.queue and not self._closed:
            self._next_timer.start(0)  # not at once: a queue of jobs that fail as they start would be a deep recursion

    def _tidy(self) -> None:
        self._untidy = [job for job in self._untidy if not job.remove_folder()]

    def _seconds_left(self) -> float | None:
        """By what was learned; None where nothing was, or when it was wrong."""
        left = None if self._eta is None else self._eta - (time.monotonic() - self._began)
        return left if left is not None and left > 0 else None


def _number(value: Any) -> float | None:
    """A finite number, or None for anything else that a line may hold."""
    good = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if good else None
