"""Phantoms: deterministic, nested, on the grid that was asked for, and written as a data set that reads back."""

import json

import numpy as np
import pytest
import SimpleITK as sitk

from segmamba.data import phantom, phantom_anatomy
from segmamba.data.datasets import check_case, read_case_images, read_case_label, read_dataset
from segmamba.data.splits import find_splits, read_splits
from segmamba.errors import UserError

SMALL = {"size": (40, 48, 40), "spacing": (4.0, 4.0, 4.0)}


def arrays(drawn):
    return [sitk.GetArrayFromImage(image) for image in (*drawn.images, drawn.label)]


@pytest.fixture(scope="module")
def default():
    return phantom.draw(17)


def test_default_grid_types_and_channels(default):
    assert default.channel_names == ("T1", "T1Gd", "T2", "FLAIR")
    assert len(default.images) == 4
    for image in default.images:
        assert image.GetSize() == (80, 96, 80)
        assert image.GetSpacing() == (2.0, 2.0, 2.0)
        assert image.GetDirection() == (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
        assert image.GetPixelID() == sitk.sitkInt16
        assert image.GetOrigin() == default.label.GetOrigin()
    assert default.label.GetPixelID() == sitk.sitkUInt8


def test_same_seed_same_voxels_other_seed_other_voxels():
    first, again, other = (arrays(phantom.draw(seed, **SMALL)) for seed in (3, 3, 4))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


def test_background_is_zero_in_all_channels_and_brain_in_none(default):
    *channels, label = arrays(default)
    outside = channels[0] == 0
    assert all(np.array_equal(channel == 0, outside) for channel in channels)
    assert 0.4 < outside.mean() < 0.75
    assert outside[0].all() and outside[-1].all() and outside[:, 0].all() and outside[:, :, -1].all()
    assert not label[outside].any()


@pytest.mark.parametrize("seed", range(4))
def test_tumour_has_all_parts_and_a_rim_that_two_millimetres_resolve(seed):
    label = sitk.GetArrayFromImage(phantom.draw(seed).label)
    assert set(np.unique(label)) == {0, 1, 2, 3}
    whole = sitk.ConnectedComponent(sitk.GetImageFromArray((label > 0).astype(np.uint8)))
    sizes = np.bincount(sitk.GetArrayFromImage(whole).ravel())[1:]
    assert sizes.max() > 0.98 * sizes.sum()
    diameter = 2 * (8 * (label > 0).sum() * 3 / 4 / np.pi) ** (1 / 3)
    assert 15 < diameter < 75
    rim = np.pad(label == 3, 1)
    faces = sum(np.abs(np.diff(rim.astype(np.int8), axis=axis)).sum() for axis in range(3))
    # A plate of thickness t has 3 t voxels for each two voxel faces counted in all directions.
    assert 3 * rim.sum() / faces > 1.4


def test_contrast_of_tissues_is_that_of_the_sequences():
    ratios = []
    for seed in range(3):
        t1, t1gd, t2, flair, label = (a.astype(float) for a in arrays(phantom.draw(seed)))
        healthy = (label == 0) & (t1 > 0)
        white = healthy & (t1 > np.percentile(t1[healthy], 75)) & (t2 < np.median(t2[healthy]))
        fluid = healthy & (t2 > np.percentile(t2[healthy], 97)) & (t1 < np.median(t1[healthy]))

        def level(channel, where):
            return np.median(channel[where])

        assert level(t1, fluid) < level(t1, label == 1) < level(t1, white)
        assert level(t1gd, label == 3) > 1.2 * level(t1gd, white) > level(t1gd, label == 1)
        assert level(t2, fluid) > level(t2, label == 2) > level(t2, white)
        assert level(flair, label == 2) > 1.3 * level(flair, white)
        assert level(flair, fluid) < 0.7 * level(flair, white)
        ratios.append(level(t1, white))
    assert max(ratios) / min(ratios) > 1.2, "intensities have no common scale"


def test_tumour_is_no_threshold_of_one_channel():
    def best_dice(channel, part):
        """Over all thresholds: more than anybody could reach who does not know the label."""
        levels = np.percentile(channel[channel > 0], np.linspace(80, 99.9, 30))
        return max(2 * ((channel > v) & part).sum() / ((channel > v).sum() + part.sum()) for v in levels)

    whole, rim = [], []
    for seed in range(20, 24):
        _, t1gd, _, flair, label = arrays(phantom.draw(seed))
        whole.append(best_dice(flair, label > 0))
        rim.append(best_dice(t1gd, label == 3))
    assert np.mean(whole) < 0.9
    assert np.mean(rim) < 0.7


@pytest.mark.parametrize(
    "direction",
    [(-1, 0, 0, 0, -1, 0, 0, 0, 1), (0, 0, 1, 1, 0, 0, 0, 1, 0), (0, -1, 0, 0, 0, -1, 1, 0, 0)],
    ids=["flipped", "permuted", "both"],
)
def test_flipped_and_permuted_grids_hold_the_same_head(direction):
    plain = phantom.draw(5, size=(36, 44, 40), spacing=(4.5, 4.0, 4.0))
    matrix = np.reshape(direction, (3, 3))
    order = [int(np.flatnonzero(matrix[:, g])[0]) for g in range(3)]
    size, spacing = [(36, 44, 40)[a] for a in order], [(4.5, 4.0, 4.0)[a] for a in order]
    turned = phantom.draw(5, size=size, spacing=spacing, direction=direction)
    assert turned.label.GetDirection() == direction
    for one, two in zip((*plain.images, plain.label), (*turned.images, turned.label), strict=True):
        back = sitk.DICOMOrient(two, "LPS")
        assert np.array_equal(sitk.GetArrayFromImage(back), sitk.GetArrayFromImage(one))
        assert np.allclose(back.GetOrigin(), one.GetOrigin())
        assert np.allclose(back.GetSpacing(), one.GetSpacing())


def test_oblique_grid_keeps_its_direction_and_tilts_the_head():
    angle = np.deg2rad(20)
    tilt = (1, 0, 0, 0, np.cos(angle), -np.sin(angle), 0, np.sin(angle), np.cos(angle))
    tilted, plain = phantom.draw(5, **SMALL, direction=tilt), phantom.draw(5, **SMALL)
    assert np.allclose(tilted.label.GetDirection(), tilt)
    assert np.array_equal(*(sitk.GetArrayFromImage(p.label) for p in (tilted, plain)))
    middle = [(n - 1) / 2 for n in SMALL["size"]]
    assert np.allclose(*(p.label.TransformContinuousIndexToPhysicalPoint(middle) for p in (tilted, plain)))


def test_another_spacing_samples_the_same_head():
    coarse = phantom.draw(9, size=(54, 64, 54), spacing=(3.0, 3.0, 3.0)).label
    fine = phantom.draw(9).label
    moved = sitk.Resample(coarse, fine, sitk.Transform(), sitk.sitkNearestNeighbor)
    a, b = (sitk.GetArrayFromImage(image) > 0 for image in (moved, fine))
    assert 2 * (a & b).sum() / (a.sum() + b.sum()) > 0.8


def test_small_field_of_view_still_holds_tumour():
    label = sitk.GetArrayFromImage(phantom.draw(2, size=(32, 32, 32)).label)
    assert (label > 0).any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": -1}, "seed"),
        ({"size": (4, 40, 40)}, "size"),
        ({"spacing": (2.0, 0.0, 2.0)}, "spacing"),
        ({"direction": (1, 0, 0, 0, 1, 0, 0, 1, 1)}, "direction"),
        ({"direction": (1, 0, 0, 1)}, "direction"),
    ],
)
def test_what_cannot_be_drawn_is_refused(change, message):
    with pytest.raises(UserError, match=message):
        phantom.draw(**{"seed": 1, **SMALL, **change})


def test_lattice_noise_is_one_field_at_any_spacing():
    def field(step):
        axes = (np.arange(-40, 41, step),) * 3
        return phantom_anatomy.lattice_noise(np.random.default_rng(1), axes, 25.0)

    assert np.allclose(field(2.0)[::2, ::2, ::2], field(4.0), atol=1e-5)


def test_ellipsoid_depth_is_exact_on_the_surface_and_positive_inside():
    assert phantom_anatomy.ellipsoid(30.0, 0.0, 0.0, (0, 0, 0), (30, 20, 10)) == pytest.approx(0, abs=1e-3)
    assert phantom_anatomy.ellipsoid(0.0, 10.0, 0.0, (0, 0, 0), (30, 20, 10)) == pytest.approx(10, abs=0.1)
    assert phantom_anatomy.ellipsoid(0.0, 0.0, 11.0, (0, 0, 0), (30, 20, 10)) < 0


def test_written_data_set_reads_back(tmp_path):
    steps = []
    folder = phantom.write_dataset(tmp_path / "set", [2, 17, 5], progress=lambda n, of: steps.append((n, of)), **SMALL)
    assert steps == [(1, 3), (2, 3), (3, 3)]
    about = json.loads((folder / "dataset.json").read_text())
    assert about["labels"] == {"background": 0, "WT": [1, 2, 3], "TC": [1, 3], "ET": [3]}
    assert about["regions_class_order"] == [2, 1, 3]
    assert "hantom" in about["name"] and "hantom" in about["description"]
    assert about["licence"].startswith("CC0-1.0")

    dataset = read_dataset(folder)
    assert dataset.names == ("phantom_00002", "phantom_00005", "phantom_00017")
    assert dataset.regions
    assert [(e.name, e.value, e.members) for e in dataset.labels] == [
        ("WT", 2, (1, 2, 3)), ("TC", 1, (1, 3)), ("ET", 3, (3,)),
    ]  # fmt: skip
    drawn, case = phantom.draw(17, **SMALL), dataset.case("phantom_00017")
    images, label = read_case_images(case), read_case_label(case)
    check_case(images, label, dataset, case)
    assert all(
        np.array_equal(sitk.GetArrayFromImage(a), b) for a, b in zip((*images, label), arrays(drawn), strict=True)
    )
    assert len(read_splits(find_splits(folder), dataset)) == 3
    assert not [f for f in folder.rglob("*") if f.name.startswith(".")], "nothing half-written stays behind"


def test_data_set_of_one_phantom_has_usable_folds(tmp_path):
    folder = phantom.write_dataset(tmp_path, [1], size=(16, 20, 16), spacing=(10.0, 10.0, 10.0))
    folds = read_splits(find_splits(folder), read_dataset(folder))
    assert folds[0].train == folds[0].val == ("phantom_00001",)


@pytest.mark.parametrize(("seeds", "message"), [([], "no seeds"), ([1, 2, 1], "twice")])
def test_seeds_that_make_no_data_set_are_refused(tmp_path, seeds, message):
    with pytest.raises(UserError, match=message):
        phantom.write_dataset(tmp_path / "set", seeds, **SMALL)
    assert not (tmp_path / "set").exists()


def test_a_folder_with_files_is_left_alone(tmp_path):
    (tmp_path / "dataset.json").write_text("mine")
    with pytest.raises(UserError, match="already holds files"):
        phantom.write_dataset(tmp_path, [1], **SMALL)
    assert [f.name for f in tmp_path.iterdir()] == ["dataset.json"]
