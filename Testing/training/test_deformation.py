"""Maps of space: one interpolation, millimetres along every axis, smooth and without folds."""

import numpy as np
import pytest
import torch
from scipy import interpolate, ndimage

from segmamba.training.deformation import moved, places_from, random_displacement, spline_weights
from segmamba.training.recipe import MOST_DISPLACED


class Extremes:
    """A source whose uniform numbers are always one end of their range or the other."""

    def __init__(self, seed):
        self._source = np.random.default_rng(seed)

    def uniform(self, low, high, shape):
        return np.where(self._source.random(shape) < 0.5, low, high)


def smallest_jacobian(displacement, step):
    """Of the map x + displacement(x), from differences of voxels ``step`` mm apart."""
    field = displacement.double().numpy()
    changes = np.stack([np.gradient(field[n], step, axis=(2, 1, 0)) for n in range(3)])  # [to, from]
    return np.linalg.det(np.moveaxis(changes, (0, 1), (-2, -1)) + np.eye(3)).min()


def test_a_map_that_changes_nothing_returns_the_array():
    image = torch.randn(2, 12, 14, 16, generator=torch.Generator().manual_seed(0))
    for displacement in (None, torch.zeros(3, 12, 14, 16)):
        places = places_from((12, 14, 16), np.array([1.0, 2.0, 3.0]), np.eye(3), displacement)
        for mode in ("bilinear", "nearest"):
            assert torch.allclose(moved(image, places, mode), image, atol=1e-4)


def test_a_constant_displacement_in_millimetres_shifts_by_as_many_voxels():
    image = torch.randn(1, 8, 10, 12, generator=torch.Generator().manual_seed(0))
    shift = torch.tensor([2.0, 4.0, 6.0])[:, None, None, None].expand(3, 8, 10, 12)  # i, j, k mm
    places = places_from((8, 10, 12), np.array([1.0, 2.0, 6.0]), np.eye(3), shift)
    for mode in ("bilinear", "nearest"):
        result = moved(image, places, mode)
        assert torch.allclose(result[:, :-1, :-2, :-2], image[:, 1:, 2:, 2:], atol=1e-4)
        assert not result[:, -1].any() and not result[:, :, -2:].any() and not result[..., -2:].any()


def test_the_matrix_comes_after_the_displacement_in_one_interpolation():
    shape, spacing = (14, 18, 22), np.array([1.0, 1.5, 2.0])
    matrix = np.array([[1.1, 0.2, 0.0], [-0.2, 0.9, 0.1], [0.0, 0.1, 1.2]])
    random = np.random.default_rng(0)
    image = random.normal(size=shape)
    displacement = random_displacement(random, shape, spacing, 10.0, np.full(3, 4.0))
    places = places_from(shape, spacing, matrix, displacement)
    result = moved(torch.from_numpy(image)[None], places, "bilinear")[0].numpy()

    voxels = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"))[::-1]  # i, j, k
    centre = ((np.array(shape[::-1]) - 1) / 2)[:, None, None, None]
    mm = (voxels - centre) * spacing[:, None, None, None] + displacement.double().numpy()
    source = np.einsum("ab,bkji->akji", matrix, mm) / spacing[:, None, None, None] + centre
    expected = ndimage.map_coordinates(image, source[::-1], order=1)
    inside = ((source >= 0) & (source <= 2 * centre)).all(0)  # at the border the two treat outside differently
    assert inside.mean() > 0.3
    assert np.abs(result - expected)[inside].max() < 1e-4
    assert np.abs(result - image)[inside].max() > 0.1


def test_weights_are_those_of_a_cubic_b_spline():
    weights = spline_weights(50, 0.13)
    points = np.random.default_rng(0).normal(size=weights.shape[1])
    spline = interpolate.BSpline(np.arange(-3, len(points) + 1), points, 3)
    assert np.allclose(weights @ points, spline(np.arange(50) * 0.13), atol=1e-5)
    assert np.allclose(weights.sum(1), 1, atol=1e-6) and (weights >= 0).all()


def test_a_displacement_is_smooth_and_never_larger_than_its_points_are_moved():
    most = np.array([8.0, 4.0, 0.0])
    field = random_displacement(np.random.default_rng(1), (40, 44, 48), np.ones(3), 20.0, most)
    assert field.shape == (3, 40, 44, 48)
    assert (field.abs().amax((1, 2, 3)) <= torch.from_numpy(most)).all()
    assert field[0].std() > 0.5 and field[1].std() > 0.25 and not field[2].any()
    for axis in range(1, 4):
        assert field.diff(n=2, dim=axis).abs().max() < 0.02 * field.abs().max()


def test_a_displacement_is_the_same_in_millimetres_whatever_the_voxels():
    fine = random_displacement(np.random.default_rng(1), (48, 48, 48), np.ones(3), 20.0, np.full(3, 8.0))
    coarse = random_displacement(np.random.default_rng(1), (16, 24, 48), np.array([1.0, 2, 3]), 20.0, np.full(3, 8.0))
    assert torch.allclose(coarse, fine[:, ::3, ::2], atol=1e-5)


@pytest.mark.parametrize("seed", range(12))
def test_the_largest_displacement_allowed_never_folds_space(seed):
    most = np.full(3, MOST_DISPLACED * 8.0)
    field = random_displacement(Extremes(seed), (48, 48, 48), np.full(3, 0.5), 8.0, most)
    assert field.abs().max() > 2.0
    assert smallest_jacobian(field, 0.5) > 0.02


def test_a_displacement_beyond_what_is_allowed_folds_space():
    most = np.full(3, 2 * MOST_DISPLACED * 8.0)
    fields = [random_displacement(Extremes(n), (48, 48, 48), np.full(3, 0.5), 8.0, most) for n in range(12)]
    assert min(smallest_jacobian(field, 0.5) for field in fields) < 0
