"""Results and what protects them: edited segments, other cases, queues of studies and of a sequence."""

import numpy as np
import pytest


def edit(node, name="Front"):
    """Erases a slice of a segment, as the Segment Editor does."""
    import slicer

    segment_id = node.GetSegmentation().GetSegmentIdBySegmentName(name)
    volume = node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole())
    values = slicer.util.arrayFromSegmentBinaryLabelmap(node, segment_id, volume)
    values[:4] = 1 - values[:4]
    slicer.util.updateSegmentBinaryLabelmapFromArray(values, node, segment_id, volume)


def names(node):
    return [
        node.GetSegmentation().GetNthSegment(n).GetName() for n in range(node.GetSegmentation().GetNumberOfSegments())
    ]


def test_an_edited_segment_is_replaced_only_after_a_question(quick):
    from slicer_stand_in import dialogs

    user = quick
    user.segment()
    node = user.parameters.output
    assert names(node) == ["Front", "Back"], user.log
    node.GetSegmentation().AddEmptySegment("mine", "Mine")
    edit(node)
    dialogs.answer("edited by hand", "Cancel")
    user.press()
    assert not user.busy and "Nothing was segmented" in user.status
    dialogs.answer("edited by hand", "Keep both")
    user.segment()
    assert sorted(names(node)) == ["Back", "Front", "Front 2", "Mine"], user.log
    dialogs.answer("edited by hand", "Replace")
    user.segment()
    assert "Mine" in names(node) and names(node).count("Front") == 1
    assert not dialogs.unused_answers()
    # Nothing of ours is edited now: no question.
    user.segment()
    assert "done in" in user.status, user.log


def test_a_result_can_be_taken_back(quick):
    import slicer

    user = quick
    user.segment()
    node = user.parameters.output
    user.press("undoButton")
    assert node.GetScene() is None and user.parameters.output is None
    assert not slicer.util.getNodesByClass("vtkMRMLTableNode") and not user.ui.undoButton.enabled


def test_work_after_a_result_is_taken_back_only_after_a_question(quick):
    from SegMambaSlicerLib.placing import table_of
    from slicer_stand_in import dialogs

    user = quick
    user.segment()
    node = user.parameters.output
    node.GetSegmentation().AddEmptySegment("mine", "Mine")
    dialogs.answer("changes would be lost", "No")
    user.press("undoButton")
    assert node.GetScene() is not None and "Nothing was taken back" in user.status
    # A second result in the same node is taken back and brought again by the same button.
    user.segment()
    user.press("undoButton")
    assert names(node) == ["Front", "Back", "Mine"] and user.ui.undoButton.text == "Redo"
    user.press("undoButton")
    assert user.ui.undoButton.text == "Undo" and "Mine" in names(node)
    edit(node)
    dialogs.answer("changes would be lost", "Yes")
    user.press("undoButton")
    assert table_of(node).GetNumberOfRows() == 2 and not dialogs.unused_answers()


def test_a_study_that_does_not_suit_is_left_out_of_a_folder(quick):
    import slicer

    from segmamba.errors import UserError

    user = quick
    tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    ward = tree.CreateFolderItem(tree.GetSceneItemID(), "Ward")
    volumes = [slicer.util.getNode(f"Head {n} T1") for n in range(2)]
    for n, volume in enumerate(volumes):
        study = tree.CreateFolderItem(ward, f"Study {n}")
        tree.SetItemParent(tree.GetItemByDataNode(volume), study)
    volumes[0].SetAndObserveTransformNodeID(sheared(slicer).GetID())
    made = user.logic.segment_many(ward, model=user.parameters.model)
    assert [node.GetName() for node in made] == ["Head 1 T1 segmentation"]
    assert "Study 0: Head 0 T1 was left out: The axes of volume Head 0 T1" in user.log
    volumes[1].SetAndObserveTransformNodeID(volumes[0].GetTransformNodeID())
    with pytest.raises(UserError, match="The axes of volume Head 0 T1"):
        user.logic.segment_many(ward, model=user.parameters.model)


def sheared(slicer):
    matrix = np.eye(4)
    matrix[0, 1] = 0.5
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "Sheared")
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    return transform


def test_who_segments_on_while_the_scene_closes_is_refused(quick):
    import slicer

    from segmamba.errors import UserError

    user, refused = quick, []
    volume = slicer.util.getNode("Head 0 T1")

    def again(_run):
        try:
            user.logic.segment(volume, user.parameters.model, wait=False)
        except UserError as error:
            refused.append(str(error))

    model = user.parameters.model
    user.logic.segment(volume, model, wait=False, on_done=again)
    user.logic.segmenting.shut_down()
    user.logic.segment(volume, model, wait=False, on_done=again)
    slicer.mrmlScene.Clear(0)
    assert len(refused) == 2 and "while the scene is closed" in refused[0]
    assert not user.busy and not user.logic.segmenting.warm


def test_another_first_volume_gets_a_segmentation_of_its_own(quick):
    import slicer

    user = quick
    user.segment()
    first = user.parameters.output
    user.parameters.input1 = slicer.util.getNode("Head 1 T1")
    assert user.parameters.output is None
    user.segment()
    assert user.parameters.output is not first and user.parameters.output.GetName() == "Head 1 T1 segmentation"
    # But one that the user has chosen stays chosen.
    user.parameters.output = first
    user.parameters.input1 = slicer.util.getNode("Head 0 T1")
    assert user.parameters.output is first


def test_memory_is_given_back_where_the_model_shall_not_be_kept(quick):
    user = quick
    user.ui.keepModelCheckBox.setChecked(False)
    user.segment()
    assert not user.logic.segmenting.warm and "nothing to free" in user.ui.freeMemoryButton.toolTip
    user.ui.keepModelCheckBox.setChecked(True)
    user.segment()
    assert user.logic.segmenting.warm, user.log
    user.press("freeMemoryButton")
    assert not user.logic.segmenting.warm


def test_what_the_console_runs_is_shown_and_changes_no_choice_of_the_panel(quick):
    import slicer

    user = quick
    volume = slicer.util.getNode("Head 1 T1")
    ended = []
    node = user.logic.segment(
        volume, model=user.parameters.model, on_progress=lambda *_: ended.append(user.ui.segmentButton.text)
    )
    assert set(ended) == {"Cancel"} and "Head 1 T1: done in" in user.status
    assert user.parameters.output is None and user.panel.results.latest is node
    assert user.parameters.input1.GetName() == "Head 0 T1"


def test_probabilities_and_uncertainty_become_volumes(quick):
    import slicer

    user = quick
    user.ui.probabilitiesCheckBox.setChecked(True)
    user.ui.uncertaintyCheckBox.setChecked(True)
    user.segment()
    assert len(slicer.util.getNodes("*probability*")) == 2, user.log
    values = slicer.util.arrayFromVolume(slicer.util.getNode("Head 0 T1 uncertainty"))
    assert values.shape == (12, 18, 16) and 0 <= values.min() < values.max() <= 1
    # They are results, and no inputs.
    user.panel.inputs.pick(anew=True)
    assert user.parameters.input1.GetName() == "Head 0 T1"


def test_all_studies_of_a_folder_are_segmented_one_after_another(quick):
    import slicer

    user = quick
    tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    ward = tree.CreateFolderItem(tree.GetSceneItemID(), "Ward")
    for n in range(2):
        study = tree.CreateFolderItem(ward, f"Study {n}")
        tree.SetItemParent(tree.GetItemByDataNode(slicer.util.getNode(f"Head {n} T1")), study)
    user.parameters.cases = "folder:Ward"
    assert user.ui.casesSelector.currentText == "All studies in Ward" and user.ui.segmentButton.enabled
    texts = []
    user.press()
    for run in user.logic.segmenting.runs:
        run.progressed.connect(lambda *_: texts.append(user.status))
    user.wait()
    made = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
    assert [node.GetName() for node in made] == ["Head 0 T1 segmentation", "Head 1 T1 segmentation"], user.log
    assert any("Case 1 of 2" in text for text in texts) and any("Case 2 of 2" in text for text in texts)
    for n, node in enumerate(made):
        parent = tree.GetItemParent(tree.GetItemByDataNode(node))
        assert tree.GetItemName(parent) == f"Study {n}"
    assert user.parameters.output is None and user.ui.openEditorButton.enabled
    user.parameters.cases = "folder:Elsewhere"
    user.press()
    assert "not in this scene" in user.status and not user.busy


def test_every_item_of_a_sequence_is_segmented_and_kept_as_that_item(quick):
    import slicer

    user = quick
    sequence = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "Beating")
    sequence.SetIndexName("time")
    sequence.SetIndexUnit("s")
    for n in range(2):
        sequence.SetDataNodeAtValue(slicer.util.getNode(f"Head {n} T1"), str(n))
    browser = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "Browser")
    browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
    slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
    proxy = browser.GetProxyNode(sequence)
    user.parameters.input1 = proxy
    user.parameters.cases = f"sequence:{browser.GetID()}"
    assert user.ui.casesSelector.currentText == "All 2 items of sequence Browser"
    user.segment()
    made = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
    assert len(made) == 1, user.log
    kept = browser.GetSequenceNode(made[0])
    assert kept is not None and kept.GetNumberOfDataNodes() == 2
    # Each item is the segmentation of its own volume.
    for n in range(2):
        alone = user.logic.segment(slicer.util.getNode(f"Head {n} T1"), model=user.parameters.model)
        browser.SetSelectedItemNumber(n)
        slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
        for name in ("Front", "Back"):
            here, there = (
                slicer.util.arrayFromSegmentBinaryLabelmap(
                    node, node.GetSegmentation().GetSegmentIdBySegmentName(name), proxy
                )
                for node in (made[0], alone)
            )
            assert np.array_equal(here, there), (n, name)


def test_a_volume_removed_before_its_turn_fails_its_case_and_no_other(quick):
    import slicer

    from segmamba.errors import UserError

    user = quick
    volumes = [slicer.util.getNode(f"Head {n} T1") for n in range(2)]
    ended = []
    runs = user.logic.segment_many(
        [[volume] for volume in (*volumes, volumes[0])], model=user.parameters.model, wait=False, on_done=ended.append
    )
    slicer.mrmlScene.RemoveNode(volumes[1])
    user.wait()
    assert [run.state for run in runs] == ["done", "failed", "done"] and ended == runs
    assert "Head 1 T1 was removed" in runs[1].error
    with pytest.raises(UserError, match="There are no cases"):
        user.logic.segment_many([], model=user.parameters.model)


def test_the_segment_editor_and_the_table_are_opened_with_the_result(quick):
    import slicer

    user = quick
    user.segment()
    user.press("showTableButton")
    selection = slicer.app.applicationLogic().GetSelectionNode()
    assert selection.GetActiveTableID() == user.panel.results._table.GetID()
    user.press("show3DButton")
    assert user.parameters.output.GetSegmentation().ContainsRepresentation("Closed surface")
