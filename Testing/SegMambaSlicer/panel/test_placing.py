"""Runs from their beginning to their nodes, with a result written by hand: what is refused, kept and never lost."""

import numpy as np
import pytest

from segmamba.errors import UserError

FRONT = "SegMamba_tiny_Front"
SHAPE = (12, 18, 16)


@pytest.fixture
def bundle(application, tiny_model):
    from SegMambaSlicerLib.logic import Segmenting

    return Segmenting.find(str(tiny_model))


@pytest.fixture
def volume(application):
    import slicer

    values = np.random.default_rng(0).normal(100, 30, SHAPE)
    return slicer.util.addVolumeFromArray(values, np.diag([1.0, 1.0, 2.0, 1.0]), "Head T1")


@pytest.fixture
def browser(volume):
    """Three items of a sequence; the second is smaller."""
    import slicer

    sequence = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "Beating")
    for n, shape in enumerate([SHAPE, (12, 8, 16), SHAPE]):
        slicer.util.updateVolumeFromArray(volume, np.random.default_rng(n).normal(100, 30, shape))
        sequence.SetDataNodeAtValue(volume, str(n))
    slicer.mrmlScene.RemoveNode(volume)
    found = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "Browser")
    found.SetAndObserveMasterSequenceNodeID(sequence.GetID())
    return found


def labels(shift=0, shape=SHAPE):
    values = np.zeros(shape, np.uint8)
    values[2:6, 2:6, 2 + shift : 6 + shift] = 1
    values[7:9, 2:6, 2:6] = 2
    return values


def make(bundle, volume, output=None, **arguments):
    from SegMambaSlicerLib.options import Options
    from SegMambaSlicerLib.run import Run

    options = Options(**{name: arguments.pop(name) for name in ("probabilities", "uncertainty") if name in arguments})
    return Run(bundle, [volume], options, output, **arguments)


def begin(run):
    run.job.state = "running"
    run.job.prepare(run.job)
    return run


def end(run, values=None):
    """As the runner does when the worker has answered."""
    values = labels() if values is None else values
    output = run.job.request["output"]
    np.save(output["labels"], values)
    for name, stack in (("probabilities", 3), ("uncertainty", None)):
        if name in output:
            np.save(output[name], np.full((stack, *values.shape) if stack else values.shape, values.sum() / 1000))
    run.job.result, run.job.state = output, "done"
    run.job.finished.emit(run.job)
    run.job.remove_folder()
    return run


def fail(run):
    run.job.state, run.job.error = "failed", "It did not work."
    run.job.finished.emit(run.job)


def mask(node, volume, segment_id=FRONT):
    import slicer

    return slicer.util.arrayFromSegmentBinaryLabelmap(node, segment_id, volume).astype(bool)


def edit(node, volume, planes):
    import slicer

    values = mask(node, volume).astype(np.uint8)
    values[planes] = 1 - values[planes]
    slicer.util.updateSegmentBinaryLabelmapFromArray(values, node, FRONT, volume)
    return values == 1


def show(browser, number):
    import slicer

    browser.SetSelectedItemNumber(number)
    slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)


def turned(node):
    import slicer

    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "Sheared")
    matrix = np.eye(4)
    matrix[0, 1] = 0.5
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    node.SetAndObserveTransformNodeID(transform.GetID())
    return transform


# What is chosen for the result


def test_outputs_and_regions_that_cannot_be_used_are_refused_at_once(bundle, volume):
    import slicer
    import vtk

    for name, thing, words in (
        ("output", "Mine", "output is 'Mine', which is no segmentation"),
        ("output", volume, "output is Head T1, which is no segmentation"),
        ("roi", volume, "roi is Head T1, which is no markups ROI"),
    ):
        with pytest.raises(UserError, match=words):
            make(bundle, volume, **{name: thing})
    output = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Mine")
    output.GetSegmentation().AddEmptySegment("mine", "Mine")
    turned(output)
    with pytest.raises(UserError, match="Mine lies under another transform"):
        make(bundle, volume, output)
    other = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Contours")
    other.GetSegmentation().SetSourceRepresentationName("Planar contour")
    segment = slicer.vtkSegment()
    segment.AddRepresentation("Planar contour", vtk.vtkPolyData())
    other.GetSegmentation().AddSegment(segment, "mine")
    with pytest.raises(UserError, match="Contours cannot be turned into labelmaps"):
        make(bundle, volume, other)


def test_a_result_that_its_output_cannot_take_any_more_comes_into_a_new_one(bundle, volume):
    import slicer

    output = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Mine")
    output.GetSegmentation().AddEmptySegment("mine", "Mine")
    run = begin(make(bundle, volume, output))
    turned(output)
    end(run)
    assert run.state == "done" and run.segmentation is not output
    assert np.array_equal(mask(run.segmentation, volume), labels() == 1)
    assert output.GetSegmentation().GetSegmentIDs() == ("mine",) and "Mine lies under" in run.warnings[-1]


@pytest.mark.parametrize("removed", [False, True])
def test_a_result_of_a_volume_that_was_changed_meanwhile_lies_where_the_volume_was(bundle, volume, removed):
    import slicer

    before = slicer.util.addVolumeFromArray(np.zeros(SHAPE), np.diag([1.0, 1.0, 2.0, 1.0]), "as it was")
    tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    study = tree.CreateFolderItem(tree.GetSceneItemID(), "Study")
    tree.SetItemParent(tree.GetItemByDataNode(volume), study)
    run = begin(make(bundle, volume, uncertainty=True))
    if removed:
        slicer.mrmlScene.RemoveNode(volume)
    else:
        slicer.util.updateVolumeFromArray(volume, np.zeros((3, 4, 5)))
    end(run)
    assert run.state == "done", run.error
    assert "Head T1 was changed or removed" in run.warnings[-1]
    assert run.segmentation.GetName() == "Head T1 segmentation"
    assert np.array_equal(mask(run.segmentation, before), labels() == 1)
    assert slicer.util.arrayFromVolume(run.uncertainty).shape == SHAPE
    volumes = slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode")
    assert tree.GetItemParent(tree.GetItemByDataNode(run.segmentation)) == study
    assert volumes == (2 if removed else 3), "the stand-in is gone"


def test_what_the_user_can_mend_is_a_user_error_of_the_console_call(bundle, volume, monkeypatch):
    from SegMambaSlicerLib import placing
    from SegMambaSlicerLib.logic import Segmenting

    def place(*_arguments):
        raise UserError("Choose another output.")

    monkeypatch.setattr(placing, "place", place)
    segmenting = Segmenting()
    with pytest.raises(UserError, match="Choose another output"):
        segmenting._wait_for([end(begin(make(bundle, volume)))])
    segmenting.close()


# Edits meanwhile


def test_what_is_edited_after_the_answer_replace_stays(bundle, volume):
    node = end(begin(make(bundle, volume))).segmentation
    edit(node, volume, slice(0, 1))
    agreed = begin(make(bundle, volume, node, replace_edited=True))
    end(agreed, labels(1))
    assert len(node.GetSegmentation().GetSegmentIDs()) == 2
    assert np.array_equal(mask(node, volume), labels(1) == 1) and not agreed.warnings[1:]

    edit(node, volume, slice(0, 1))
    run = begin(make(bundle, volume, node, replace_edited=True))
    drawn = edit(node, volume, slice(10, 11))
    end(run, labels(2))
    assert np.array_equal(mask(node, volume), drawn) and "Front of Head T1 segmentation was edited" in run.warnings[-1]
    assert np.array_equal(mask(node, volume, FRONT + "_2"), labels(2) == 1)


# Sequences


def runs_of(bundle, browser, **arguments):
    from SegMambaSlicerLib.nodes import sequences

    runs = []
    for item in sequences.volumes_of_sequence(browser):
        before = runs[-1] if runs else None
        runs.append(make(bundle, item.volumes[0], item=item, before=before, title=item.name, **dict(arguments)))
    return runs


def test_a_failed_item_does_not_part_the_sequence_of_results(bundle, browser):
    import slicer

    first, second, third = runs_of(bundle, browser)
    end(begin(first))
    fail(second)
    end(begin(third), labels(2))
    assert third.segmentation is first.segmentation
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 1
    assert browser.GetSequenceNode(first.segmentation).GetNumberOfDataNodes() == 2


def test_every_result_is_kept_of_each_item(bundle, browser):
    import slicer
    from SegMambaSlicerLib.nodes import undo

    first, second, third = runs_of(bundle, browser, probabilities=True, uncertainty=True)
    end(begin(first))
    fail(second)
    smaller = labels()
    smaller[smaller == 1] = 0
    smaller[2, 2, 2] = 1
    end(begin(third), smaller)
    assert (third.uncertainty, third.table) == (first.uncertainty, first.table)
    assert third.probabilities == first.probabilities and not undo.can_undo(first.segmentation)
    for number, values in ((0, labels()), (2, smaller)):
        show(browser, number)
        assert first.table.GetCellText(0, 1) == str((values == 1).sum())
        for node in (first.uncertainty, *first.probabilities):
            assert np.allclose(slicer.util.arrayFromVolume(node), values.sum() / 1000)
    show(browser, 1)
    assert first.uncertainty.GetImageData() is None and first.table.GetNumberOfRows() == 0


def test_region_and_checks_are_those_of_the_item(bundle, browser):
    import slicer

    roi = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "R")
    roi.SetXYZ(8, 13, 10)  # beyond the end of the second item, at 8 of 18
    roi.SetSize(6, 6, 6)
    from SegMambaSlicerLib.nodes import sequences

    items = sequences.volumes_of_sequence(browser)
    show(browser, 0)
    with pytest.raises(UserError, match="lies outside"):
        make(bundle, items[1].volumes[0], item=items[1], roi=roi)
    roi.SetXYZ(8, 7, 10)
    run = make(bundle, items[1].volumes[0], item=items[1], roi=roi)
    begin(run)
    assert run.job.request["roi"][1] == [4, 8], "clipped to the item, and not to what is shown"
    run.job.remove_folder()


def test_items_that_were_moved_or_removed_fail_alone(bundle, browser):
    import slicer

    first, second, third = runs_of(bundle, browser)
    master = browser.GetMasterSequenceNode()
    begin(first)
    master.RemoveDataNodeAtValue("0")
    with pytest.raises(UserError, match="Browser time 1 s is not where it was"):
        second.job.prepare(second.job)
    end(first)
    assert first.state == "done" and "outside the sequence" in first.warnings[-1]
    assert browser.GetSequenceNode(first.segmentation) is None
    assert first.segmentation.GetSegmentation().GetNumberOfSegments() == 2
    slicer.mrmlScene.RemoveNode(browser)
    with pytest.raises(UserError, match="is not where it was"):
        third.job.prepare(third.job)


# Cases


def test_folders_with_the_same_names_are_told_apart(bundle, volume):
    import slicer
    from SegMambaSlicerLib.cases import cases_of, sources

    tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    volumes = [volume, *(slicer.util.addVolumeFromArray(np.zeros(SHAPE), name=f"Head {n} T1") for n in range(2))]
    for node in volumes:
        ward = tree.CreateFolderItem(tree.GetSceneItemID(), "Ward")
        tree.SetItemParent(tree.GetItemByDataNode(node), ward)
    named = [source for source, _title in sources() if source.startswith("folder:Ward")]
    assert named == ["folder:Ward", "folder:Ward (2)", "folder:Ward (3)"]
    assert [cases_of(source, bundle.metadata)[0][0].volumes for source in named] == [[node] for node in volumes]
