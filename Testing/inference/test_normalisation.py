"""Intensity normalisation against numpy's plain formulas."""

import numpy as np
import pytest

from segmamba.inference.normalisation import apply_scale, percentiles, scale_of
from segmamba.metadata import Normalisation


@pytest.fixture
def array():
    generator = np.random.default_rng(1)
    values = generator.normal(50, 200, (9, 11, 13)).astype(np.float32)
    values[generator.random(values.shape) < 0.4] = 0
    return values


def normalised(array, *args, **kwargs):
    copy = array.copy()
    apply_scale(copy, scale_of(copy, Normalisation(*args, **kwargs)))
    return copy


def test_zscore_over_all_voxels_has_mean_nought_and_deviation_one(array):
    result = normalised(array, "zscore")
    assert result.mean() == pytest.approx(0, abs=1e-5) and result.std() == pytest.approx(1, abs=1e-5)
    assert np.allclose(result, (array - array.mean()) / array.std(), atol=1e-5)


def test_zscore_over_nonzero_voxels_keeps_the_background_at_nought(array):
    result, inside = normalised(array, "zscore", "nonzero"), array != 0
    assert np.all(result[~inside] == 0)
    assert np.allclose(result[inside], (array[inside] - array[inside].mean()) / array[inside].std(), atol=1e-5)


def test_a_window_is_clipped_and_scaled_to_nought_and_one(array):
    result = normalised(array, "window", window=(-100.0, 300.0))
    assert np.allclose(result, (array.clip(-100, 300) + 100) / 400, atol=1e-6)
    assert result.min() == 0 and result.max() == 1


@pytest.mark.parametrize("region", ["all", "nonzero"])
def test_percentile_clips_before_the_zscore(array, region):
    result = normalised(array, "percentile", region, percentiles=(5.0, 90.0))
    inside = array != 0 if region == "nonzero" else np.ones(array.shape, bool)
    clipped = array[inside].clip(*np.percentile(array[inside], (5, 90)))
    assert np.allclose(result[inside], (clipped - clipped.mean()) / clipped.std(), atol=1e-5)
    assert np.all(result[~inside] == 0)


def test_none_leaves_every_value(array):
    assert np.array_equal(normalised(array, "none"), array)


def test_percentiles_are_numpys_for_any_values():
    generator = np.random.default_rng(2)
    for values in (
        generator.normal(0, 1e-3, (4, 5, 6)),
        generator.integers(-3, 4, (8, 9, 10)),
        generator.normal(size=(3, 3, 3)) * 10.0 ** generator.integers(-30, 30, (3, 3, 3)),
        np.full((2, 2, 2), -7.5),
    ):
        values = values.astype(np.float32)
        wanted = (0, 0.5, 33.3, 50, 99.5, 100)
        assert percentiles(values, wanted) == pytest.approx(np.percentile(values.astype(float), wanted), rel=1e-6)


def test_an_image_with_no_voxel_in_the_region_stays_as_it_is():
    empty = np.zeros((3, 3, 3), dtype=np.float32)
    for kind, extra in (("zscore", {}), ("percentile", {"percentiles": (1.0, 99.0)})):
        assert np.array_equal(normalised(empty, kind, "nonzero", **extra), empty)


def test_one_value_in_the_region_becomes_nought_rather_than_infinite():
    mask = np.zeros((4, 4, 4), dtype=np.float32)
    mask[1:3] = 5
    assert np.all(normalised(mask, "zscore", "nonzero") == 0)
