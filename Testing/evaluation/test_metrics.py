"""Dice from voxel counts."""

import numpy as np
import pytest

from segmamba.evaluation.metrics import Overlap, mean_dice, overlap


def test_dice_is_twice_the_common_voxels_over_all():
    predicted, reference = np.zeros((4, 4, 4), bool), np.zeros((4, 4, 4), bool)
    predicted[0], reference[0, :2] = True, True
    reference[1, :2] = True
    counts = overlap(predicted, reference)
    assert counts == Overlap(predicted=16, reference=16, common=8)
    assert counts.dice == 0.5


@pytest.mark.parametrize(("predicted", "reference", "dice"), [(True, True, 1.0), (True, False, 0.0), (False, True, 0)])
def test_full_and_empty_masks(predicted, reference, dice):
    shape = (2, 3, 4)
    assert overlap(np.full(shape, predicted), np.full(shape, reference)).dice == dice


def test_empty_in_both_has_no_dice():
    empty = np.zeros((2, 2, 2), bool)
    assert overlap(empty, empty).dice is None


def test_masks_of_different_shapes_are_refused():
    with pytest.raises(ValueError, match=r"\(2, 2, 2\).*\(2, 2, 1\)"):
        overlap(np.zeros((2, 2, 2), bool), np.zeros((2, 2, 1), bool))


def test_the_mean_leaves_out_cases_empty_in_both_and_counts_misses_as_zero():
    half, miss, none = Overlap(2, 2, 1), Overlap(0, 5, 0), Overlap(0, 0, 0)
    cases = [{"a": half, "b": none}, {"a": miss, "b": none}, {"a": none, "b": none}]
    assert mean_dice(cases) == {"a": 0.25, "b": None}


def test_no_cases_have_no_mean():
    assert mean_dice([]) == {}
