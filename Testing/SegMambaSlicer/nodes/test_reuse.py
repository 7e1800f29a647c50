"""A second result in the same node: what is replaced, what is asked, what stays; and undo."""

import numpy as np
import pytest
from mrml_places import BACK, FRONT, draw, ids_of, make_metadata, mask_of
from SegMambaSlicerLib.nodes import undo
from SegMambaSlicerLib.nodes.provenance import Provenance
from SegMambaSlicerLib.nodes.segmentation import EditedSegments, Result, edited_segments, place_result


@pytest.fixture
def volume(make_volume):
    return make_volume()


@pytest.fixture
def node(volume, metadata, labels):
    return place_result(Result(labels), metadata, volume, provenance=Provenance("tiny-model", "1.0.0"))


@pytest.fixture
def second(labels):
    return np.roll(labels, 1, axis=2)


def content(node, volume):
    return {i: mask_of(node, i, volume) for i in ids_of(node)}


def same(one, two) -> bool:
    return list(one) == list(two) and all(np.array_equal(one[i], two[i]) for i in one)


def test_segments_that_nobody_edited_are_replaced(node, volume, metadata, second):
    assert place_result(Result(second), metadata, volume, node) is node
    assert ids_of(node) == [FRONT, BACK]
    assert np.array_equal(mask_of(node, FRONT, volume), second == 1)
    assert np.array_equal(mask_of(node, BACK, volume), second == 2)
    assert node.GetSegmentation().GetNumberOfLayers() == 1


def test_an_edited_segment_is_never_replaced_without_asking(node, volume, metadata, labels, second):
    drawn = labels == 1
    drawn[6, 7, 8] = True
    draw(node, volume, FRONT, drawn)
    before = content(node, volume)
    with pytest.raises(EditedSegments, match="Front was edited") as error:
        place_result(Result(second), metadata, volume, node)
    assert (error.value.node, error.value.segment_ids, error.value.names) == (node, [FRONT], ["Front"])
    assert same(content(node, volume), before)


def test_who_is_asked_and_says_replace_gets_the_new_one(node, volume, metadata, labels, second):
    draw(node, volume, FRONT, labels == 2)
    place_result(Result(second), metadata, volume, node, replace_edited=True)
    assert ids_of(node) == [FRONT, BACK]
    assert np.array_equal(mask_of(node, FRONT, volume), second == 1)


def test_who_says_keep_gets_both_and_the_new_one_has_a_number(node, volume, metadata, labels, second):
    drawn = np.zeros_like(labels)
    drawn[0, 0, :3] = 1
    draw(node, volume, FRONT, drawn)
    place_result(Result(second), metadata, volume, node, replace_edited=False)
    assert sorted(ids_of(node)) == sorted([FRONT, BACK, FRONT + "_2"])
    assert node.GetSegmentation().GetSegment(FRONT + "_2").GetName() == "Front 2"
    assert np.array_equal(mask_of(node, FRONT, volume), drawn == 1)
    assert np.array_equal(mask_of(node, FRONT + "_2", volume), second == 1)
    # The numbered one is ours and nobody edited it: the next result takes its place.
    place_result(Result(labels), metadata, volume, node, replace_edited=False)
    assert sorted(ids_of(node)) == sorted([FRONT, BACK, FRONT + "_2"])
    assert np.array_equal(mask_of(node, FRONT + "_2", volume), labels == 1)


def test_painting_a_neighbour_away_counts_as_an_edit(node, volume, metadata, labels):
    import slicer.util

    # One labelmap holds both: as the Segment Editor does it, with the overlap overwritten.
    array = slicer.util.arrayFromSegmentInternalBinaryLabelmap(node, FRONT)
    array[array == 2] = 1
    assert edited_segments(metadata, node) == [FRONT, BACK]


def test_what_changes_no_voxel_is_no_edit(node, volume, metadata, tmp_path):
    import slicer

    segment = node.GetSegmentation().GetSegment(FRONT)
    segment.SetName("My front")
    segment.SetColor(0, 0, 1)
    node.GetSegmentation().SeparateSegmentLabelmap(FRONT)
    node.GetSegmentation().CollapseBinaryLabelmaps(False)
    node.CreateClosedSurfaceRepresentation()
    assert edited_segments(metadata, node) == []
    storage = slicer.vtkMRMLSegmentationStorageNode()
    storage.SetFileName(str(tmp_path / "saved.seg.nrrd"))
    storage.SetScene(slicer.mrmlScene)
    assert storage.WriteData(node)
    read = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "read")
    assert storage.ReadData(read)
    assert edited_segments(metadata, read) == []


def test_a_segment_that_was_moved_counts_as_edited(node, make_transform, metadata):
    import vtk

    shift = vtk.vtkTransform()
    shift.Translate(5, 0, 0)
    node.ApplyTransform(shift)
    assert edited_segments(metadata, node) == [FRONT, BACK]


def test_a_name_a_colour_and_a_visibility_that_the_user_gave_stay(node, volume, metadata, second):
    segment = node.GetSegmentation().GetSegment(FRONT)
    segment.SetName("Tip")
    segment.SetColor(0, 0, 1)
    node.GetDisplayNode().SetSegmentVisibility(FRONT, False)
    node.GetDisplayNode().SetSegmentOpacity3D(FRONT, 0.25)
    place_result(Result(second), metadata, volume, node)
    segment = node.GetSegmentation().GetSegment(FRONT)
    assert (segment.GetName(), segment.GetColor()) == ("Tip", (0, 0, 1))
    assert not node.GetDisplayNode().GetSegmentVisibility(FRONT)
    assert node.GetDisplayNode().GetSegmentOpacity3D(FRONT) == 0.25
    assert node.GetDisplayNode().GetSegmentVisibility(BACK)


def test_the_users_other_segments_stay(node, volume, metadata, labels, second):
    mine = np.zeros_like(labels)
    mine[6, :3, :3] = 1
    draw(node, volume, "mine", mine)
    for _ in range(2):
        place_result(Result(second), metadata, volume, node)
    assert sorted(ids_of(node)) == sorted([FRONT, BACK, "mine"])
    assert np.array_equal(mask_of(node, "mine", volume), mine == 1)
    assert node.GetSegmentation().GetSegment("mine").GetName() == "drawn"


def test_another_models_result_takes_the_place_of_what_nobody_edited(node, volume, labels, second):
    drawn = labels == 2
    drawn[0, 0, 0] = True
    draw(node, volume, BACK, drawn)
    place_result(Result(second), make_metadata(name="other"), volume, node)
    assert sorted(ids_of(node)) == sorted([BACK, "SegMamba_other_Front", "SegMamba_other_Back_part"])
    assert np.array_equal(mask_of(node, BACK, volume), drawn)


def test_a_surface_that_was_shown_is_shown_of_the_new_result(node, volume, metadata, labels):
    node.CreateClosedSurfaceRepresentation()
    before = node.GetClosedSurfaceInternalRepresentation(FRONT).GetNumberOfPoints()
    labels[labels == 1] = 0
    labels[2, 4, 4:6] = 1
    place_result(Result(labels), metadata, volume, node)
    assert 0 < node.GetClosedSurfaceInternalRepresentation(FRONT).GetNumberOfPoints() < before


# Undo


@pytest.mark.parametrize("scene_undo", [False, True])
def test_a_result_is_taken_back_in_one_step(scene, node, volume, metadata, labels, second, scene_undo):
    if scene_undo:
        scene.SetUndoOn()
    draw(node, volume, FRONT, labels == 2)
    draw(node, volume, "mine", labels == 1)
    before = content(node, volume)
    result = Result(second)
    place_result(result, metadata, volume, node, Provenance("tiny-model", "9.9.9"), replace_edited=True)
    assert not same(content(node, volume), before)
    if scene_undo:
        assert not undo.can_undo(node) and scene.GetNumberOfUndoLevels() == 1
        scene.Undo()
    else:
        assert undo.can_undo(node) and undo.undo(node)
    assert same(content(node, volume), before)
    assert Provenance.read(node).version == "1.0.0"
    assert edited_segments(metadata, node) == [FRONT]
    assert not undo.can_undo(node) and not undo.undo(node)


@pytest.mark.parametrize("scene_undo", [False, True])
def test_a_node_made_for_a_result_goes_with_it(scene, volume, metadata, labels, scene_undo):
    if scene_undo:
        scene.SetUndoOn()
    node = place_result(Result(labels), metadata, volume)
    if scene_undo:
        scene.Undo()
    else:
        undo.undo(node)
    assert scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0


def test_closing_the_scene_forgets_what_could_be_taken_back(scene, node):
    assert undo.can_undo(node)
    scene.Clear(0)
    fresh = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "fresh")
    assert not undo.can_undo(fresh) and not undo.can_undo(None)
