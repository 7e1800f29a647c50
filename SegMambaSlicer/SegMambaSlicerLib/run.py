"""One case on its way: from nodes to the worker and back into the scene."""

from __future__ import annotations

import contextlib
import logging
import traceback
from collections.abc import Callable
from typing import Any

import slicer
from slicer.i18n import tr as _

from segmamba.bundle import Bundle
from segmamba.errors import UserError

from . import placing
from .jobs import Job, count_windows
from .nodes import exchange, geometry, sequences, undo
from .nodes import roi as rois
from .nodes.inputs import check_inputs
from .nodes.snapshot import Snapshot
from .options import Options
from .signal import Signal

__all__ = ["Run"]

logger = logging.getLogger(__name__)


class Run:
    """The segmentation of one case, from the request to the nodes.

    Args:
        bundle: the model, opened.
        volumes: one scalar volume for each of its channels, in its order.
        options: how.
        output: segmentation that takes the segments; None: a new one.
        roi: markups ROI that limits the work; None: the whole of the first volume.
        replace_edited: whether segments of ``output`` that are edited by now are replaced; False: they stay, the new
            ones come beside.  What is edited from now on stays in any case.
        title: what the user sees in the log; the first volume's name if empty.
        item: of a sequence that the volumes show while they are read; its result is kept as the same item.
        before: the run of the sequence's item before this one, whose segmentation takes this one's, too.

    Attributes:
        job: what the worker does of it.
        segmentation, table, probabilities, uncertainty: the nodes, once it is done; of a sequence's item those that
            show it and the other items.
        snapshot: where the first volume lay when it was given to the worker.
        agreed: segments that are replaced though they were edited: fingerprint by id.
        warnings: sentences about the inputs and from the worker.
        error: one sentence if it failed; ``details``: what belongs to it.
        progressed: emits (fraction, seconds left or None, phase).
        finished: emits this run once it has ended, however it ended.

    Raises:
        UserError: the volumes do not fit the model, or cannot be used; nothing was started.
    """

    def __init__(
        self,
        bundle: Bundle,
        volumes: list[Any],
        options: Options,
        output: Any = None,
        roi: Any = None,
        replace_edited: bool | None = None,
        title: str = "",
        item: sequences.SequenceItem | None = None,
        before: Run | None = None,
    ):
        self.item, self.before = item, before
        self._outside = False  # of the sequence: its result is no item of it
        self.bundle, self.volumes, self.options = bundle, list(volumes), options
        self.output, self.roi, self.replace_edited = output, roi, replace_edited
        self.segmentation: Any = None
        self.table: Any = None
        self.probabilities: list[Any] = []
        self.uncertainty: Any = None
        self._trouble: tuple[str, str, str] | None = None  # of placing: sentence, traceback, kind
        self.snapshot: Snapshot | None = None
        self.progressed, self.finished = Signal(), Signal()
        check_count(self.volumes, bundle.metadata)
        check_kind(output, "vtkMRMLSegmentationNode", _("segmentation"), "output")
        check_kind(roi, "vtkMRMLMarkupsROINode", _("markups ROI"), "roi")
        with self._shown():
            found = check_inputs(self.volumes, bundle.metadata)
            if found and found[0].blocking:  # refused at once, and not when its turn comes
                raise UserError(found[0].message)
            box = self._box()
            placing.check_output(output, bundle, replace_edited, self.volumes[0])
            windows = _windows(self.volumes[0], box, bundle.metadata, options.overlap)
        self.warnings = [warning.message for warning in found]
        self.agreed = placing.agreed(output, bundle) if replace_edited else {}
        request = {"model": str(bundle.path), **options.request()}
        self.job = Job(title or self.volumes[0].GetName(), request, prepare=self._prepare, windows=windows)
        self.job.progressed.connect(self.progressed.emit)
        self.job.finished.connect(self._on_finished)

    @property
    def title(self) -> str:
        """What the user sees."""
        return self.job.title

    @property
    def state(self) -> str:
        """``queued``, ``running``, ``cancelling``, ``done``, ``failed`` or ``cancelled``."""
        return "failed" if self._trouble is not None else self.job.state

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.job.ended

    @property
    def error(self) -> str | None:
        """What went wrong, one sentence."""
        return self._trouble[0] if self._trouble is not None else self.job.error

    @property
    def details(self) -> str:
        """What belongs to the error beyond the sentence."""
        return self._trouble[1] if self._trouble is not None else self.job.details

    @property
    def kind(self) -> str | None:
        """Of a failure: as a job's; ``input`` also where the result could not be placed as asked."""
        return self._trouble[2] if self._trouble is not None else self.job.kind

    @property
    def earlier(self) -> Run | None:
        """The last run of the sequence before this one that has a result."""
        run = self.before
        while run is not None and (run._outside or run.segmentation is None or run.segmentation.GetScene() is None):
            run = run.before
        return run

    @property
    def result(self) -> dict[str, Any]:
        """The worker's account: seconds, device, backend and the like; empty before it is done."""
        return self.job.result or {}

    def _prepare(self, job: Job) -> None:
        """Writes the inputs; called when its turn has come."""
        for volume in self.volumes:
            if volume.GetScene() is None:
                raise UserError(_("Volume {name} was removed before its turn came.").format(name=volume.GetName()))
        folder = job.folder
        reference = self.volumes[0]
        with self._shown():
            images = [exchange.write_volume(v, folder, n, reference) for n, v in enumerate(self.volumes)]
            box = self._box()
            self.snapshot = Snapshot.of(reference)
        output = {"labels": str(folder / "labels.npy")}
        if self.bundle.metadata.regions:
            output["regions"] = str(folder / "regions.npy")
        for name in ("probabilities", "uncertainty"):
            if getattr(self.options, name):
                output[name] = str(folder / f"{name}.npy")
        job.request.update(images=images, output=output, roi=box)

    def _on_finished(self, job: Job) -> None:
        if job.state == "done":
            self._guard(self._place)
        self.finished.emit(self)

    def _place(self) -> None:
        if self.item is None:
            placing.place(self, self.output)
            return
        try:
            sequences.check(self.item)
        except UserError as error:
            # What its volumes show now is something else.
            self.warnings.append(f"{error} " + _("This result is in a new segmentation, outside the sequence."))
            self._outside = True
            placing.place(self, None, moved=True)
            return
        earlier = self.earlier
        with self._shown():
            placing.place(self, earlier.segmentation if earlier is not None else self.output)
            nodes = [self.segmentation, self.table, *self.probabilities, self.uncertainty]
            sequences.keep_all(self.item, [node for node in nodes if node is not None])
        undo.forget(self.segmentation)  # it shows whichever item is chosen: there is no state before to go back to

    def _box(self) -> Any:
        return rois.voxel_ranges(self.roi, self.volumes[0]) if self.roi is not None else None

    def _shown(self) -> contextlib.AbstractContextManager:
        return contextlib.nullcontext() if self.item is None else sequences.shown(self.item)

    def _guard(self, action: Callable[[], None]) -> None:
        try:
            action()
        except UserError as error:
            self._trouble = str(error), "", "input"
        except Exception as error:
            logger.exception("the result of %s could not be placed", self.title)
            sentence = _("The result could not be brought into the scene: {error}.").format(error=error)
            self._trouble = sentence, traceback.format_exc(), "defect"


def check_count(volumes: list[Any], metadata: Any) -> None:
    """Raises UserError unless there is one volume for each channel."""
    names = [channel.name for channel in metadata.channels]
    if len(volumes) != len(names) or None in volumes:
        given = sum(volume is not None for volume in volumes)
        raise UserError(
            _("Model {model} needs {count} volumes, in this order: {channels}; {given} were given.").format(
                model=metadata.name, count=len(names), channels=", ".join(names), given=given
            )
        )
    for volume in volumes:
        if not isinstance(volume, slicer.vtkMRMLScalarVolumeNode):
            raise UserError(
                _("{thing} is no scalar volume node; give the nodes of the volumes, in the order {channels}.").format(
                    thing=repr(volume), channels=", ".join(names)
                )
            )


def check_kind(node: Any, of_class: str, title: str, name: str) -> None:
    """Raises UserError unless ``node`` is None or of a class; ``title``: of the class, ``name``: of the argument."""
    if node is not None and not (isinstance(node, slicer.vtkMRMLNode) and node.IsA(of_class)):
        raise UserError(
            _("{name} is {thing}, which is no {kind} node; give such a node, or None.").format(
                name=name, thing=node.GetName() if isinstance(node, slicer.vtkMRMLNode) else repr(node), kind=title
            )
        )


def _windows(volume: Any, box: Any, metadata: Any, overlap: float) -> int:
    size = geometry.size(volume) if box is None else [stop - start for start, stop in box]
    return count_windows(size, metadata.patch, overlap, volume.GetSpacing(), metadata.spacing)
