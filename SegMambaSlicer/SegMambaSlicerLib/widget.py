"""The panel: puts its parts together, and shows what has changed."""

from __future__ import annotations

from html import escape
from types import SimpleNamespace
from typing import Any

import qt
import slicer
import vtk
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from segmamba.errors import UserError

from .nodes import roi as rois
from .nodes.segmentation import EditedSegments
from .panel.advanced_part import AdvancedPart
from .panel.context import Context
from .panel.inputs_part import InputsPart
from .panel.models_part import ModelsPart
from .panel.output_part import NewRegion, ask_about_edited
from .panel.packages_part import PackagesPart
from .panel.results_part import ResultsPart
from .panel.run_part import RunPart
from .run import Run

__all__ = ["Panel"]

MODULE = "SegMambaSlicer"

#: Bound by the parts themselves, see ``panel/bindings.py``; all others by Slicer's parameter node wrapper.
OWN_BINDINGS = ("model", "modelSearch", "cases", "device", "precision")


class Panel:
    """What the user sees of the module.

    Args:
        ui: the widgets of the .ui by name.
        logic: the module's logic.
        parameter_node: gives the scene's parameters.
    """

    def __init__(self, ui: Any, logic: Any, parameter_node: Any):
        self.logic = logic
        self._parameter_node = parameter_node
        self._connections: tuple[Any, Any, Any] | None = None
        self._refreshing = False
        self._entered = False
        self._result_of: tuple[Any, Any] | None = None  # segmentation that we chose as output, and its first volume
        self.context = Context(ui, logic, self.refresh)
        self.models = ModelsPart(self.context, self._on_model_chosen)
        self.inputs = InputsPart(self.context)
        self.region = NewRegion(self.context)
        self.advanced = AdvancedPart(self.context)
        self.run = RunPart(self.context, self.segment)
        self.results = ResultsPart(self.context)
        self.packages = PackagesPart(self.context)
        # A volume that is added gets its voxels a moment later, and many come at once.
        self._later = qt.QTimer()
        self._later.setSingleShot(True)
        self._later.setInterval(100)
        self._later.connect("timeout()", self._on_scene_settled)
        ui.advancedSection.connect("contentsCollapsed(bool)", lambda _collapsed: self.refresh())
        logic.changed.connect(self.refresh)
        logic.progressed.connect(self.run.on_progress)
        logic.finished.connect(self._on_done)
        logic.logged.connect(self.context.log)
        self._scene = VTKObservationMixin()
        events = slicer.vtkMRMLScene
        for event, action in (
            (events.StartCloseEvent, self.disconnect_parameters),
            (events.EndCloseEvent, self._on_scene_ready),
            (events.EndImportEvent, self._on_scene_ready),
            (events.EndBatchProcessEvent, self.scene_changed),
            (events.NodeAddedEvent, self.scene_changed),
            (events.NodeRemovedEvent, self.scene_changed),
        ):
            self._scene.addObserver(slicer.mrmlScene, event, action)
        self._look_anew()
        # Slicer calls enter() after the first setup, and not after a reload of the module that is open.
        self._entered = slicer.util.mainWindow() is not None and slicer.util.selectedModule() == MODULE

    # Parameters and scene

    def connect_parameters(self) -> None:
        """Takes the scene's parameter node, a new one if there is none, and shows it."""
        self.disconnect_parameters()
        parameters = self._parameter_node()
        self.context.parameters = parameters
        tag = parameters.connectGui(self._wrapped_widgets())
        # After the wrapper's own observers, which renew what it keeps of the node: VTK does not call in order.
        observer = parameters.parameterNode.AddObserver(vtk.vtkCommand.ModifiedEvent, self._on_parameters, -1.0)
        self._connections = parameters, tag, observer
        self.refresh()

    def disconnect_parameters(self, *_arguments: Any) -> None:
        """Lets go of the parameter node: the scene is being closed, or the panel left."""
        if self._connections is not None:
            parameters, tag, observer = self._connections
            parameters.disconnectGui(tag)
            parameters.parameterNode.RemoveObserver(observer)
        self._connections = self.context.parameters = None

    def enter(self) -> None:
        """The panel is shown: what may have changed meanwhile is looked at anew, and the worker made ready."""
        self._entered = True
        self._look_anew()
        self._warm_up()

    def exit(self) -> None:
        """Another module is shown: of the scene nothing is looked at until `enter`; what runs goes on."""
        self._entered = False
        self._later.stop()

    def _look_anew(self) -> None:
        self.models.reload()
        self.packages.reload()
        self.connect_parameters()
        self.inputs.pick(anew=False)
        if self.packages.hint:
            self.context.ui.statusLabel.setText(escape(self.packages.hint))

    def scene_changed(self, *_arguments: Any) -> None:
        """Nodes have come or gone: in a moment, selectors that are empty are filled."""
        if self._entered and self.context.parameters is not None:
            self._later.start()

    def _on_scene_ready(self, *_arguments: Any) -> None:
        """A scene was closed or loaded: its parameters are shown."""
        if self._entered and not slicer.mrmlScene.IsClosing() and not slicer.mrmlScene.IsImporting():
            self.connect_parameters()
            self.scene_changed()

    def _on_scene_settled(self) -> None:
        if slicer.mrmlScene.IsBatchProcessing():  # nodes are there in part; its end may lie within another batch
            self._later.start()
        elif self.context.parameters is not None:
            self.inputs.pick(anew=False)
            self.refresh()

    def close(self) -> None:
        """The module is unloaded."""
        self._later.stop()
        self.region.close()
        self._scene.removeObservers()
        self.disconnect_parameters()
        self.logic.changed.disconnect(self.refresh)
        self.logic.progressed.disconnect(self.run.on_progress)
        self.logic.finished.disconnect(self._on_done)
        self.logic.logged.disconnect(self.context.log)

    def refresh(self) -> None:
        """Shows everything as it is now."""
        if self._refreshing:  # what it sets in the parameter node calls it again
            return
        self._refreshing = True
        try:
            self.models.refresh()
            metadata = self.models.bundle.metadata if self.models.bundle is not None else None
            self.inputs.metadata = self.advanced.metadata = metadata
            self.inputs.refresh()
            self.advanced.refresh()
            self.results.refresh()
            self.packages.refresh()
            self.run.refresh(self._reason(), self.models.name)
        finally:
            self._refreshing = False

    def _on_parameters(self, *_arguments: Any) -> None:
        """Another first volume is another case: it gets a segmentation of its own, unless the user chooses one."""
        parameters = self.context.parameters
        if parameters is not None and self._result_of is not None and not self._refreshing:
            segmentation, volume = self._result_of
            if parameters.output is segmentation and parameters.input1 not in (volume, None):
                self._result_of = None
                parameters.output = None
        if self._entered:
            self.refresh()

    def _wrapped_widgets(self) -> SimpleNamespace:
        """The widgets that Slicer's wrapper can bind; it goes through an object's attributes."""
        widgets = vars(self.context.ui)
        named = {name: w for name, w in widgets.items() if w.property("SlicerParameterName")}
        wrapped = {n: w for n, w in named.items() if w.property("SlicerParameterName") not in OWN_BINDINGS}
        return SimpleNamespace(**wrapped)

    def _reason(self) -> str | None:
        """Why nothing can be segmented now; None: it can."""
        if self.context.parameters is None:
            return _("The scene is being closed.")
        if self.models.bundle is None:
            name = self.context.parameters.model
            return (
                _("The model {name} is not installed here.").format(name=name) if name else _("Choose a model first.")
            )
        if self.context.parameters.cases:
            return None
        return self.inputs.reason or self._wrong_roi()

    def _wrong_roi(self) -> str | None:
        roi = self.context.parameters.roi
        if roi is not None:
            try:
                rois.voxel_ranges(roi, self.inputs.volumes[0])
            except UserError as error:
                return str(error)
        return None

    def _on_model_chosen(self) -> None:
        self.refresh()
        self.inputs.pick(anew=True)
        self._warm_up()

    def _warm_up(self) -> None:
        parameters = self.context.parameters
        if parameters is not None and parameters.model and parameters.keepModel and not self.logic.busy:
            self.logic.warm_up(parameters.model, parameters.device, parameters.precision)

    # Segmenting

    def segment(self) -> None:
        """What the button does."""
        parameters = self.context.parameters
        options = {
            "device": parameters.device,
            "precision": parameters.precision,
            "overlap": parameters.overlap,
            "mirroring": parameters.mirroring and bool(self.models.bundle.metadata.training.get("mirror_axes")),
            "threads": parameters.threads or None,
            "probabilities": parameters.probabilities,
            "uncertainty": parameters.uncertainty,
            "keep_model": parameters.keepModel,
            "wait": False,
            "on_done": self._on_own_done,
        }
        if parameters.cases:
            runs = self.logic.segment_many(
                parameters.cases, parameters.model, volumes=self.inputs.volumes, roi=parameters.roi, **options
            )
            sentence = _("{count} cases are segmented with {model}.")
            self.context.log(sentence.format(count=len(runs), model=parameters.model))
            return
        try:
            run = self._segment_one(options)
        except EditedSegments as edited:
            replace = ask_about_edited(edited.node, edited.names)
            if replace is None:
                self.context.say(_("Nothing was segmented; the edited segments are as they were."))
                return
            run = self._segment_one({**options, "replace_edited": replace})
        self.context.log(_("{title} is segmented with {model}.").format(title=run.title, model=parameters.model))

    def _segment_one(self, options: dict[str, Any]) -> Run:
        p = self.context.parameters
        return self.logic.segment(self.inputs.volumes, p.model, output=p.output, roi=p.roi, **options)

    def _on_done(self, run: Run) -> None:
        """A run has ended, of the panel or of the console: what became of it."""
        context = self.context
        warnings = [*run.warnings, *run.result.get("warnings", [])]
        for warning in warnings:
            context.log(_("{title}: warning: {warning}").format(title=run.title, warning=warning))
        if run.state == "done":
            self.results.latest = run.segmentation
            context.say(_account(run), warnings)
        elif run.state == "cancelled":
            context.say(_("{title}: cancelled.").format(title=run.title))
        else:
            context.complain(run.error or _("{title} was not segmented.").format(title=run.title), run.details)

    def _on_own_done(self, run: Run) -> None:
        """The same, of a run that the panel began: its segmentation becomes the chosen output."""
        parameters = self.context.parameters
        # Not after a queue: the next click shall not write into its last case's segmentation.
        # Nor where other volumes have been chosen for the next case while this one ran.
        chosen = parameters is not None and not parameters.cases and parameters.input1 is run.volumes[0]
        if run.state == "done" and chosen:
            parameters.output = run.segmentation
            self._result_of = run.segmentation, run.volumes[0]
        self.refresh()


def _account(run: Run) -> str:
    done = run.result
    parts = [done.get(name) for name in ("device_title", "precision", "backend")]
    where = " · ".join(str(part) for part in parts if part)
    return _("{title}: done in {seconds:.1f} s ({where}).").format(
        title=run.title, seconds=done.get("seconds", 0.0), where=where
    )
