"""Thumbnails: the slice with most of the label, in millimetres, and a picture whatever could not be read."""

import io

import numpy as np
import pytest
import SimpleITK as sitk
from matplotlib.image import imread

from segmamba.data.datasets import LabelEntry
from segmamba.evaluation.thumbnails import draw_thumbnail, tint

LABELS = (LabelEntry("a", 1, (1,)), LabelEntry("b", 2, (2,)))


def pixels(image, label, labels=LABELS) -> np.ndarray:
    return imread(io.BytesIO(draw_thumbnail(image, label, labels)))[..., :3]


def volumes(spacing=(1.0, 1.0, 1.0)):
    values = np.zeros((10, 20, 30), np.float32)
    values[4] = 100  # k = 4 alone is bright
    label = np.zeros(values.shape, np.uint8)
    label[4, 5:10, 5:25] = 1
    label[6, 5:10, 5:8] = 2
    pair = [sitk.GetImageFromArray(v) for v in (values, label)]
    for image in pair:
        image.SetSpacing(spacing)
    return pair


def test_the_slice_with_most_of_the_label_is_shown_and_tinted():
    picture = pixels(*volumes())
    assert picture.shape == (160, 160, 3)
    red = (picture[..., 0] > picture[..., 1] + 0.1).mean()
    # 5 x 20 of 20 x 30 voxels, and 30 voxels are 160 pixels wide.
    assert red == pytest.approx(100 / 900, rel=0.15)


def test_proportions_are_those_of_millimetres():
    image, label = volumes(spacing=(1.0, 3.0, 1.0))
    shown = pixels(sitk.Cast(image * 0 + sitk.Cast(label > 9, sitk.sitkFloat32) + 5, sitk.sitkFloat32), label)
    columns = np.flatnonzero((shown[..., 0] > 0.2).any(axis=0))
    assert columns.size  # the label is there, and the slice lies across the thick axis
    rows = np.flatnonzero((shown[..., 0] > 0.2).any(axis=1))
    assert np.ptp(columns) > np.ptp(rows)


def test_something_is_drawn_whatever_is_missing():
    image, label = volumes()
    plain = [pixels(*pair) for pair in ((None, None), (image, None), (None, label), (image * float("nan"), label))]
    assert all(picture.shape == (160, 160, 3) for picture in plain)
    other = sitk.GetImageFromArray(np.ones((3, 4, 5), np.uint8))
    np.testing.assert_array_equal(pixels(image, other), pixels(image, None))


def test_each_label_has_a_colour_of_its_own():
    assert len({tint(n, 7) for n in range(7)}) == 7
