"""What the module can do, for the panel, the console and scripts alike: segment one case, or many."""

from __future__ import annotations

import contextlib
import logging
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import slicer
from slicer.i18n import tr as _

from segmamba import models
from segmamba.bundle import Bundle
from segmamba.errors import UserError

from . import packages
from .cases import cases_of
from .jobs import Runner
from .jobs.waiting import wait_until
from .options import Options
from .run import Run
from .signal import Signal

__all__ = ["Segmenting"]

logger = logging.getLogger(__name__)


class Segmenting:
    """Runs cases one after another in a warm worker process.

    Attributes:
        runs: those that have not ended.
        changed: emits nothing when a run begins, ends or changes its state, and when the devices become known.
        progressed: emits (fraction, seconds left or None, phase) of the run that is worked on.
        finished: emits each run when it has ended, however it ended.
        logged: emits a line for the log.
    """

    def __init__(self) -> None:
        self.runs: list[Run] = []
        self.changed, self.progressed, self.finished, self.logged = Signal(), Signal(), Signal(), Signal()
        self._runner: Runner | None = None
        self._devices: dict[str, str] = {}
        self._ending = False
        # Weak: an observer of the scene must not keep a logic alive that nobody uses any more.
        this = weakref.ref(self)
        self._observer = slicer.mrmlScene.AddObserver(
            slicer.vtkMRMLScene.StartCloseEvent, lambda *_arguments: this() and this().abandon()
        )

    # One case, many cases

    def segment(
        self,
        volumes: Any,
        model: str,
        output: Any = None,
        roi: Any = None,
        device: str = "auto",
        wait: bool = True,
        *,
        replace_edited: bool | None = None,
        on_progress: Callable[[float, float | None, str], None] | None = None,
        on_done: Callable[[Run], None] | None = None,
        title: str = "",
        **options: Any,
    ) -> Any:
        """Segments one case; see the module's ``SegMambaSlicerLogic.segment`` for the arguments."""
        self._check_open()
        bundle = self.find(model)
        chosen = Options(device=device, **options)
        run = Run(bundle, _as_list(volumes), chosen, output, roi, replace_edited, title)
        self._submit([run], on_progress, on_done)
        return self._wait_for([run])[0] if wait else run

    def segment_many(
        self,
        cases: Any,
        model: str,
        device: str = "auto",
        wait: bool = True,
        *,
        volumes: Sequence[Any] = (),
        roi: Any = None,
        on_progress: Callable[[float, float | None, str], None] | None = None,
        on_done: Callable[[Run], None] | None = None,
        **options: Any,
    ) -> list[Any]:
        """Segments case after case; see the module's ``SegMambaSlicerLogic.segment_many`` for the arguments."""
        self._check_open()
        bundle = self.find(model)
        chosen = Options(device=device, **options)
        found, left_out = cases_of(cases, bundle.metadata, volumes)
        runs: list[Run] = []
        first: UserError | None = None
        for case in found:
            before = runs[-1] if runs and case.item is not None else None
            try:
                run = Run(bundle, case.volumes, chosen, roi=roi, title=case.title, item=case.item, before=before)
            except UserError as error:
                if not case.optional:
                    raise
                first = first or error
                left_out.append(_("{case} was left out: {error}").format(case=case.title, error=error))
            else:
                runs.append(run)
        if first is not None and not runs:
            raise first
        for sentence in left_out:
            logger.warning(sentence)
            self.logged.emit(sentence)
        self._submit(runs, on_progress, on_done)
        return self._wait_for(runs) if wait else runs

    def cancel(self) -> None:
        """Cancels everything that runs or waits; takes effect within a second."""
        if self._runner is not None:
            self._runner.cancel_all()

    @staticmethod
    def find(model: str) -> Bundle:
        """Opens a model by its name in the catalogue, or by the path of its folder or zip.

        Raises:
            UserError: there is none; the sentence lists those there are.
        """
        if not model:
            raise UserError(_("No model is chosen; choose one, or install one from its file."))
        return models.find(model)

    # The worker

    @property
    def busy(self) -> bool:
        """Whether something runs or waits."""
        return bool(self.runs)

    @property
    def warm(self) -> bool:
        """Whether a worker process stands ready, with or without a model."""
        return self._runner is not None and self._runner.is_warm

    @property
    def devices(self) -> dict[str, str]:
        """Devices of this computer, title by name, best first; empty before a worker has said."""
        return dict(self._devices)

    def warm_up(self, model: str = "", device: str = "auto", precision: str = "auto") -> None:
        """Makes the worker ready ahead of the click, where the packages are installed; does not wait, asks nothing."""
        if packages.missing():
            return
        path = None
        if model:
            with contextlib.suppress(UserError):  # said when the user wants to segment with it
                path = str(self.find(model).path)
        self._ready().warm(path, device, precision)

    def free_memory(self) -> None:
        """Ends the waiting worker process; the next case starts another."""
        if self._runner is not None:
            self._runner.free()
        self.changed.emit()

    def abandon(self) -> None:
        """The scene is being closed: what runs for it ends, with its process and its files."""
        if self.busy:
            self.shut_down()

    def shut_down(self) -> None:
        """Ends everything, removes every temporary file; the next call starts anew."""
        runner, self._runner = self._runner, None
        self._ending = True  # who hears of the end and wants the next case to be segmented is refused
        try:
            if runner is not None:
                runner.shut_down()
        finally:
            self._ending = False
        self.runs.clear()
        self.changed.emit()

    def close(self) -> None:
        """``shut_down`` for good: the scene is observed no more."""
        self.shut_down()
        slicer.mrmlScene.RemoveObserver(self._observer)

    def _check_open(self) -> None:
        if self._ending or slicer.mrmlScene.IsClosing():
            raise UserError(_("Nothing can be segmented while the scene is closed; try again afterwards."))

    def _ready(self) -> Runner:
        if self._runner is None:
            self._runner = Runner(packages.python(), packages.package_folder())
            self._runner.changed.connect(self.changed.emit)
            self._runner.warmed.connect(self._on_warmed)
            self._runner.logged.connect(self.logged.emit)
        return self._runner

    def _submit(self, runs: Iterable[Run], on_progress: Any, on_done: Any) -> None:
        packages.ensure()
        runner = self._ready()
        for run in runs:
            run.progressed.connect(self.progressed.emit)
            if on_progress is not None:
                run.progressed.connect(on_progress)
            # First the list, so that whoever hears of the end finds it without this run.
            run.finished.connect(self._on_finished)
            if on_done is not None:
                run.finished.connect(on_done)
            self.runs.append(run)
        for run in runs:
            runner.submit(run.job)

    def _on_finished(self, run: Run) -> None:
        if run in self.runs:
            self.runs.remove(run)
        for warning in run.warnings:
            logger.warning("%s: %s", run.title, warning)
        if not self.runs and not run.options.keep_model and self._runner is not None:
            self._runner.free()
        self.finished.emit(run)
        self.changed.emit()

    def _on_warmed(self, message: dict[str, Any]) -> None:
        if self._runner is not None:
            self._devices = {d["name"]: d["title"] for d in self._runner.devices if "name" in d and "title" in d}
        self.changed.emit()

    def _wait_for(self, runs: list[Run]) -> list[Any]:
        """The runs' segmentations; raises what went wrong, first things first, once all have ended."""
        try:
            wait_until(lambda: all(run.ended for run in runs))
        except KeyboardInterrupt:
            self.cancel()
            raise
        for run in runs:
            if run.state == "cancelled":
                raise RuntimeError(_("{title}: cancelled.").format(title=run.title))
            if run.state != "done":
                kind = UserError if run.kind in ("input", "memory") else RuntimeError
                sentence = run.error if run.error else _("{title} was not segmented.").format(title=run.title)
                raise kind(f"{sentence}\n{run.details}".rstrip())
        return [run.segmentation for run in runs]


def _as_list(volumes: Any) -> list[Any]:
    return list(volumes) if isinstance(volumes, (list, tuple)) else [volumes]
