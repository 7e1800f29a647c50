"""Checks of inputs before a job."""

import numpy as np
import pytest
from mrml_places import SHAPE, make_metadata, placed
from SegMambaSlicerLib.nodes.inputs import check_inputs

from segmamba.metadata import Channel, Normalisation

TWO = make_metadata(("T1", "T2"))


@pytest.fixture
def head(make_volume):
    """An ordinary MR volume."""
    values = np.random.default_rng(3).integers(0, 900, SHAPE).astype(np.int16)
    return lambda name="T1", **options: make_volume(values, name=name, **options)


def one(warnings, *words, blocking=False, channel=0):
    """The only warning, with these words."""
    (warning,) = warnings
    assert (warning.blocking, warning.channel) == (blocking, channel), warning
    for word in words:
        assert word in warning.message, warning.message


def test_what_fits_gives_no_warning(head):
    assert check_inputs([head("T1"), head("T2")], TWO) == []


def test_a_channel_without_a_volume_is_named(head):
    one(check_inputs([head("T1"), None], TWO), "channel T2", blocking=True, channel=1)
    one(check_inputs([head("T1")], TWO), "takes 2 volumes, 1 are given", blocking=True, channel=None)


def test_a_label_map_a_colour_volume_and_an_empty_one_block(scene, head, make_volume, metadata):
    mask = head("mask", node_class="vtkMRMLLabelMapVolumeNode")
    one(check_inputs([mask], metadata), "mask is a label map", blocking=True)
    colours = make_volume(np.zeros((*SHAPE, 3), np.uint8), name="photo", node_class="vtkMRMLVectorVolumeNode")
    one(check_inputs([colours], metadata), "photo holds 3 values", blocking=True)
    empty = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "nothing")
    one(check_inputs([empty], metadata), "nothing holds no image", blocking=True)
    one(check_inputs([scene.AddNewNodeByClass("vtkMRMLModelNode", "m")], metadata), "m is no volume", blocking=True)


def test_the_same_volume_twice_blocks(head):
    volume = head("brain")
    one(check_inputs([volume, volume], TWO), "brain is chosen twice", "channel T2", blocking=True, channel=1)


def test_another_grid_is_said_to_be_resampled_and_one_elsewhere_not_to_overlap(head):
    other = head("T2", matrix=placed((1, 1, 1), (-12, 30, -41)))
    first = head("T1", matrix=placed((1.5, 1, 1), (-12, 30, -41)))
    one(check_inputs([first, other], TWO), "T2 has another grid than volume T1", channel=1)
    one(check_inputs([first, head("T2", matrix=placed(origin=(900, 0, 0)))], TWO), "do not overlap", channel=1)


def test_a_first_volume_under_a_bent_transform_blocks_another_channel_does_not(head, make_bent):
    bent = make_bent()
    one(check_inputs([head("T1", transform=bent), None][:1], make_metadata()), "not linear: harden", blocking=True)
    one(check_inputs([head("T1"), head("T2", transform=bent)], TWO), "another grid", channel=1)


def test_ct_without_negative_values_and_mr_with_them_are_implausible(make_volume, head, metadata):
    ct = make_metadata(channels=(Channel("CT", "CT", Normalisation("window", window=(-100, 300))),))
    ct_values = np.random.default_rng(0).integers(-1000, 800, SHAPE).astype(np.int16)
    scan = make_volume(ct_values, name="scan")
    assert check_inputs([scan], ct) == []
    one(check_inputs([head("scan2")], ct), "no negative values", "Hounsfield")
    one(check_inputs([scan], metadata), "reaches down to -99", "meant for MR")


def test_values_that_miss_the_window_are_implausible(make_volume):
    ct = make_metadata(channels=(Channel("CT", "CT", Normalisation("window", window=(0, 1))),))
    values = np.random.default_rng(0).integers(-1000, 800, SHAPE).astype(np.int16)
    one(check_inputs([make_volume(values)], ct), "Hardly any value", "between 0 and 1")


def test_masks_constants_and_values_that_are_no_numbers_are_noticed(make_volume, metadata, labels):
    one(check_inputs([make_volume(labels, name="seg")], metadata), "seg has very few different values")
    one(check_inputs([make_volume(np.full(SHAPE, 7, np.int16))], metadata), "the same value 7 everywhere")
    values = np.random.default_rng(0).random(SHAPE)
    values[3, 3, 3] = np.nan
    one(check_inputs([make_volume(values)], metadata), "no numbers")
    one(check_inputs([make_volume(np.full(SHAPE, np.nan))], metadata), "no numbers")


def test_a_name_or_a_modality_that_speaks_of_something_else_is_noticed(scene, head):
    one(check_inputs([head("T1"), head("T1Gd")], TWO), "T1Gd does not look like channel T2", channel=1)
    volume = head("plain")
    volume.SetAttribute("DICOM.Modality", "US")
    one(check_inputs([volume], make_metadata()), "plain is of modality US")


def test_a_field_of_view_that_the_model_is_not_meant_for_is_noticed(make_volume):
    small = make_metadata(field_of_view=(24, 58))
    values = np.random.default_rng(0).integers(0, 900, (40, 44, 48)).astype(np.int16)
    assert check_inputs([make_volume(values, placed((1, 1, 1)))], small) == []
    one(check_inputs([make_volume(values, placed((4, 4, 4)))], small), "192 x 176 x 160 mm", "24 to 58 mm")


def test_what_blocks_comes_first(head):
    found = check_inputs([head("T2"), None], TWO)
    assert [warning.blocking for warning in found] == [True, False]
