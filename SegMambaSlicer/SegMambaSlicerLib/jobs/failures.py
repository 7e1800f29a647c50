"""What a worker's end means for the job that it was doing, in one sentence."""

from __future__ import annotations

from slicer.i18n import tr as _

from .worker_process import End

__all__ = ["failure", "hang"]

LINE_LENGTH = 300


def failure(end: End, program: str) -> tuple[str, str, str]:
    """Kind, sentence and details for a worker that ended before its job did."""
    if not end.started:
        sentence = _("The worker process could not be started with {program}: {reason}.")
        return "start", sentence.format(program=program, reason=end.reason), ""
    how = _("ended by the system") if end.crashed else _("exit code {code}").format(code=end.code)
    last = end.lines[-1].strip()[:LINE_LENGTH] if end.lines else _("it wrote nothing")
    if end.ready:
        kind, sentence = "crash", _("The worker process ended unexpectedly ({how}): {last}")
    else:
        kind, sentence = "start", _("The worker process ended before it was ready ({how}): {last}")
    return kind, sentence.format(how=how, last=last), "\n".join(end.lines)


def hang(seconds: float, lines: list[str]) -> tuple[str, str, str]:
    """Kind, sentence and details for a worker that answers no more."""
    sentence = _("The worker process did not answer for {seconds} seconds and was ended.")
    return "hang", sentence.format(seconds=round(seconds)), "\n".join(lines)
