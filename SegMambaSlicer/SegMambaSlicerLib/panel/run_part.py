"""The panel's part with the button: Segment turns into Cancel, with progress and the time that is left."""

from __future__ import annotations

from collections.abc import Callable
from html import escape

from slicer.i18n import tr as _

from .bindings import enable
from .context import Context

__all__ = ["RunPart", "time_left"]


class RunPart:
    """The button, the bar and the sentence below it.

    Args:
        context: shared by the parts.
        start: called when Segment or, while something runs, Add to queue is pressed.
    """

    def __init__(self, context: Context, start: Callable[[], None]):
        self._context = context
        self._start = start
        self._total = 0  # cases of the queue that is worked on, those that are done included
        context.ui.segmentButton.connect("clicked()", context.guarded(self._pressed))
        context.ui.queueButton.connect("clicked()", context.guarded(self._start))

    def refresh(self, reason: str | None, model: str) -> None:
        """Shows whether it runs.

        Args:
            reason: why nothing can be segmented now; None: it can.
            model: the name of the chosen one.
        """
        ui, runs = self._context.ui, self._context.logic.runs
        button = ui.segmentButton
        usual = _("Takes effect within a second.") if runs else _("Segment with {model}.").format(model=model)
        button.setProperty("usualToolTip", usual)
        if not runs:
            self._total = 0
            button.setText(_("Segment"))
            enable(button, reason)
        elif all(run.state == "cancelling" for run in runs):
            button.setText(_("Cancelling..."))
            enable(button, _("It is being cancelled."))
        else:
            button.setText(_("Cancel"))
            enable(button, None)
        ui.queueButton.setVisible(bool(runs))
        enable(ui.queueButton, reason if runs else _("Nothing is running; press Segment."))
        ui.progressBar.setVisible(bool(runs))
        if runs and self._total == 0:
            ui.progressBar.setValue(0)
        self._total = max(self._total, len(runs))

    def on_progress(self, fraction: float, eta_s: float | None, phase: str) -> None:
        """Shows how far the running case is; the bar spans all cases of the queue."""
        done = max(0, self._total - len(self._context.logic.runs))
        total = max(1, self._total)
        self._context.ui.progressBar.setValue(round(1000 * (done + fraction) / total))
        parts = [phase]
        if total > 1:
            parts.insert(0, _("Case {number} of {count}").format(number=done + 1, count=total))
        if 0 < fraction < 1:
            parts.append(f"{fraction:.0%}")
        if eta_s is not None:
            parts.append(time_left(eta_s))
        self._context.ui.statusLabel.setText(escape(" · ".join(parts)))

    def _pressed(self) -> None:
        if self._context.logic.busy:
            self._context.ui.statusLabel.setText(escape(_("Cancelling...")))
            self._context.logic.cancel()
        else:
            self._start()


def time_left(seconds: float) -> str:
    """About how long it takes, in words: no more exact than it is known.

    Example:
        >>> time_left(12.3), time_left(130)
        ('about 12 s left', 'about 2 min left')
    """
    if seconds < 1:
        return _("almost done")
    if seconds < 90:
        return _("about {count} s left").format(count=round(seconds))
    return _("about {count} min left").format(count=round(seconds / 60))
