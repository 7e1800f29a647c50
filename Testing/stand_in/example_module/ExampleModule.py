"""A small scripted module, written as Slicer's documentation says, that the stand-in's tests load."""

import enum
import pathlib
from typing import Annotated

import slicer
import vtk
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import Choice, Default, WithinRange, parameterNodeWrapper
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin


class ExampleModule(ScriptedLoadableModule):
    def __init__(self, parent):
        super().__init__(parent)
        self.parent.title = _("Example")
        self.parent.categories = ["Examples"]
        slicer.app.connect("startupCompleted()", self.register)

    def register(self):
        import SampleData

        def generate(source):
            return [slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "ExampleVolume")]

        SampleData.SampleDataLogic.registerCustomSampleDataSource(
            category="Example",
            sampleName="ExampleVolume",
            uris="",
            fileNames="ExampleVolume",
            nodeNames="ExampleVolume",
            customDownloader=generate,
        )


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


@parameterNodeWrapper
class ExampleParameters:
    image: slicer.vtkMRMLScalarVolumeNode
    images: list[slicer.vtkMRMLScalarVolumeNode]
    result: slicer.vtkMRMLSegmentationNode
    threshold: Annotated[float, WithinRange(0, 10)] = 2.5
    count: Annotated[int, WithinRange(1, 8), Default(3)]
    mode: Annotated[str, Choice(["slow", "fast"])] = "fast"
    title: str = "none"
    on: bool = True
    colour: Colour = Colour.BLUE
    folder: pathlib.Path
    names: list[str]
    sizes: dict[str, int]


class ExampleModuleWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.parameters = None
        self.tag = None
        self.entered = 0

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        panel = slicer.util.loadUI(self.resourcePath("UI/ExampleModule.ui"))
        self.layout.addWidget(panel)
        self.ui = slicer.util.childWidgetVariables(panel)
        panel.setMRMLScene(slicer.mrmlScene)
        self.logic = ExampleModuleLogic()
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.connect)
        self.ui.applyButton.connect("clicked(bool)", self.apply)
        self.connect()

    def connect(self, caller=None, event=None):
        if self.parameters is not None:
            self.parameters.disconnectGui(self.tag)
        self.parameters = self.logic.parameters()
        self.tag = self.parameters.connectGui(self.ui)

    def enter(self):
        self.entered += 1

    def cleanup(self):
        self.parameters.disconnectGui(self.tag)
        self.removeObservers()

    def apply(self):
        self.ui.applyButton.text = _("Done")
        if self.parameters.count == 8:
            raise RuntimeError("eight")


class ExampleModuleLogic(ScriptedLoadableModuleLogic):
    def parameters(self):
        return ExampleParameters(self.getParameterNode())

    def identity(self):
        return vtk.vtkMatrix4x4()


class ExampleModuleTest(ScriptedLoadableModuleTest):
    def runTest(self):
        self.test_identity()

    def test_identity(self):
        self.delayDisplay("identity")
        self.assertEqual(ExampleModuleLogic().identity().GetElement(0, 0), 1)
