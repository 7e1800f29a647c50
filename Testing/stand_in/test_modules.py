"""A scripted module written for Slicer loads, is found by name, keeps its parameters and goes again."""

import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parent / "example_module" / "ExampleModule.py"


@pytest.fixture
def example(application):
    import slicer
    from slicer_stand_in import modules

    module = modules.load(EXAMPLE)
    application.startupCompleted.emit()
    return slicer.util.getModuleWidget(module.name)


def test_a_module_is_found_by_its_name(example):
    import slicer

    assert slicer.modules.examplemodule.title == "Example"
    assert slicer.util.getModule("ExampleModule") is slicer.modules.examplemodule
    assert slicer.util.getModuleLogic("ExampleModule") is example.logic
    assert slicer.modules.ExampleModuleWidget is example
    assert Path(slicer.util.modulePath("ExampleModule")) == EXAMPLE
    assert "ExampleModule" in slicer.util.moduleNames()


def test_the_scene_reaches_only_widgets_that_the_ui_file_connects(example):
    import slicer

    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "brain")
    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "result")
    assert example.ui.imageSelector.mrmlScene() is slicer.mrmlScene
    assert example.ui.imageSelector.nodeCount() == 1
    assert example.ui.resultSelector.mrmlScene() is None  # forgotten in the file, so it shows
    assert example.ui.resultSelector.nodeCount() == 0


def test_widgets_and_parameters_follow_each_other(example):
    import slicer

    ui, parameters = example.ui, example.parameters
    assert (ui.thresholdSlider.value, ui.countBox.value, ui.modeBox.currentText) == (2.5, 3, "fast")
    assert (ui.titleEdit.text, ui.onBox.checked, ui.colourBox.currentText) == ("none", True, "BLUE")
    ui.titleEdit.setText("head")
    ui.countBox.setValue(5)
    ui.colourBox.setCurrentIndex(0)
    ui.folderEdit.setCurrentPath("/a/b")
    ui.thresholdSlider.setValue(4)
    assert (parameters.title, parameters.count, parameters.colour.name) == ("head", 5, "RED")
    assert (parameters.folder, parameters.threshold) == (Path("/a/b"), 4.0)
    parameters.mode = "slow"
    parameters.on = False
    assert (ui.modeBox.currentText, ui.onBox.checked) == ("slow", False)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    ui.imageSelector.setCurrentNode(node)
    assert parameters.image is node
    parameters.image = None
    assert ui.imageSelector.currentNode() is None


def test_wrong_values_are_refused(example):
    parameters = example.parameters
    for name, value in (("threshold", 11), ("count", 0), ("mode", "medium"), ("title", None)):
        with pytest.raises(ValueError):
            setattr(parameters, name, value)
    for name, value in (("title", 3), ("on", "yes"), ("count", 1.5)):
        with pytest.raises(TypeError):
            setattr(parameters, name, value)


def test_parameters_come_back_with_the_scene(example, tmp_path):
    import slicer

    parameters = example.parameters
    image = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "brain")
    parameters.image = image
    parameters.images = [image, image]
    parameters.names = ["a", "b, c"]
    parameters.names.append("d")
    parameters.sizes = {"x": 1}
    parameters.count = 7
    assert slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    slicer.mrmlScene.Clear(0)
    assert example.parameters.count == 3 and example.parameters.image is None
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    example.connect()
    back = example.parameters
    assert back.image.GetName() == "brain" and [node.GetName() for node in back.images] == ["brain", "brain"]
    assert (list(back.names), dict(back.sizes), back.count) == (["a", "b, c", "d"], {"x": 1}, 7)


def test_select_module_enters_and_records(example):
    import slicer

    slicer.util.selectModule("ExampleModule")
    slicer.util.selectModule("SegmentEditor")
    assert example.entered == 1
    assert slicer.util.moduleSelector().history == ["ExampleModule", "SegmentEditor"]
    assert not example.parent.isEntered()


def test_reload_makes_a_new_panel_and_cleans_the_old(example):
    import slicer

    observed = len(example.Observations)
    slicer.util.reloadScriptedModule("ExampleModule")
    fresh = slicer.util.getModuleWidget("ExampleModule")
    assert observed == 1 and not example.Observations
    assert fresh is not example and fresh.ui.countBox.value == 3


def test_the_self_test_and_the_sample_data_run(example):
    import slicer
    from slicer_stand_in import sample_data

    slicer.selfTests["ExampleModule"]()
    assert [node.GetName() for node in sample_data.press("Example", "ExampleVolume")] == ["ExampleVolume"]


def test_unloading_tells_the_panel(application, example):
    import slicer
    from slicer_stand_in import modules

    modules.unload("ExampleModule")
    assert not example.Observations and not hasattr(slicer.modules, "examplemodule")
    assert "ExampleModule" not in sys.modules


def test_an_error_in_a_slot_is_seen(application, example, monkeypatch):
    seen = []
    monkeypatch.setattr(sys, "excepthook", lambda *error: seen.append(error[0]))
    example.ui.countBox.setValue(8)
    example.ui.applyButton.click()
    assert seen == [RuntimeError] and example.ui.applyButton.text == "Done"
