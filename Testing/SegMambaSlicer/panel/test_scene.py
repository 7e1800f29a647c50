"""Saving and loading: parameters, segmentation, terminology and provenance are back."""

import ast
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

MODULE = Path(__file__).resolve().parents[3] / "SegMambaSlicer"
UI = MODULE / "Resources" / "UI" / "SegMambaSlicer.ui"

#: Classes of widgets whose value a user can change.
CHANGEABLE = (
    "QCheckBox", "QComboBox", "QDoubleSpinBox", "QLineEdit", "QRadioButton", "QSlider", "QSpinBox", "QTextEdit",
    "ctkPathLineEdit", "ctkSearchBox", "ctkSliderWidget", "qMRMLNodeComboBox",
)  # fmt: skip


def bound_widgets():
    """Name of each changeable widget in the .ui and the parameter that it says it is bound to."""
    found = {}
    for widget in ET.parse(UI).iter("widget"):
        if widget.get("class") in CHANGEABLE:
            properties = {p.get("name"): "".join(p.itertext()).strip() for p in widget.findall("property")}
            found[widget.get("name")] = properties.get("SlicerParameterName")
    return found


def change(widget, value):
    """As the user does."""
    kind = type(widget).__name__
    if kind == "QCheckBox":
        widget.setChecked(value)
    elif kind == "QComboBox":
        widget.setCurrentIndex(value)
    elif kind == "ctkSearchBox":
        widget.setText(value)
    elif kind == "qMRMLNodeComboBox":
        widget.setCurrentNode(value)
    else:
        widget.setValue(value)


def shown(widget):
    kind = type(widget).__name__
    if kind == "QCheckBox":
        return widget.checked
    if kind == "QComboBox":
        return widget.currentText
    if kind == "ctkSearchBox":
        return widget.text
    if kind == "qMRMLNodeComboBox":
        return widget.currentNode() and widget.currentNode().GetName()
    return widget.value


def test_every_widget_that_can_be_changed_names_a_parameter_of_its_own(user):
    from SegMambaSlicerLib.parameters import SegMambaParameters

    bound = bound_widgets()
    assert None not in bound.values(), bound
    assert sorted(bound.values()) == sorted(SegMambaParameters.allParameters)


def test_what_every_widget_shows_is_saved_and_shown_again(user, load_phantom, tmp_path):
    import slicer

    volumes = load_phantom() + load_phantom(name="Other")
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Mine")
    region = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "Region")
    tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    folder = tree.CreateFolderItem(tree.GetSceneItemID(), "Ward 3")
    for volume in volumes[:4]:
        tree.SetItemParent(tree.GetItemByDataNode(volume), folder)
    user.ui.advancedSection.collapsed = False
    user.panel.refresh()
    values = {
        "modelSearch": "tumour",
        "modelSelector": 1,  # the only one that the search leaves
        **{f"inputSelector{n + 1}": volume for n, volume in enumerate(reversed(volumes))},
        "outputSelector": segmentation,
        "roiSelector": region,
        "probabilitiesCheckBox": True,
        "uncertaintyCheckBox": True,
        "casesSelector": 1,
        "deviceSelector": 1,
        "precisionSelector": 2,
        "overlapSlider": 0.25,
        "threadsSpinBox": 3,
        "mirroringCheckBox": True,
        "keepModelCheckBox": False,
    }
    assert sorted(values) == sorted(bound_widgets())
    before = {name: shown(getattr(user.ui, name)) for name in values if not name.startswith("inputSelector")}
    for name, value in values.items():
        change(getattr(user.ui, name), value)
    expected = {name: shown(getattr(user.ui, name)) for name in values}
    assert not [name for name, value in before.items() if expected[name] == value]
    assert "phantom-lightmunet" in expected["modelSelector"]

    path = str(tmp_path / "scene.mrb")
    assert slicer.util.saveScene(path)
    slicer.mrmlScene.Clear(0)
    for name in ("probabilitiesCheckBox", "overlapSlider", "modelSelector", "modelSearch"):
        assert shown(getattr(user.ui, name)) != expected[name], name
    slicer.util.loadScene(path)
    assert {name: shown(getattr(user.ui, name)) for name in values} == expected
    assert user.parameters.cases == "folder:Ward 3" and user.parameters.device == "cpu"


def test_result_terminology_and_provenance_survive_a_saved_scene(ready, tmp_path):
    import slicer
    import vtk
    from SegMambaSlicerLib.nodes.provenance import Provenance

    user = ready
    user.segment()
    node = user.parameters.output
    segments = describe(node, slicer, vtk)
    provenance = Provenance.read(node)
    assert provenance.model == "phantom-lightmunet" and provenance.settings["overlap"] == 0.5
    assert all("SCT" in terminology for _, _, _, terminology in segments)
    path = str(tmp_path / "scene.mrb")
    assert slicer.util.saveScene(path)
    slicer.mrmlScene.Clear(0)
    assert user.parameters.output is None and not user.ui.showTableButton.enabled
    slicer.util.loadScene(path)
    node = user.parameters.output
    assert node is not None and describe(node, slicer, vtk) == segments
    assert Provenance.read(node) == provenance
    assert [user.parameters.input1.GetName(), user.parameters.input4.GetName()] == ["Phantom T1", "Phantom FLAIR"]
    assert user.ui.resultsTable.item(0, 0).text() == "WT" and user.ui.showTableButton.enabled
    # And on from there: the same node takes the next result.
    user.segment()
    assert user.parameters.output is node, user.log
    assert [segment[0] for segment in describe(node, slicer, vtk)] == [segment[0] for segment in segments]


def describe(node, slicer, vtk):
    """Id, name, number of voxels and terminology of each segment."""
    found = []
    segmentation = node.GetSegmentation()
    for n in range(segmentation.GetNumberOfSegments()):
        segment_id, segment = segmentation.GetNthSegmentID(n), segmentation.GetNthSegment(n)
        terminology = vtk.reference("")
        segment.GetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), terminology)
        count = int(
            (slicer.util.arrayFromSegmentInternalBinaryLabelmap(node, segment_id) == segment.GetLabelValue()).sum()
        )
        found.append((segment_id, segment.GetName(), count, str(terminology)))
    return found


@pytest.mark.parametrize("file", sorted((MODULE / "SegMambaSlicerLib" / "panel").glob("*.py")), ids=lambda p: p.name)
def test_the_panel_uses_widgets_attributes_that_their_classes_have(user, file):
    """``ui.NAME.ATTRIBUTE`` in the sources: the widget is in the .ui, and its class has the attribute."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        inner = getattr(node, "value", None)
        if not (isinstance(node, ast.Attribute) and isinstance(inner, ast.Attribute)):
            continue
        if isinstance(inner.value, ast.Name) and inner.value.id == "ui":
            widget = getattr(user.ui, inner.attr)
            assert hasattr(widget, node.attr), f"{inner.attr}.{node.attr}"
