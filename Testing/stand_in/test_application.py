"""What the application is asked for beside widgets: questions, packages, files, pictures, the end."""

import subprocess

import pytest


def test_questions_are_answered_as_told_and_recorded(application):
    import slicer
    from slicer_stand_in import dialogs

    dialogs.answer("Replace", "Yes")
    assert slicer.util.confirmYesNoDisplay("Replace it?")
    dialogs.answer("Replace", "No")
    assert not slicer.util.confirmYesNoDisplay("Replace it?", windowTitle="Segments")
    slicer.util.errorDisplay("It went wrong", detailedText="a lot")
    shown = [(entry.text, entry.answer) for entry in dialogs.shown]
    assert shown == [("Replace it?", "Yes"), ("Replace it?", "No"), ("It went wrong", "Ok")]


def test_an_unforeseen_question_is_an_error(application):
    import qt
    import slicer
    from slicer_stand_in import dialogs

    with pytest.raises(dialogs.UnexpectedQuestion):
        slicer.util.confirmOkCancelDisplay("Sure?")
    with pytest.raises(dialogs.UnexpectedQuestion):
        qt.QFileDialog.getOpenFileName(None, "Model", "", "*.zip")


def test_buttons_of_ones_own_can_be_answered(application):
    import qt
    from slicer_stand_in import dialogs

    box = qt.QMessageBox()
    box.setText("Edited segments")
    keep = box.addButton("&Keep both", qt.QMessageBox.AcceptRole)
    box.addButton("Replace", qt.QMessageBox.DestructiveRole)
    dialogs.answer("Edited", "Keep both")
    box.exec_()
    assert box.clickedButton() == keep


def test_nothing_is_installed_but_everything_recorded(application):
    import slicer
    from slicer_stand_in import dialogs, packaging

    dialogs.answer("Install Python Packages", "Ok")
    slicer.packaging.pip_ensure(["surely-not-there>=2"], requester="Test")
    slicer.util.pip_install("a b")
    assert [request.requirements for request in packaging.requests] == [["surely-not-there>=2"], ["a", "b"]]
    dialogs.answer("Install Python Packages", "Cancel")
    with pytest.raises(RuntimeError, match="declined"):
        slicer.packaging.pip_ensure(["surely-not-there>=2"])
    packaging.failure = "no network"
    with pytest.raises(subprocess.CalledProcessError):
        slicer.util.pip_install("c")


def test_under_testing_pip_ensure_does_nothing(application):
    import slicer
    from slicer_stand_in import packaging

    application.set_testing(True)
    assert slicer.packaging.pip_ensure(["surely-not-there"]) is None
    assert packaging.requests == []


def test_requirements_files_are_read(application, tmp_path):
    import slicer

    (tmp_path / "r.txt").write_text("# a\n--no-deps\nnumpy>=1\n\npip\n")
    assert [str(one) for one in slicer.packaging.load_requirements(tmp_path / "r.txt")] == ["numpy>=1", "pip"]
    assert slicer.packaging.pip_check("numpy>=1") and not slicer.packaging.pip_check("numpy>=99")


def test_volumes_are_saved_and_loaded(application, tmp_path):
    import numpy as np
    import slicer

    voxels = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    node = slicer.util.addVolumeFromArray(voxels, name="v")
    assert slicer.util.saveNode(node, str(tmp_path / "v.nrrd"))
    back = slicer.util.loadVolume(str(tmp_path / "v.nrrd"))
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(back), voxels)
    with pytest.raises(RuntimeError, match="Failed to load"):
        slicer.util.loadVolume(str(tmp_path / "w.nrrd"))


def test_slice_layers_and_layouts_use_real_nodes(application):
    import numpy as np
    import slicer

    node = slicer.util.addVolumeFromArray(np.zeros((4, 4, 4), np.int16))
    assert application.layoutManager().sliceViewNames() == ("Red", "Yellow", "Green")
    slicer.util.setSliceViewerLayers(background=node, fit=True)
    composite = application.layoutManager().sliceWidget("Red").mrmlSliceCompositeNode()
    assert composite.GetBackgroundVolumeID() == node.GetID()
    slicer.util.resetSliceViews()
    slicer.util.forceRenderAllViews()


def test_the_end_is_recorded_and_told(application):
    import slicer

    heard = []
    application.connect("aboutToQuit()", lambda: heard.append(1))
    slicer.util.exit(3)
    slicer.util.restart()
    assert (heard, application.exit_requests, application.restart_requests) == ([1], [3], 1)


def test_texts_go_through_the_translation(application):
    from slicer.i18n import tr as _
    from slicer_stand_in import i18n

    if _.__module__ != i18n.__name__:
        pytest.skip("the real slicer.i18n is used")
    i18n.set_translation(str.upper)
    try:
        assert _("idle") == "IDLE"
    finally:
        i18n.set_translation(None)


def test_items_of_the_subject_hierarchy_come_and_go_with_nodes(scene):
    import slicer

    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "v")
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    assert hierarchy.GetItemByDataNode(node)
    scene.RemoveNode(node)
    assert hierarchy.GetNumberOfItems() == 0


def test_items_come_back_with_a_scene(scene, tmp_path):
    import slicer

    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    study = hierarchy.CreateStudyItem(hierarchy.GetSceneItemID(), "study")
    node = scene.AddNewNodeByClass("vtkMRMLTextNode", "note")
    hierarchy.SetItemParent(hierarchy.GetItemByDataNode(node), study)
    assert scene.WriteToMRB(str(tmp_path / "s.mrb"))
    scene.Clear(0)
    assert scene.ReadFromMRB(str(tmp_path / "s.mrb"))
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    item = hierarchy.GetItemByDataNode(slicer.util.getNode("note"))
    assert hierarchy.GetItemName(hierarchy.GetItemParent(item)) == "study" and hierarchy.GetNumberOfItems() == 2


def test_pictures_show_the_segmentation(application, tmp_path):
    import numpy as np
    import qt
    import slicer
    from slicer_stand_in import render

    if not render.available():
        pytest.skip(render.MISSING)
    volume = slicer.util.addVolumeFromArray(np.full((16, 16, 16), 50, np.int16))
    volume.CreateDefaultDisplayNodes()
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    segment = node.GetSegmentation().AddEmptySegment("a", "a", [1.0, 0.0, 0.0])
    voxels = np.zeros((16, 16, 16), np.uint8)
    voxels[4:12, 4:12, 4:12] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(voxels, node, segment, volume)
    node.CreateClosedSurfaceRepresentation()
    nodes = slicer.mrmlScene.GetNumberOfNodes()
    flat = qt.QImage(str(render.slice_view(tmp_path / "2.png", volume, size=(100, 100))))
    solid = qt.QImage(str(render.three_d_view(tmp_path / "3.png", size=(100, 100))))
    for picture in (flat, solid):
        middle = picture.pixelColor(50, 50)
        assert picture.width() == 100 and middle.red() > middle.blue() + 40
    assert slicer.mrmlScene.GetNumberOfNodes() == nodes  # nothing is left in the scene
    button = qt.QPushButton("Segment")
    assert qt.QImage(str(render.panel(tmp_path / "p.png", button, width=80))).width() == 80
