"""SegMamba: automatic segmentation with Mamba networks, in 3D Slicer.

The four classes that Slicer looks for; what they do is in SegMambaSlicerLib.
"""

import slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)


class SegMambaSlicer(ScriptedLoadableModule):
    """The module as Slicer lists it."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("SegMamba")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        parent.dependencies = ["Segmentations", "Volumes", "Tables", "Terminologies", "SubjectHierarchy", "Markups"]
        parent.dependencies += ["Sequences"]
        parent.contributors = ["SegMamba for 3D Slicer contributors"]
        parent.helpText = _(
            "Segments volumes with Mamba networks: choose a model and its volumes and press Segment. Runs on the "
            "processor, and faster on a graphics card. Not for clinical use."
        )
        parent.acknowledgementText = _(
            "After SegMamba (Xing et al. 2024), SegResMamba (2025) and LightM-UNet (Liao et al. 2024), written anew."
        )
        from SegMambaSlicerLib.packages.place import make_importable

        make_importable()
        slicer.app.connect("startupCompleted()", self.registerSampleData)

    def registerSampleData(self):
        """Puts the phantom into the module Sample Data."""
        from SegMambaSlicerLib.phantom import register

        register(self.resourcePath("Icons/SegMambaSlicer.png"))


class SegMambaSlicerWidget(ScriptedLoadableModuleWidget):
    """The panel in Slicer's window."""

    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        self.logic = None
        self.panel = None

    def setup(self):
        """Called once, when the panel is opened first."""
        from SegMambaSlicerLib.widget import Panel

        ScriptedLoadableModuleWidget.setup(self)
        uiWidget = slicer.util.loadUI(self.resourcePath("UI/SegMambaSlicer.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        # The selectors in the .ui are connected to this one.
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = SegMambaSlicerLogic()
        self.panel = Panel(self.ui, self.logic.segmenting, self.logic.getParameterNode)

    def cleanup(self):
        """Called when Slicer ends or the module is unloaded: no process and no file is left behind."""
        if self.panel is not None:  # what fails while it is set up must not fail again here
            self.panel.close()
        if self.logic is not None:
            self.logic.segmenting.close()

    def enter(self):
        """Called each time the panel is opened."""
        if self.panel is not None:  # its setup failed, and has said so
            self.panel.enter()

    def exit(self):
        """Called each time another module is opened; what runs goes on."""
        if self.panel is not None:
            self.panel.exit()


class SegMambaSlicerLogic(ScriptedLoadableModuleLogic):
    """What the module can do, for scripts and the Python console; Resources/CONSOLE.md has examples.

    Example:
        >>> logic = slicer.util.getModuleLogic("SegMambaSlicer")
        >>> segmentation = logic.segment(slicer.util.getNode("MRHead"), model="hippocampus-lightmunet")
    """

    def __init__(self):
        ScriptedLoadableModuleLogic.__init__(self)
        from SegMambaSlicerLib.logic import Segmenting

        self.segmenting = Segmenting()

    def getParameterNode(self):
        """The panel's parameters in this scene, typed."""
        from SegMambaSlicerLib.parameters import SegMambaParameters

        return SegMambaParameters(super().getParameterNode())

    def segment(self, volumes, model, output=None, roi=None, device="auto", wait=True, **options):
        """Segments one case: the same as the panel's button.

        Args:
            volumes: the volume node of each channel, in the model's order; a single one need not be in a list.
            model: name in the catalogue, or path of a model package (folder or zip).
            output: segmentation node that takes the segments; None makes a new one.
            roi: markups ROI node; only the part of the first volume inside it is segmented.
            device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
            wait: True waits until it is done, while Slicer stays alive; False returns at once.
            **options: ``precision`` (``auto``, ``fp32``, ``bf16``, ``fp16``), ``overlap`` (0.5), ``mirroring``
                (False), ``threads`` (None: all), ``probabilities``, ``uncertainty`` (False), ``keep_model`` (True);
                ``replace_edited``: True replaces segments of ``output`` that were edited by hand, False keeps them
                beside the new ones; ``on_progress``: called with (fraction, seconds left or None, phase);
                ``on_done``: called with the run, once it has ended, however it ended.

        Returns:
            The segmentation node; with ``wait=False`` a run: ``state``, ``segmentation``, ``table``,
            ``probabilities``, ``uncertainty``, ``warnings``, ``error``.

        Raises:
            segmamba.errors.UserError: a volume, the model or an option is wrong; the sentence says what to do.
            RuntimeError: it was cancelled, or the worker failed.
        """
        return self.segmenting.segment(volumes, model, output, roi, device, wait, **options)

    def segment_many(self, cases, model, device="auto", wait=True, **options):
        """Segments case after case into new segmentation nodes, the items of a sequence into one.

        Of a folder and a sequence, what cannot be segmented is left out, and said in the log.

        Args:
            cases: a list with the volumes of each case, a sequence browser node (all its items), or the number of an
                item of the subject hierarchy (all studies under it; volumes are recognised by their names).
            model, device, wait, **options: as for ``segment``; ``on_done`` is called after each case.

        Returns:
            The segmentation nodes; with ``wait=False`` the runs.
        """
        return self.segmenting.segment_many(cases, model, device, wait, **options)

    def cancel(self):
        """Cancels everything that runs or waits; takes effect within a second."""
        self.segmenting.cancel()


class SegMambaSlicerTest(ScriptedLoadableModuleTest):
    """The module's self-test, for people who run it inside Slicer: Reload and Test, or the module Self Tests."""

    def setUp(self):
        """An empty scene."""
        slicer.mrmlScene.Clear(0)

    def runTest(self):
        """Runs everything."""
        self.setUp()
        self.test_phantom()
        self.setUp()

    def test_phantom(self):
        """Draws the phantom, segments it, and looks whether the tumour was found and lies on the volume."""
        from SegMambaSlicerLib import packages
        from SegMambaSlicerLib.self_test import segment_phantom

        if slicer.app.testingEnabled() and packages.missing():
            self.skipTest(_("The Python packages of SegMamba are missing, and nothing is installed during tests."))
        self.delayDisplay(_("Drawing and segmenting the phantom"))
        segment_phantom(slicer.util.getModuleLogic("SegMambaSlicer"))
        self.delayDisplay(_("Test passed"))
