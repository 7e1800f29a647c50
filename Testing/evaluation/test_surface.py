"""Surface distances: against shapes whose distances are known, and against MONAI's and SciPy's."""

import numpy as np
import pytest
import torch
from monai.metrics import compute_hausdorff_distance, compute_surface_dice
from scipy import ndimage

from segmamba.evaluation.surface import bounding_box, surface, surface_distances

SPACING = (0.7, 1.1, 3.0)  # i, j, k


def cube(start, shape=(24, 24, 24), side=8) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[tuple(slice(s, s + side) for s in start)] = True
    return mask


def ball(radius: float, centre=(0.0, 0.0, 0.0), shape=(60, 70, 80), spacing=(1.0, 1.0, 1.0)) -> np.ndarray:
    """A ball in mm about the array's middle; centre and spacing are i, j, k."""
    places = [
        (np.arange(n) - (n - 1) / 2) * mm - c
        for n, mm, c in zip(shape, reversed(spacing), reversed(centre), strict=True)
    ]
    k, j, i = np.meshgrid(*places, indexing="ij", sparse=True)
    return k**2 + j**2 + i**2 <= radius**2


def blobs(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two random masks that have something in common; they touch the array's edges."""
    random = np.random.default_rng(seed)
    one = ndimage.gaussian_filter(random.normal(size=(14, 20, 17)), 2)
    other = one + 0.7 * ndimage.gaussian_filter(random.normal(size=one.shape), 2)
    return one > np.quantile(one, 0.8), other > np.quantile(other, 0.7)


def test_a_surface_is_what_shares_a_face_with_the_outside():
    mask = cube((0, 2, 2), (4, 9, 9), 4)
    found = surface(mask)
    assert found.sum() == 4**3 - 2**3
    # The array's edge is outside: the first layer is surface.
    assert found[0, 3, 3] and not found[1, 3, 3]
    assert not surface(np.zeros((3, 3, 3), bool)).any()


@pytest.mark.parametrize(("axis", "step"), [(2, 0.7), (1, 1.1), (0, 3.0)])
def test_of_a_cube_moved_along_an_axis_the_distance_is_the_way_in_mm(axis, step):
    start = [6, 6, 6]
    start[axis] += 3
    distances = surface_distances(cube((6, 6, 6)), cube(start), SPACING)
    assert distances.hd95 == pytest.approx(3 * step)
    assert distances.to_reference.max() == pytest.approx(3 * step)
    assert len(distances.to_reference) == 8**3 - 6**3


def test_of_balls_about_one_centre_the_distance_is_the_difference_of_radii():
    spacing = (1.0, 1.0, 2.0)
    distances = surface_distances(ball(20, spacing=spacing), ball(14, spacing=spacing), spacing)
    # A voxel's centre lies up to half a diagonal from the surface it stands for.
    assert distances.hd95 == pytest.approx(6, abs=1.3)
    assert np.median(distances.to_reference) == pytest.approx(6, abs=0.6)
    assert distances.nsd(9) == 1 and distances.nsd(3) == 0


def test_the_greater_of_both_directions_counts():
    # Everything of the small one is near; a tenth of the large one's surface is far.
    one, other = cube((2, 2, 2), side=6), cube((2, 2, 2), side=6)
    other[2:4, 2:4, 8:20] = True
    there, back = surface_distances(one, other, (1, 1, 1)), surface_distances(other, one, (1, 1, 1))
    assert np.percentile(there.to_reference, 95) < np.percentile(there.to_predicted, 95)
    assert there.hd95 == back.hd95 == np.percentile(there.to_predicted, 95) > 5


def test_surface_dice_counts_what_lies_within_the_tolerance_or_on_it():
    one, other = cube((6, 6, 6)), cube((6, 6, 8))
    distances = surface_distances(one, other, SPACING)
    within = (distances.to_reference < 1.4 - 1e-6).sum() + (distances.to_predicted < 1.4 - 1e-6).sum()
    assert distances.nsd(1.39) == within / (len(distances.to_reference) + len(distances.to_predicted)) < 1
    assert distances.nsd(1.4) == 1
    # A spacing of single precision is not beyond a tolerance of the same millimetres.
    assert surface_distances(one, cube((6, 6, 7)), (np.float32(0.7), 1, 1)).nsd(0.7) == 1
    assert surface_distances(one, cube((6, 6, 7)), (1.0000001, 1, 1)).nsd(1) == 1


def test_equal_masks_are_nowhere_apart():
    distances = surface_distances(cube((1, 2, 3)), cube((1, 2, 3)), SPACING)
    assert distances.hd95 == 0 and distances.nsd(0) == 1


def test_with_an_empty_mask_there_is_no_distance():
    empty = np.zeros((24, 24, 24), bool)
    assert surface_distances(cube((1, 1, 1)), empty, SPACING) is None
    assert surface_distances(empty, cube((1, 1, 1)), SPACING) is None
    assert surface_distances(empty, empty, SPACING) is None
    assert surface_distances(np.zeros((0, 3, 3), bool), np.zeros((0, 3, 3), bool), SPACING) is None


def test_masks_of_different_shapes_are_refused():
    with pytest.raises(ValueError, match=r"\(2, 2, 2\).*\(2, 2, 1\)"):
        surface_distances(np.zeros((2, 2, 2), bool), np.zeros((2, 2, 1), bool), SPACING)


@pytest.mark.parametrize("seed", range(4))
def test_figures_are_monai_s(seed):
    one, other = blobs(seed)
    distances = surface_distances(one, other, SPACING)
    tensors = [torch.from_numpy(mask)[None, None] for mask in (one, other)]
    settings = {"include_background": True, "spacing": list(SPACING[::-1])}
    monai = compute_hausdorff_distance(*tensors, percentile=95, **settings).item()
    assert distances.hd95 == pytest.approx(monai, rel=1e-5)
    for tolerance in (0.0, 1.0, 2.5):
        monai = compute_surface_dice(*tensors, class_thresholds=[tolerance], **settings).item()
        assert distances.nsd(tolerance) == pytest.approx(monai, abs=1e-6)


FAR = {
    "a speck far away": (ball(6, (-28, 0, 0)) | cube((30, 35, 75), (60, 70, 80), 2), ball(6, (-28, 1, 0))),
    "most of it far away": (ball(20, (-15, 0, 0)), ball(4, (30, 0, 0))),
    "the whole image": (np.ones((60, 70, 80), bool), ball(10, (5, 5, 5))),
}


@pytest.mark.parametrize("name", FAR)
def test_surfaces_far_from_each_other_are_measured_exactly_too(name):
    one, other = FAR[name]
    spacing = (0.9, 0.7, 0.8)
    distances = surface_distances(one, other, spacing)
    assert distances.to_reference.max() > 16 * max(spacing)
    for source, target, found in ((one, other, distances.to_reference), (other, one, distances.to_predicted)):
        exact = ndimage.distance_transform_edt(~surface(target), sampling=spacing[::-1])[surface(source)]
        np.testing.assert_allclose(found, exact, rtol=1e-5, atol=1e-5)


def test_the_order_of_axes_and_where_masks_lie_make_no_difference():
    one, other = blobs(5)
    found = surface_distances(one, other, SPACING).hd95
    turned = surface_distances(one.transpose(2, 0, 1)[::-1], other.transpose(2, 0, 1)[::-1], (1.1, 3.0, 0.7)).hd95
    padded = surface_distances(np.pad(one, 5), np.pad(other, 5), SPACING).hd95
    assert turned == pytest.approx(found) and padded == pytest.approx(found)


def test_a_bounding_box_holds_the_mask_and_no_more():
    assert bounding_box(cube((1, 2, 3))) == (slice(1, 9), slice(2, 10), slice(3, 11))
    assert bounding_box(np.zeros((2, 2, 2), bool)) is None
