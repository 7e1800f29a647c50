"""Items of a sequence browser as cases, and their results as a sequence."""

import numpy as np
import pytest
from mrml_places import FRONT, SHAPE, ids_of, mask_of
from SegMambaSlicerLib.nodes import sequences
from SegMambaSlicerLib.nodes.segmentation import Result, place_result

from segmamba.errors import UserError


@pytest.fixture
def browser(scene, make_volume):
    """Three items; every voxel of item n is 10 n; a vector volume goes along."""
    found = scene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "4D")
    for name, node_class, shape in (
        ("image", "vtkMRMLScalarVolumeNode", SHAPE),
        ("field", "vtkMRMLVectorVolumeNode", (*SHAPE, 3)),
    ):
        sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode", name)
        sequence.SetIndexName("time")
        sequence.SetIndexUnit("s")
        for n in range(3):
            volume = make_volume(np.full(shape, 10 * n, np.int16), node_class=node_class)
            sequence.SetDataNodeAtValue(volume, f"{n * 0.5}")
            scene.RemoveNode(volume)
        found.AddSynchronizedSequenceNode(sequence)
    return found


def value(volume) -> int:
    import slicer.util

    return int(slicer.util.arrayFromVolume(volume)[0, 0, 0])


def test_every_item_is_a_case_whose_volumes_show_it(browser):
    items = sequences.volumes_of_sequence(browser)
    assert [item.name for item in items] == ["4D time 0.0 s", "4D time 0.5 s", "4D time 1.0 s"]
    assert [len(item.volumes) for item in items] == [1, 1, 1]
    browser.SetSelectedItemNumber(1)
    seen = []
    for item in items:
        with sequences.shown(item):
            seen.append(value(item.volumes[0]))
    assert seen == [0, 10, 20]
    assert browser.GetSelectedItemNumber() == 1 and value(items[0].volumes[0]) == 10


def test_the_browser_goes_back_even_after_an_error(browser):
    item = sequences.volumes_of_sequence(browser)[2]
    with pytest.raises(RuntimeError), sequences.shown(item):
        raise RuntimeError
    assert browser.GetSelectedItemNumber() == 0


def test_results_become_a_sequence_that_the_browser_shows(browser, metadata, labels):
    items = sequences.volumes_of_sequence(browser)
    node, wanted = None, []
    for item in items:
        wanted.append(np.roll(labels, item.number, axis=0))
        with sequences.shown(item):
            node = place_result(Result(wanted[-1]), metadata, item.volumes[0], node)
            sequence = sequences.keep(item, node)
    assert sequence.GetNumberOfDataNodes() == 3 and browser.GetProxyNode(sequence) is node
    for item in reversed(items):
        browser.SetSelectedItemNumber(item.number)
        sequences._update(browser)
        assert np.array_equal(mask_of(node, FRONT, item.volumes[0]), wanted[item.number] == 1)


def test_an_item_without_a_result_shows_none(browser, metadata, labels):
    items = sequences.volumes_of_sequence(browser)
    with sequences.shown(items[1]):
        node = place_result(Result(labels), metadata, items[1].volumes[0])
        sequences.keep(items[1], node)
    with sequences.shown(items[2]):
        assert ids_of(node) == []
    with sequences.shown(items[1]):
        assert np.array_equal(mask_of(node, FRONT, items[1].volumes[0]), labels == 1)


def test_a_browser_without_scalar_volumes_is_refused(scene):
    empty = scene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "nothing")
    with pytest.raises(UserError, match="nothing shows no scalar volume"):
        sequences.volumes_of_sequence(empty)
