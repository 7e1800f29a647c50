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
from .nodes import exchange, geometry, sequences
from .nodes import roi as rois
from .nodes.inputs import check_inputs
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
        replace_edited: whether edited segments of ``output`` are replaced; False: they stay, the new ones come beside.
        title: what the user sees in the log; the first volume's name if empty.
        item: of a sequence that the volumes show while they are read; its result is kept as the same item.
        before: the run of the sequence's item before this one, whose segmentation takes this one's, too.

    Attributes:
        job: what the worker does of it.
        segmentation, table, probabilities, uncertainty: the nodes, once it is done.
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
        self.bundle, self.volumes, self.options = bundle, list(volumes), options
        self.output, self.roi, self.replace_edited = output, roi, replace_edited
        self.segmentation: Any = None
        self.table: Any = None
        self.probabilities: list[Any] = []
        self.uncertainty: Any = None
        self._trouble: tuple[str, str] | None = None  # of placing: sentence and traceback
        self.progressed, self.finished = Signal(), Signal()
        check_count(self.volumes, bundle.metadata)
        found = check_inputs(self.volumes, bundle.metadata)
        if found and found[0].blocking:  # refused at once, and not when its turn comes
            raise UserError(found[0].message)
        self.warnings = [warning.message for warning in found]
        box = rois.voxel_ranges(roi, self.volumes[0]) if roi is not None else None
        placing.check_output(output, bundle, replace_edited)
        request = {"model": str(bundle.path), **options.request()}
        windows = _windows(self.volumes[0], box, bundle.metadata, options.overlap)
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
        output = {"labels": str(folder / "labels.npy")}
        if self.bundle.metadata.regions:
            output["regions"] = str(folder / "regions.npy")
        for name in ("probabilities", "uncertainty"):
            if getattr(self.options, name):
                output[name] = str(folder / f"{name}.npy")
        box = rois.voxel_ranges(self.roi, reference) if self.roi is not None else None
        job.request.update(images=images, output=output, roi=box)

    def _on_finished(self, job: Job) -> None:
        if job.state == "done":
            self._guard(self._place)
        self.finished.emit(self)

    def _place(self) -> None:
        output = self.before.segmentation if self.before is not None else self.output
        with self._shown():
            placing.place(self, output)
            if self.item is not None:
                sequences.keep(self.item, self.segmentation)

    def _shown(self) -> contextlib.AbstractContextManager:
        return contextlib.nullcontext() if self.item is None else sequences.shown(self.item)

    def _guard(self, action: Callable[[], None]) -> None:
        try:
            action()
        except UserError as error:
            self._trouble = str(error), ""
        except Exception as error:
            logger.exception("the result of %s could not be placed", self.title)
            sentence = _("The result could not be brought into the scene: {error}.").format(error=error)
            self._trouble = sentence, traceback.format_exc()


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


def _windows(volume: Any, box: Any, metadata: Any, overlap: float) -> int:
    size = geometry.size(volume) if box is None else [stop - start for start, stop in box]
    return count_windows(size, metadata.patch, overlap, volume.GetSpacing(), metadata.spacing)
