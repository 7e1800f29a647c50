"""Augmentation: a function of the seed, image and label together, in millimetres, mirrored only where labels allow."""

import itertools

import numpy as np
import pytest
import torch
from scipy import ndimage

from segmamba.errors import UserError
from segmamba.training.augmentation import Augmenter, mirror_axes, with_gamma
from segmamba.training.deformation import moved, places_from
from segmamba.training.recipe import Augmentation, load_recipe

NEVER = {f"{name}_probability": 0.0 for name in ("rotate", "scale", "elastic", "brightness", "gamma", "noise")}


def only(**changes) -> Augmentation:
    return Augmentation(**{**NEVER, **changes})


def ball(shape=(32, 32, 32), radius=6.0, centre=(18, 13, 15), spacing=(1, 1, 1)):
    """(D, H, W) 1 inside a ball; centre in voxels and spacing in array order."""
    places = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), -1)
    distance = np.linalg.norm((places - np.array(centre)) * np.array(spacing), axis=-1)
    return torch.from_numpy((distance <= radius).astype(np.float32))


def patch(seed=0):
    """An image that is bright where its label is 1, and the label."""
    label = ball()[None]
    noise = torch.randn(2, 32, 32, 32, generator=torch.Generator().manual_seed(seed))
    return label + 0.01 * noise, label


def test_the_same_seed_gives_the_same_patch_and_another_seed_another():
    augmenter = Augmenter(Augmentation(**{name: 1.0 for name in NEVER}), (0, 1, 2))
    image, label = patch()
    one, two, other = augmenter(image, label, 5), augmenter(image, label, 5), augmenter(image, label, 6)
    assert torch.equal(one[0], two[0]) and torch.equal(one[1], two[1])
    assert not torch.equal(one[0], other[0])


def test_the_global_random_state_is_neither_read_nor_changed():
    augmenter = Augmenter(Augmentation(**{name: 1.0 for name in NEVER}), (0, 1, 2))
    image, label = patch()
    torch.manual_seed(1)
    one = augmenter(image, label, 5)[0]
    state = torch.get_rng_state()
    np.random.seed(3)
    two = augmenter(image, label, 5)[0]
    assert torch.equal(one, two)
    assert torch.equal(state, torch.get_rng_state())


def test_without_probabilities_and_axes_nothing_changes():
    image, label = patch()
    for seed in range(5):
        changed, marks = Augmenter(only(), ())(image, label, seed)
        assert torch.equal(changed, image) and torch.equal(marks, label)


def test_the_input_is_left_as_it_was():
    image, label = patch()
    kept = image.clone(), label.clone()
    Augmenter(Augmentation(**{name: 1.0 for name in NEVER}), (0, 1, 2))(image, label, 1)
    assert torch.equal(image, kept[0]) and torch.equal(label, kept[1])


@pytest.mark.parametrize(
    ("choice", "axes"),
    [
        (only(rotate_probability=1.0), ()),
        (only(scale_probability=1.0), ()),
        (only(rotate_probability=1.0, scale_probability=1.0), (0, 1, 2)),
        (only(elastic_probability=1.0, elastic_spacing=10), ()),
        (only(rotate_probability=1.0, scale_probability=1.0, elastic_probability=1.0), (0, 1, 2)),
        (only(), (0, 1, 2)),
    ],
    ids=["rotation", "scale", "both and mirrors", "elastic", "all and mirrors", "mirrors"],
)
def test_image_and_label_move_together(choice, axes):
    image, label = patch()
    moves = 0
    for seed in range(8):
        changed, marks = Augmenter(choice, axes)(image, label, seed)
        assert changed.shape == image.shape and marks.shape == label.shape
        assert set(marks.unique().tolist()) <= {0.0, 1.0}
        seen = changed[:1] > 0.5
        assert 2 * (seen & (marks > 0)).sum() / (seen.sum() + marks.sum()) > 0.93
        moves += not torch.equal(marks, label)
    assert moves >= 6


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_mirror_turns_round_its_own_image_axis_alone(axis):
    image, label = patch()
    expected = image.flip(3 - axis)  # i is the last axis of the array
    results = [Augmenter(only(), (axis,))(image, label, seed)[0] for seed in range(20)]
    turned = [torch.equal(result, expected) for result in results]
    kept = [torch.equal(result, image) for result in results]
    assert all(a != b for a, b in zip(turned, kept, strict=True))
    assert 4 <= sum(turned) <= 16


def test_scaling_makes_structures_larger_and_smaller_within_the_range():
    label = ball(centre=(15.5, 15.5, 15.5))[None]
    augmenter = Augmenter(only(scale_probability=1.0, scale_range=(0.7, 1.4)), ())
    sizes = [float(augmenter(label, label, seed)[1].sum() / label.sum()) ** (1 / 3) for seed in range(30)]
    assert 0.66 < min(sizes) < 0.8 and 1.25 < max(sizes) < 1.45


@pytest.mark.parametrize("spacing", [(1, 1, 1), (1.0, 2.0, 1.4), (0.7, 0.7, 2.0)])
def test_a_rotated_ball_stays_a_ball_whatever_the_spacing(spacing):
    shape = (24, 40, 44)
    centre = [(n - 1) / 2 for n in shape]
    axes = np.ix_(*(((np.arange(n) - c) * mm) ** 2 for n, c, mm in zip(shape, centre, spacing[::-1], strict=True)))
    blob = torch.from_numpy(np.exp(-sum(axes) / 50).astype(np.float32))[None]  # 5 mm wide whatever the direction
    stretched = torch.from_numpy(np.exp(-(axes[0] + axes[1] + axes[2] / 4) / 50).astype(np.float32))[None]
    augmenter = Augmenter(only(rotate_probability=1.0, rotate_degrees=30), (), spacing)
    inner = (..., slice(6, -6), slice(8, -8), slice(8, -8))  # corners come from outside
    for seed in range(5):
        assert (augmenter(blob, blob, seed)[0] - blob)[inner].abs().max() < 0.06
        assert (augmenter(stretched, stretched, seed)[0] - stretched)[inner].abs().max() > 0.06


def test_thick_slices_are_turned_in_their_plane_and_not_scaled_across():
    label = torch.zeros(1, 12, 40, 40)
    label[:, 4:8, 12:20, 16:34] = 1
    augmenter = Augmenter(only(rotate_probability=1.0, scale_probability=1.0), (), (0.8, 0.8, 5.0))
    changed = 0
    for seed in range(6):
        marks = augmenter(label, label, seed)[1]
        assert not marks[:, :4].any() and not marks[:, 8:].any()
        assert all(torch.equal(marks[:, n], marks[:, 4]) for n in range(5, 8))
        changed += not torch.equal(marks, label)
    assert changed == 6


@pytest.mark.parametrize("elastic", [0.0, 1.0], ids=["linear", "with elastic"])
def test_all_movements_are_one_interpolation_about_the_centre_in_millimetres(elastic):
    spacing = np.array([1.0, 1.5, 2.0])
    choice = only(rotate_probability=1.0, scale_probability=1.0, elastic_probability=elastic, elastic_spacing=10)
    augmenter = Augmenter(choice, (), spacing)
    image = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 14, 18, 22)).astype(np.float32))
    result = augmenter(image, torch.zeros(1, 14, 18, 22), 3)[0]
    matrix = augmenter._draw_matrix(np.random.default_rng(3))
    displacement = augmenter._draw_displacement(np.random.default_rng([3, 1]), (14, 18, 22))
    assert (displacement is not None) == bool(elastic)
    expected = moved(image, places_from((14, 18, 22), spacing, matrix, displacement), "bilinear")
    assert torch.equal(result, expected)
    if not elastic:
        voxels = (np.diag(1 / spacing) @ matrix @ np.diag(spacing))[::-1, ::-1]  # array order
        centre = (np.array(image.shape[1:]) - 1) / 2
        shift = centre - voxels @ centre
        expected = ndimage.affine_transform(image[0].numpy(), voxels, shift, order=1, mode="constant")
        # At the border the two treat outside differently.
        inside = ndimage.affine_transform(np.ones(image.shape[1:]), voxels, shift, order=1) == 1
        assert inside.mean() > 0.3
        assert np.abs(result[0].numpy() - expected)[inside].max() < 1e-4
        assert np.abs(result[0].numpy() - image[0].numpy())[inside].max() > 0.1


def test_an_elastic_deformation_bends_and_is_another_for_every_patch():
    label = torch.zeros(1, 48, 48, 48)
    label[:, 23:25] = 1  # a plane
    augmenter = Augmenter(only(elastic_probability=1.0), ())
    places = []
    for seed in range(8):
        marks = augmenter(label, label, seed)[1][0, :, 8:-8, 8:-8]
        height = (marks * torch.arange(48.0)[:, None, None]).sum(0) / marks.sum(0)
        places.append(height)
        assert height.isfinite().all() and height.diff(dim=0).abs().max() <= 1.5  # bent, not torn
    assert max(float(height.std()) for height in places) > 0.6
    assert all(not torch.equal(a, b) for a, b in itertools.combinations(places, 2))


def test_an_elastic_deformation_of_no_size_changes_nothing():
    image, label = patch()
    changed, marks = Augmenter(only(elastic_probability=1.0, elastic_displacement=0), ())(image, label, 0)
    assert torch.allclose(changed, image, atol=1e-5) and torch.equal(marks, label)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.6, 0.6, 1.5)])
def test_an_elastic_deformation_has_its_size_in_millimetres(spacing):
    """A picture of each voxel's own place, in mm, shows where it was taken from."""
    shape = (32, 48, 48)
    axes = [torch.arange(n) * mm for n, mm in zip(shape, spacing[::-1], strict=True)]
    place = torch.stack(torch.meshgrid(*axes, indexing="ij")).flip(0).float()  # i, j, k
    augmenter = Augmenter(only(elastic_probability=1.0), (), spacing)
    largest = []
    for seed in range(12):
        moves = (augmenter(place, place[:1], seed)[0] - place)[:, 6:-6, 14:-14, 14:-14]
        largest.append(moves.abs().amax((1, 2, 3)))
    finest = min(spacing)
    assert (torch.stack(largest) <= 0.4 * 20 * finest + 1e-3).all()
    assert (torch.stack(largest).amax(0) > 0.1 * 20 * finest).all()


def test_thick_slices_are_deformed_in_their_plane_alone():
    label = torch.zeros(1, 12, 48, 48)
    label[:, 4:8, 12:30, 16:34] = 1
    augmenter = Augmenter(only(elastic_probability=1.0), (), (0.8, 0.8, 5.0))
    changed = 0
    for seed in range(6):
        marks = augmenter(label, label, seed)[1]
        assert not marks[:, :4].any() and not marks[:, 8:].any()
        changed += not torch.equal(marks, label)
    assert changed == 6


def test_turning_the_elastic_deformation_on_leaves_the_other_draws_as_they_were():
    image, label = patch()
    choices = [only(brightness_probability=1.0, elastic_probability=p, elastic_displacement=0) for p in (0.0, 1.0)]
    for seed in range(5):
        one, two = (Augmenter(choice, (0, 1, 2))(image, label, seed)[0] for choice in choices)
        assert torch.allclose(one, two, atol=1e-4)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("elastic_probability", 1.5, "between 0 and 1"),
        ("elastic_spacing", 7.9, "between 8 and 64 voxels"),
        ("elastic_spacing", 65, "between 8 and 64 voxels"),
        ("elastic_displacement", 0.41, "between 0 and 0.4, beyond which space may fold"),
        ("elastic_displacement", -0.1, "between 0 and 0.4"),
    ],
)
def test_a_recipe_whose_elastic_deformation_is_out_of_bounds_is_refused(key, value, words):
    with pytest.raises(UserError) as error:
        load_recipe(changes=[f"augmentation.{key}={value}"])
    assert f"augmentation.{key} is {value}" in str(error.value) and words in str(error.value)


def test_gamma_keeps_mean_and_deviation_and_a_constant_channel():
    channel = torch.rand(8, 8, 8, generator=torch.Generator().manual_seed(0)) * 3 - 1
    changed = with_gamma(channel, 1.5)
    assert changed.mean() == pytest.approx(float(channel.mean()), abs=1e-5)
    assert changed.std() == pytest.approx(float(channel.std()), abs=1e-5)
    assert not torch.allclose(changed, channel, atol=0.02)
    order = channel.flatten().argsort()
    assert (changed.flatten()[order].diff() >= 0).all()
    constant = torch.full((4, 4, 4), 2.0)
    assert torch.equal(with_gamma(constant, 1.5), constant)


def test_brightness_is_each_channels_own_factor_within_the_range():
    image, label = torch.ones(3, 8, 8, 8), torch.zeros(1, 8, 8, 8)
    changed, _ = Augmenter(only(brightness_probability=1.0), ())(image, label, 0)
    factors = [channel.unique() for channel in changed]
    assert all(len(factor) == 1 and 0.75 <= float(factor) <= 1.25 for factor in factors)
    assert len({float(factor) for factor in factors}) == 3


def test_noise_is_at_most_as_strong_as_the_recipe_says():
    image, label = torch.zeros(1, 16, 16, 16), torch.zeros(1, 16, 16, 16)
    augmenter = Augmenter(only(noise_probability=1.0, noise_std=0.2), ())
    strengths = [float(augmenter(image, label, seed)[0].std()) for seed in range(20)]
    assert max(strengths) < 0.22 and max(strengths) > 2 * min(strengths) > 0


def test_a_probability_is_how_often_it_happens():
    image, label = torch.ones(1, 2, 2, 2), torch.zeros(1, 2, 2, 2)
    augmenter = Augmenter(only(brightness_probability=0.3), ())
    share = sum(not torch.equal(augmenter(image, label, seed)[0], image) for seed in range(300)) / 300
    assert 0.22 < share < 0.38


def test_without_sides_in_the_names_every_axis_is_mirrored():
    assert mirror_axes(Augmentation(), ["tumour", "liver", "bone"], "LPS") == (0, 1, 2)


@pytest.mark.parametrize("code", ["LPS", "RAS", "PIR", "SAL"])
@pytest.mark.parametrize(
    ("names", "letters"),
    [
        (["left kidney", "right kidney"], "LR"),
        (["kidney_L", "kidney_R"], "LR"),
        (["LeftKidney"], "LR"),
        (["kidneyleft"], "LR"),
        (["RV", "myocardium"], "LR"),
        (["Anterior", "Posterior"], "AP"),
        (["L upper lobe"], "LRSI"),
        (["superior vena cava"], "SI"),
    ],
)
def test_axes_whose_sides_the_names_tell_are_left_out_in_any_orientation(names, letters, code):
    expected = tuple(axis for axis, letter in enumerate(code) if letter not in letters)
    assert mirror_axes(Augmentation(), names, code) == expected


def test_the_recipes_own_axes_win():
    for axes in itertools.chain([()], itertools.permutations("ijk", 2)):
        expected = tuple(sorted("ijk".index(axis) for axis in axes))
        assert mirror_axes(Augmentation(mirror_axes=axes), ["left", "right"], "LPS") == expected
