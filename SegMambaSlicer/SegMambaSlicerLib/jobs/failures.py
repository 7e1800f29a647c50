"""What a worker's end means for the job that it was doing, in one sentence."""

from __future__ import annotations

import logging
import traceback

from slicer.i18n import tr as _

from segmamba.errors import UserError

from .worker_process import End

__all__ = ["failure", "hang", "unprepared"]

_log = logging.getLogger(__name__)

LINE_LENGTH = 300
#: What the launcher PythonSlicer says of a Python that crashed; it itself ends normally, with a failure.
LAUNCHER = "exit abnormally - Report the problem."


def failure(end: End, program: str) -> tuple[str, str, str]:
    """Kind, sentence and details for a worker that ended before its job did."""
    if not end.started:
        sentence = _("The worker process could not be started with {program}: {reason}.")
        return "start", sentence.format(program=program, reason=end.reason), ""
    lines = [line for line in end.lines if not line.rstrip().endswith(LAUNCHER)]
    crashed = end.crashed or len(lines) < len(end.lines)
    how = _("ended by the system") if crashed else _("exit code {code}").format(code=end.code)
    last = lines[-1].strip()[:LINE_LENGTH] if lines else _("it wrote nothing")
    if end.ready:
        kind, sentence = "crash", _("The worker process ended unexpectedly ({how}): {last}")
    else:
        kind, sentence = "start", _("The worker process ended before it was ready ({how}): {last}")
    return kind, sentence.format(how=how, last=last), "\n".join(lines)


def hang(seconds: float, lines: list[str]) -> tuple[str, str, str]:
    """Kind, sentence and details for a worker that answers no more."""
    sentence = _("The worker process did not answer for {seconds} seconds and was ended.")
    return "hang", sentence.format(seconds=round(seconds)), "\n".join(lines)


def unprepared(title: str, error: Exception) -> tuple[str, str, str]:
    """Kind, sentence and details of a job whose inputs could not be written."""
    if isinstance(error, UserError):
        return "input", str(error), ""
    _log.error("The job %r could not be prepared", title, exc_info=error)
    details = "".join(traceback.format_exception(error))
    return "defect", _("The inputs could not be written: {error}").format(error=error), details
