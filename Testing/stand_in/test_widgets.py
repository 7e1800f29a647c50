"""Stand-ins of CTK's and Slicer's widgets behave as documented where a panel relies on it."""

import pytest


@pytest.fixture
def selector(application):
    import slicer

    box = slicer.qMRMLNodeComboBox()
    box.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    box.setMRMLScene(slicer.mrmlScene)
    return box


def add(name, kind="vtkMRMLScalarVolumeNode"):
    import slicer

    return slicer.mrmlScene.AddNewNodeByClass(kind, name)


def test_a_selector_lists_the_scenes_nodes_and_follows_it(selector):
    import slicer

    one, _table, two = add("one"), add("t", "vtkMRMLTableNode"), add("two")
    assert selector.nodeCount() == 2 and selector.currentNode() is one  # with no "None", the first is chosen
    heard = []
    selector.connect("currentNodeChanged(vtkMRMLNode*)", heard.append)
    selector.setCurrentNode(two)
    slicer.mrmlScene.RemoveNode(two)
    assert heard == [two, one] and selector.currentNodeID == one.GetID()
    slicer.mrmlScene.Clear(0)
    assert selector.currentNode() is None and selector.currentNodeID == ""


def test_a_selector_with_none_chooses_nothing_by_itself(selector):
    selector.noneEnabled = True
    node = add("one")
    assert selector.currentNode() is None
    heard = []
    selector.connect("currentNodeChanged(bool)", heard.append)
    selector.setCurrentNodeID(node.GetID())
    selector.setCurrentNode(None)
    assert heard == [True, False]


def test_a_selector_can_leave_out_derived_classes(selector):
    add("labels", "vtkMRMLLabelMapVolumeNode")
    assert selector.nodeCount() == 1
    selector.showChildNodeTypes = False
    assert selector.nodeCount() == 0


def test_a_selector_leaves_out_hidden_nodes_and_other_attributes(selector):
    import slicer

    hidden = slicer.vtkMRMLScalarVolumeNode()
    hidden.SetHideFromEditors(True)
    slicer.mrmlScene.AddNode(hidden)
    plain = add("plain")
    assert selector.nodeCount() == 1
    selector.addAttribute("vtkMRMLScalarVolumeNode", "Kind", "result")
    assert selector.nodeCount() == 0
    plain.SetAttribute("Kind", "result")
    selector.removeAttribute("vtkMRMLScalarVolumeNode", "Kind")
    assert selector.nodeCount() == 1


def test_a_selector_makes_and_renames_nodes(selector):
    from slicer_stand_in import dialogs

    selector.baseName = "Result"
    heard = []
    selector.connect("nodeAddedByUser(vtkMRMLNode*)", heard.append)
    node = selector.addNode()
    assert node.GetName() == "Result" and selector.currentNode() is node and heard == [node]
    dialogs.answer("Rename", "Other")
    selector.renameCurrentNode()
    assert node.GetName() == "Other"


def test_a_collapsible_section_hides_what_is_in_it(application):
    import ctk
    import qt

    section = ctk.ctkCollapsibleButton()
    section.text = "Advanced"
    layout = qt.QVBoxLayout(section)
    shown, hidden = qt.QLabel("a"), qt.QLabel("b")
    layout.addWidget(shown)
    layout.addWidget(hidden)
    hidden.setVisible(False)
    heard = []
    section.connect("contentsCollapsed(bool)", heard.append)
    section.collapsed = True
    assert shown.isHidden() and heard == [True]
    section.setChecked(True)
    assert not section.collapsed and not shown.isHidden() and hidden.isHidden()


@pytest.mark.parametrize(
    ("module", "kind", "setter", "slot"),
    [
        ("ctk", "ctkCollapsibleButton", "setCollapsed", ""),
        ("ctk", "ctkSliderWidget", "setMaximum", "setValue"),
        ("slicer", "qMRMLNodeComboBox", "setNodeTypes", "setCurrentNodeID"),
        ("slicer", "qMRMLSliderWidget", "setSuffix", "setDecimals"),
    ],
)
def test_a_setter_that_is_no_slot_is_not_there_as_pythonqt_does_not_see_it(application, module, kind, setter, slot):
    import importlib

    widget = getattr(importlib.import_module(module), kind)()
    with pytest.raises(AttributeError, match=f"{kind} has no '{setter}' in Python"):
        getattr(widget, setter)
    assert not slot or callable(getattr(widget, slot))


def test_number_widgets_keep_to_their_range(application):
    import ctk

    for box in (ctk.ctkSliderWidget(), ctk.ctkDoubleSpinBox()):
        box.setDecimals(1)
        box.minimum, box.maximum, box.singleStep = 0, 1, 0.1
        heard = []
        box.connect("valueChanged(double)", heard.append)
        box.value = 0.5
        box.setValue(3)
        assert box.value == 1 and heard == [0.5, 1.0]


def test_a_checkable_combo_box_knows_what_is_checked(application):
    import ctk
    import qt

    box = ctk.ctkCheckableComboBox()
    box.addItem("a")
    box.addItem("b")
    assert box.noneChecked()
    heard = []
    box.connect("checkedIndexesChanged()", lambda: heard.append(len(box.checkedIndexes())))
    box.setCheckState(box.checkableModel().index(1, 0), qt.Qt.Checked)
    assert heard[-1] == 1 and [index.row() for index in box.checkedIndexes()] == [1]


def test_show_3d_makes_the_surface(application):
    import numpy as np
    import slicer

    volume = slicer.util.addVolumeFromArray(np.zeros((8, 8, 8), np.int16))
    node = add("s", "vtkMRMLSegmentationNode")
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    segment = node.GetSegmentation().AddEmptySegment("a")
    voxels = np.zeros((8, 8, 8), np.uint8)
    voxels[2:6, 2:6, 2:6] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(voxels, node, segment, volume)
    button = slicer.qMRMLSegmentationShow3DButton()
    assert not button.enabled
    button.setSegmentationNode(node)
    button.click()
    assert node.GetSegmentation().ContainsRepresentation("Closed surface") and button.checked


def test_a_table_view_shows_the_tables_cells(application):
    import numpy as np
    import slicer

    table = add("t", "vtkMRMLTableNode")
    view = slicer.qMRMLTableView()
    view.setMRMLTableNode(table)
    slicer.util.updateTableFromArray(table, [np.array([1, 2])], ["n"])
    assert view.model().rowCount() == 2 and view.model().headerData(0, __import__("qt").Qt.Horizontal) == "n"


def test_a_ui_file_with_an_unknown_class_or_slot_is_refused(application, tmp_path):
    import slicer

    path = tmp_path / "a.ui"
    path.write_text('<ui version="4.0"><widget class="ctkOddWidget" name="a"/></ui>')
    with pytest.raises(RuntimeError, match="ctkOddWidget is not known"):
        slicer.util.loadUI(str(path))
    path.write_text(
        '<ui version="4.0"><widget class="qMRMLWidget" name="a"/><connections><connection><sender>a</sender>'
        "<signal>mrmlSceneChanged(vtkMRMLScene*)</signal><receiver>a</receiver><slot>setScene(vtkMRMLScene*)</slot>"
        "</connection></connections></ui>"
    )
    with pytest.raises(RuntimeError, match="no slot"):
        slicer.util.loadUI(str(path))
