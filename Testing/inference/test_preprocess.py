"""Cases brought to the network's input."""

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from segmamba.errors import UserError
from segmamba.grid import Grid, grid_with_spacing
from segmamba.images import orient, write_image
from segmamba.inference.preprocess import model_grid, prepare, prepare_label, series_of
from segmamba.metadata import Channel, Normalisation

sys.path.insert(0, str(Path(__file__).parent))
from small import arrangements, blob, image, metadata, rotation


def test_the_array_is_the_image_in_the_models_orientation():
    for stored in list(arrangements(image(blob((7, 9, 11)), (1, 2, 3), (4, 5, 6), rotation())))[::5]:
        for code in ("LPS", "RAS", "SPL", "AIR"):
            case = prepare([stored], metadata(orientation=code))
            wanted = orient(stored, code)
            assert np.array_equal(case.array[0], sitk.GetArrayFromImage(wanted))
            assert case.grid.same_as(Grid.of(wanted))
            assert case.stored_grid == Grid.of(stored)


def test_images_are_not_changed_and_any_pixel_type_becomes_float32():
    for kind in (np.uint8, np.int16, np.int32, np.float32, np.float64):
        picture = image((blob() * 200).astype(kind))
        before = sitk.GetArrayFromImage(picture)
        case = prepare([picture], metadata(kind="zscore"))
        assert case.array.dtype == np.float32
        assert case.array.mean() == pytest.approx(0, abs=1e-5)
        assert np.array_equal(sitk.GetArrayFromImage(picture), before)


def test_a_path_and_an_image_in_memory_give_the_same_numbers(tmp_path):
    picture = image(blob(), (1, 2, 3), (4, 5, 6))
    write_image(picture, tmp_path / "a.nrrd")
    one = prepare([picture], metadata(kind="zscore")).array
    assert np.array_equal(prepare([tmp_path / "a.nrrd"], metadata(kind="zscore")).array, one)
    assert np.array_equal(prepare([str(tmp_path / "a.nrrd")], metadata(kind="zscore")).array, one)


def test_nothing_is_resampled_where_spacings_agree():
    picture = image(blob(), (1.0, 1.00004, 2.0))
    case = prepare([picture], metadata(spacing=(1.0, 1.0, 2.0)))
    assert np.array_equal(case.array[0], sitk.GetArrayFromImage(picture))
    assert case.grid == Grid.of(picture)


def test_axes_that_agree_keep_their_spacing_when_another_is_resampled():
    grid = model_grid(Grid.of(image(blob(), (1.0, 1.00004, 2.0))), (1.0, 1.0, 4.0))
    assert grid.spacing == (1.0, 1.00004, 4.0)
    assert grid.size == (34, 30, 13)


def test_a_region_of_interest_never_changes_intensities():
    picture = image(blob((40, 42, 44)) * 1000, (1, 1, 1.5))
    for kind in (Normalisation("zscore"), Normalisation("percentile", "nonzero", percentiles=(1.0, 99.0))):
        meta = metadata(normalisation=kind, patch=(6, 8, 10))
        whole = prepare([picture], meta)
        part = prepare([picture], meta, roi=((10, 20), (15, 25), (8, 30)))
        assert part.array.shape[1:] == (32, 18, 16)  # half a patch of context on each side
        assert np.array_equal(part.array[0], whole.array[0, 3:35, 11:29, 7:23])
        assert part.grid.size == (16, 18, 32)
        assert np.allclose(part.grid.origin, (7, 11, 4.5))


def test_nan_is_replaced_with_a_warning_and_a_blank_image_refused():
    array = blob()
    array[3, 4, 5] = np.nan
    warnings = []
    case = prepare([image(array)], metadata(kind="zscore", spacing=(2.0, 2.0, 2.0)), warnings)
    assert np.isfinite(case.array).all()
    assert len(warnings) == 1 and "NaN" in warnings[0] and "c0" in warnings[0]
    with pytest.raises(UserError, match=r"image 1 \(c0\)"):
        prepare([image(np.ones((5, 5, 5), np.float32))], metadata())


def test_something_that_is_no_image_is_refused():
    with pytest.raises(UserError, match=r"image 1 \(c0\).*ndarray"):
        prepare([blob()], metadata())


def test_labels_follow_their_image_by_nearest_neighbour():
    picture = image(blob((20, 22, 24)), (1, 1.5, 2), (1, 2, 3), rotation())
    truth = sitk.Cast(picture > 0.5, sitk.sitkInt16) * 300
    for index in (0, 13, 30):
        stored, label = list(arrangements(picture))[index], list(arrangements(truth))[index]
        case = prepare([stored], metadata())
        array = prepare_label(label, case.grid)
        assert array.dtype == np.uint16
        assert np.array_equal(array == 300, case.array[0] > 0.5)
        case = prepare([stored], metadata(spacing=(0.7, 0.7, 0.7)))
        array = prepare_label(label, case.grid)
        assert array.shape == case.array.shape[1:] and set(np.unique(array)) == {0, 300}
        assert np.mean((array == 300) == (case.array[0] > 0.5)) > 0.97


def test_a_label_stored_as_floating_point_becomes_whole_numbers():
    label = image(np.round(blob() * 3).astype(np.float32))
    array = prepare_label(label, Grid.of(label))
    assert array.dtype == np.uint8
    assert np.array_equal(array, sitk.GetArrayFromImage(label))


def test_background_counts_as_empty_only_if_every_channel_says_so():
    picture = image(blob())
    both = metadata(normalisation=Normalisation("zscore", "nonzero"), channels=2)
    assert prepare([picture, picture], both).empty_is_background
    assert not prepare([picture], metadata(kind="zscore")).empty_is_background


def test_a_resampled_label_map_outlives_the_image_it_was_resampled_in():
    label = image(np.full((24, 24, 24), 3, np.uint8))
    prepared = prepare_label(label, grid_with_spacing(Grid.of(label), (0.5, 0.5, 0.5)))
    assert prepared.flags.owndata and prepared.dtype == np.uint8
    # What is freed is soon written over.
    others = [sitk.Image(48, 48, 48, sitk.sitkUInt8) for _ in range(20)]
    assert len(others) == 20 and set(np.unique(prepared)) == {3}


def test_a_channel_that_is_only_stored_in_another_order_is_not_said_to_be_resampled():
    picture = image(blob((10, 12, 14)), (1, 1.5, 2), (5, 6, 7), rotation())
    meta = metadata(channels=2)
    wanted = prepare([picture, picture], meta).array
    for stored in list(arrangements(picture))[::7]:
        case = prepare([picture, stored], meta, said := [])
        assert said == [] and np.array_equal(case.array, wanted)
    moved = sitk.Image(picture)
    moved.SetOrigin((5.5, 6, 7))
    prepare([picture, moved], meta, said := [])
    assert len(said) == 1 and "resampled" in said[0]


def test_series_go_to_the_folders_in_their_order(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    (tmp_path / "a.nii").write_bytes(b"file")
    one, two, file = str(tmp_path / "one"), tmp_path / "two", tmp_path / "a.nii"
    assert series_of([one, file, two], ["1.2", "3.4"]) == ["1.2", None, "3.4"]
    assert series_of([file, one, image(blob())], "1.2") == [None, "1.2", None]
    assert series_of([one, one], ("1.2", "3.4")) == ["1.2", "3.4"]
    assert series_of([one, two], None) == [None, None] == series_of([one, two], [])
    for images, series in (([one, two], "1.2"), ([one], ["1.2", "3.4"]), ([file], ["1.2"]), ([image(blob())], "1.2")):
        with pytest.raises(UserError, match=r"--series .* names \d series"):
            series_of(images, series)


def test_a_file_named_after_another_channel_is_warned_of(tmp_path):
    paths = []
    for n, name in enumerate(("T1Gd", "T1")):
        paths.append(tmp_path / f"case_{name}.nii.gz")
        sitk.WriteImage(sitk.GetImageFromArray(np.random.default_rng(n).random((8, 8, 8), np.float32)), str(paths[-1]))
    plain = metadata(["a"], patch=(8, 8, 8))
    two = dataclasses.replace(plain, channels=tuple(Channel(name, "MR", Normalisation()) for name in ("T1", "T1Gd")))
    swapped, right = [], []
    prepare(paths, two, swapped)
    prepare(paths[::-1], two, right)
    assert len(swapped) == 2 and "case_T1Gd.nii.gz is taken as channel T1" in swapped[0]
    assert right == []
