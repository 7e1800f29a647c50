"""Taking a result back and bringing it again: what the user did meanwhile is not lost unasked."""

import numpy as np
import pytest
from mrml_places import BACK, FRONT, draw, ids_of, mask_of
from SegMambaSlicerLib.nodes import tables, undo
from SegMambaSlicerLib.nodes.segmentation import Result, edited_segments, place_result


@pytest.fixture
def volume(make_volume):
    return make_volume()


@pytest.fixture
def node(volume, metadata, labels):
    """With a segment of the user's and a second result."""
    found = place_result(Result(labels), metadata, volume)
    draw(found, volume, "mine", labels == 2)
    return place_result(Result(np.roll(labels, 1, axis=2)), metadata, volume, found)


@pytest.mark.parametrize("where", ["mine", FRONT, "added"])
def test_work_since_the_result_is_not_taken_back_unasked(node, volume, labels, where):
    drawn = labels == 0
    draw(node, volume, where, drawn)
    with pytest.raises(undo.ChangedSince, match="changed since its last result"):
        undo.undo(node)
    assert np.array_equal(mask_of(node, where, volume), drawn)
    assert undo.undo(node, force=True)
    assert np.array_equal(mask_of(node, FRONT, volume), labels == 1)
    # And even that can be brought again.
    assert undo.redo(node)
    assert np.array_equal(mask_of(node, where, volume), drawn)


def test_what_is_taken_back_can_be_brought_again(node, volume, labels):
    assert undo.can_undo(node) and not undo.can_redo(node)
    assert undo.undo(node) and undo.can_redo(node) and not undo.can_undo(node) and not undo.undo(node)
    assert np.array_equal(mask_of(node, FRONT, volume), labels == 1)
    assert undo.redo(node) and undo.can_undo(node)
    assert np.array_equal(mask_of(node, FRONT, volume), np.roll(labels, 1, axis=2) == 1)
    undo.undo(node)
    draw(node, volume, "mine", labels == 0)
    with pytest.raises(undo.ChangedSince):
        undo.redo(node)


def test_names_colours_and_display_stay_as_the_user_has_them(node):
    display, segment = node.GetDisplayNode(), node.GetSegmentation().GetSegment("mine")
    display.SetSegmentOpacity3D("mine", 0.25)
    display.SetSegmentVisibility("mine", False)
    display.SetSegmentVisibility2DFill(BACK, False)
    segment.SetName("Lesion")
    segment.SetColor(0, 0, 1)
    for swap in (undo.undo, undo.redo):
        assert swap(node)
        assert display.GetSegmentOpacity3D("mine") == 0.25 and not display.GetSegmentVisibility("mine")
        assert not display.GetSegmentVisibility2DFill(BACK)
        segment = node.GetSegmentation().GetSegment("mine")
        assert (segment.GetName(), segment.GetColor()) == ("Lesion", (0, 0, 1))


# Which segments are ours


def test_a_copy_of_our_segment_is_the_users(volume, metadata, labels):
    node = place_result(Result(labels), metadata, volume)
    copy = node.GetSegmentation().GetSegment(FRONT)
    node.GetSegmentation().AddSegment(_copied(copy), "copy")
    place_result(Result(np.roll(labels, 1, axis=2)), metadata, volume, node)
    assert sorted(ids_of(node)) == sorted([FRONT, BACK, "copy"]) and edited_segments(metadata, node) == []
    assert np.array_equal(mask_of(node, "copy", volume), labels == 1)
    assert tables.place_table(node).GetNumberOfRows() == 2


def _copied(segment):
    import slicer

    found = slicer.vtkSegment()
    found.DeepCopy(segment)
    return found
