"""One case end to end: geometry, regions, region of interest, probabilities."""

import math
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from segmamba.errors import UserError
from segmamba.inference.case import mirror_axes, segment_case
from segmamba.metadata import Normalisation

sys.path.insert(0, str(Path(__file__).parent))
from small import Nested, Position, Threshold, arrangements, blob, image, metadata, rotation, same_place


def labels(segmentation):
    return sitk.GetArrayFromImage(segmentation.labels)


def segment(network, meta, picture, **options):
    pictures = picture if isinstance(picture, list) else [picture]
    return segment_case(network, meta, pictures, device="cpu", **options)


def test_the_mask_lies_on_the_input_grid_to_the_bit_however_the_image_is_stored():
    picture = image(blob((11, 13, 17)), (0.7, 1.3, 2.1), (-31.7, 12.345, 99.1), rotation())
    expected = sitk.GetArrayFromImage(picture) > 0.5
    assert expected.any()
    reference = image(expected.astype(np.uint8))
    for stored, wanted in zip(arrangements(picture), arrangements(reference), strict=True):
        result = segment(Threshold(), metadata(), stored)
        assert same_place(result.labels, stored)
        assert result.labels.GetPixelID() == sitk.sitkUInt8
        assert np.array_equal(labels(result), sitk.GetArrayFromImage(wanted))


def test_the_network_sees_the_models_orientation_however_the_image_is_stored():
    """A network that knows left from right gives one physical mask for all 48 ways to store an image."""
    picture = image(blob((10, 12, 14)), (1.0, 1.5, 2.0), (5, 6, 7), rotation((4, -6, 9)))
    meta = metadata(patch=(24, 24, 24))
    expected = segment(Position(), meta, picture).labels
    left = sitk.GetArrayFromImage(expected).sum(axis=(0, 1))
    assert left[:7].all() and not left[7:].any()
    for stored in arrangements(picture):
        result = segment(Position(), meta, stored).labels
        assert same_place(result, stored)
        moved = sitk.Resample(result, expected, sitk.Transform(), sitk.sitkNearestNeighbor)
        assert np.array_equal(sitk.GetArrayFromImage(moved), sitk.GetArrayFromImage(expected))


def test_another_orientation_in_the_metadata_is_what_the_network_sees():
    picture = image(blob((10, 12, 14)))
    mirrored = labels(segment(Position(), metadata(patch=(24, 24, 24), orientation="RAS"), picture))
    plain = labels(segment(Position(), metadata(patch=(24, 24, 24)), picture))
    assert np.array_equal(mirrored, plain[:, :, ::-1])
    turned = labels(segment(Position(), metadata(patch=(24, 24, 24), orientation="SPL"), picture))
    assert turned[:5].all() and not turned[5:].any()


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.5, 2.0, 1.1), (3.0, 3.0, 3.0)])
def test_a_mask_computed_at_another_spacing_fits_the_anatomy(spacing):
    picture = image(blob((40, 44, 48)), (0.8, 0.9, 1.2), (3, -4, 5), rotation())
    result = segment(Threshold(0.4), metadata(spacing=spacing), picture)
    assert same_place(result.labels, picture)
    mine, truth = labels(result) > 0, sitk.GetArrayFromImage(picture) > 0.4
    dice = 2 * (mine & truth).sum() / (mine.sum() + truth.sum())
    assert dice > (0.97 if max(spacing) < 3 else 0.93)


def test_resampling_there_and_back_moves_nothing():
    """A linear ramp survives both linear interpolations exactly, inside the outermost voxel centres."""
    ramp = np.broadcast_to(np.linspace(0, 1, 40, dtype=np.float32), (12, 14, 40)).copy()
    for axis in range(3):
        picture = image(np.moveaxis(ramp, 2, axis).copy(), (1.0, 1.0, 1.0))

        class Ramp(torch.nn.Module):
            def forward(self, x):
                return torch.cat([torch.log(1 - x.clamp(1e-6, 1 - 1e-6)), torch.log(x.clamp(1e-6, 1 - 1e-6))], dim=1)

        result = segment(Ramp(), metadata(spacing=(0.7, 0.7, 0.7)), picture, want_probabilities=True)
        inner = [slice(2, -2)] * 3
        expected = np.moveaxis(ramp, 2, axis)
        assert np.abs(result.probabilities[1] - expected)[tuple(inner)].max() < 2e-3


def test_channels_on_another_grid_are_resampled_in_physical_space_with_a_warning():
    picture = image(blob((30, 32, 34)), (1, 1, 1), (0, 0, 0), rotation())
    other = sitk.Resample(picture, [70, 74, 70], sitk.Transform(), sitk.sitkLinear, (-27, -15, -5), (0.8, 0.8, 0.8))

    class Second(Threshold):
        def forward(self, x):
            return super().forward(x[:, 1:])

    meta = metadata(channels=2)
    result = segment(Second(), meta, [picture, other])
    truth = sitk.GetArrayFromImage(picture) > 0.5
    mine = labels(result) > 0
    assert same_place(result.labels, picture)
    assert 2 * (mine & truth).sum() / (mine.sum() + truth.sum()) > 0.97
    assert any("another grid" in text and "image 2" in text for text in result.warnings)
    assert not segment(Second(), meta, [picture, picture]).warnings


def test_labels_take_the_values_of_the_metadata_and_volumes_are_in_millilitres():
    picture = image(blob(), (2.0, 2.0, 5.0))
    result = segment(Threshold(0.4, 0.7), metadata(("shell", "core"), values=[7, 300]), picture)
    array, x = labels(result), sitk.GetArrayFromImage(picture)
    assert array.dtype == np.uint16
    assert np.array_equal(array, np.where(x > 0.7, 300, np.where(x > 0.4, 7, 0)))
    assert result.names == {7: "shell", 300: "core"}
    assert result.voxels == {"shell": int((array == 7).sum()), "core": int((array == 300).sum())}
    assert result.volumes_ml["core"] == pytest.approx((array == 300).sum() * 0.02)
    assert result.seconds > 0


def test_regions_overlap_and_are_painted_in_list_order():
    picture = image(blob(), (1, 1, 2))
    meta = metadata(("WT", "TC", "ET"), regions=True, values=[2, 1, 3])
    result = segment(Nested(), meta, picture)
    x = sitk.GetArrayFromImage(picture)
    assert np.array_equal(labels(result), np.select([x > 0.8, x > 0.5, x > 0.2], [3, 1, 2]))
    assert result.regions.dtype == np.uint8
    for n, level in enumerate((0.2, 0.5, 0.8)):
        assert np.array_equal(result.regions >> n & 1, x > level)
    assert result.volumes_ml["WT"] == pytest.approx((x > 0.2).sum() * 0.002)


def test_a_region_of_interest_gives_the_same_mask_inside_and_background_outside():
    picture = image(blob((40, 42, 44)), (1.2, 0.8, 1.0), (1, 2, 3), rotation())
    meta = metadata(normalisation=Normalisation("zscore"), patch=(8, 8, 8))
    for stored in list(arrangements(picture))[::7]:
        whole = labels(segment(Threshold(0.8), meta, stored))
        sizes = stored.GetSize()
        box = [(n // 4, n // 2 + 3) for n in sizes]
        part = segment(Threshold(0.8), meta, stored, roi=",".join(f"{a}:{b}" for a, b in box))
        assert same_place(part.labels, stored)
        inside = tuple(slice(a, b) for a, b in reversed(box))
        expected = np.zeros_like(whole)
        expected[inside] = whole[inside]
        assert expected.any()
        assert np.array_equal(labels(part), expected)


def test_a_region_of_interest_works_at_another_spacing():
    picture = image(blob((40, 42, 44)), (1.2, 0.8, 1.0))
    meta = metadata(spacing=(1.0, 1.0, 1.5), patch=(8, 8, 8))
    whole = labels(segment(Threshold(), meta, picture))
    part = labels(segment(Threshold(), meta, picture, roi=((5, 30), (10, 31), (8, 29))))
    inside = (slice(8, 29), slice(10, 31), slice(5, 30))
    assert np.array_equal(part[inside], whole[inside]) and part.sum() == whole[inside].sum() > 0


def test_probabilities_lie_on_the_input_grid_and_sum_to_one():
    picture = sitk.PermuteAxes(image(blob((20, 22, 24)), (1, 2, 3), direction=rotation()), (2, 0, 1))
    result = segment(Threshold(0.4, 0.7), metadata(("a", "b")), picture, want_probabilities=True)
    assert result.probabilities.shape == (3, *reversed(picture.GetSize()))
    assert np.abs(result.probabilities.sum(0) - 1).max() < 1e-5
    assert np.array_equal(result.probabilities.argmax(0), labels(result))


def test_uncertainty_is_entropy_from_nought_to_one():
    class Even(torch.nn.Module):
        def forward(self, x):
            return torch.cat([torch.zeros_like(x), torch.zeros_like(x), (x - 0.5) * 1e4], dim=1)

    picture = image(np.where(blob() > 0.5, 1, 0).astype(np.float32))
    result = segment(Even(), metadata(("a", "b")), picture, want_uncertainty=True)
    array = sitk.GetArrayFromImage(result.uncertainty)
    inside = sitk.GetArrayFromImage(picture) > 0.5
    assert same_place(result.uncertainty, picture)
    assert array[inside].max() < 1e-3
    assert array[~inside] == pytest.approx(math.log(2) / math.log(3), abs=1e-3)
    regions = segment(Nested(), metadata(("a", "b", "c"), regions=True), picture, want_uncertainty=True)
    array = sitk.GetArrayFromImage(regions.uncertainty)
    assert array.min() >= 0 and array.max() < 1e-3


def test_the_wrong_number_of_images_is_refused_with_the_channels_in_their_order():
    with pytest.raises(UserError, match=r"needs 3 images, in this order: c0 \(MR\), c1 \(MR\), c2 \(MR\); 1 given"):
        segment(Threshold(), metadata(channels=3), image(blob()))


def test_an_image_far_outside_the_expected_field_of_view_is_a_warning():
    meta = metadata(field_of_view=(150.0, 260.0))
    (text,) = segment(Threshold(), meta, image(blob())).warnings
    assert "34 x 30 x 26 mm" in text and "150 to 260 mm" in text
    near = image(blob(), (7.0, 7.0, 6.0))
    assert not segment(Threshold(), meta, near).warnings


def test_the_network_is_left_in_the_mode_it_was_in():
    network = torch.nn.Sequential(torch.nn.Conv3d(1, 2, 1), torch.nn.Dropout(0.5))
    network.train()
    one = segment(network, metadata(), image(blob()), want_probabilities=True).probabilities
    two = segment(network, metadata(), image(blob()), want_probabilities=True).probabilities
    assert network.training and network[1].training
    assert np.array_equal(one, two)


def test_mirroring_leaves_out_left_and_right_unless_training_mirrored_it():
    assert mirror_axes(metadata()) == (0, 1)
    assert mirror_axes(metadata(orientation="SPL")) == (1, 2)
    assert mirror_axes(metadata(training={"mirror_axes": [0]})) == (2,)
    assert mirror_axes(metadata(training={"mirror_axes": ["i", "k"]})) == (0, 2)
    assert mirror_axes(metadata(training={"mirror_axes": []})) == ()


def test_progress_reaches_one_and_cancelling_goes_through():
    seen = []
    segment(Threshold(), metadata(), image(blob()), progress=lambda f, m: seen.append((f, m)))
    fractions = [f for f, _ in seen]
    assert fractions[0] == 0 and fractions[-1] == 1 and fractions == sorted(fractions)

    def cancel(fraction, message):
        if fraction > 0.3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        segment(Threshold(), metadata(), image(blob()), progress=cancel)


@pytest.mark.parametrize("option", [{"overlap": 1.0}, {"overlap": -0.1}, {"window_batch": 0}])
def test_wrong_options_are_refused(option):
    with pytest.raises(UserError, match=str(next(iter(option.values())))):
        segment(Threshold(), metadata(), image(blob()), **option)


@pytest.mark.parametrize(
    "name",
    [
        "spinal_cord_small/t2.nii.gz",
        "spinal_cord_small/t2s.nii.gz",
        "spleen_crop/spleen2_ct.nii.gz",
        "hippocampus/imagesTr/hippocampus_001.nii.gz",
        "nrrd_cases/breast1_image.nrrd",
    ],
)
def test_masks_of_real_images_lie_on_them_to_the_bit_and_follow_their_intensities(name, reference_data):
    path = reference_data / "data" / name
    stored = sitk.ReadImage(str(path))
    array = sitk.GetArrayFromImage(stored).astype(np.float32)
    meta = metadata(normalisation=Normalisation("zscore"), patch=(64, 64, 32))
    result = segment(Threshold(1.0), meta, path)
    assert same_place(result.labels, stored)
    assert np.mean((labels(result) > 0) == (array > array.mean() + array.std())) > 0.9999


def test_batches_of_windows_give_the_mask_of_single_ones():
    network = torch.nn.Conv3d(1, 3, 3, padding=1, bias=False)
    torch.nn.init.normal_(network.weight, generator=torch.Generator().manual_seed(0))
    meta = metadata(("a", "b"))
    one = segment(network, meta, image(blob()), tta=True, want_probabilities=True)
    many = segment(network, meta, image(blob()), tta=True, want_probabilities=True, window_batch=5)
    assert np.abs(one.probabilities - many.probabilities).max() < 1e-5
    assert len(np.unique(labels(one))) > 1


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_a_slightly_sheared_image_has_its_mask_on_its_own_grid_from_a_file_as_from_memory(tmp_path, suffix):
    shear = np.radians(0.3)
    picture = image(
        blob((10, 12, 14)), (1, 1.5, 2), (5, 6, 7), [[1, np.sin(shear), 0], [0, np.cos(shear), 0], [0, 0, 1]]
    )
    sitk.WriteImage(picture, str(tmp_path / f"a{suffix}"))
    stored = sitk.ReadImage(str(tmp_path / f"a{suffix}"))
    options = {"want_uncertainty": True, "want_probabilities": True, "keep_image": True}
    from_file = segment(Threshold(), metadata(), tmp_path / f"a{suffix}", **options)
    from_memory = segment(Threshold(), metadata(), stored, **options)
    for result in (from_file, from_memory):
        assert len(result.warnings) == 1 and "perpendicular" in result.warnings[0]
        for found in (result.labels, result.uncertainty, result.image):
            assert same_place(found, stored)
    assert np.array_equal(labels(from_file), labels(from_memory)) and labels(from_file).any()
    from_file.save(tmp_path / "mask.mha")
    from_file.save_probabilities(tmp_path / "p.mha")
    assert np.allclose(sitk.ReadImage(str(tmp_path / "mask.mha")).GetDirection(), stored.GetDirection(), atol=1e-15)
    assert np.allclose(sitk.ReadImage(str(tmp_path / "p.mha"))[..., 0].GetDirection(), stored.GetDirection())


def test_the_first_image_is_kept_only_if_asked_for():
    picture = image(blob((10, 12, 14)))
    assert segment(Threshold(), metadata(), picture).image is None
    kept = segment(Threshold(), metadata(), picture, keep_image=True).image
    assert np.array_equal(sitk.GetArrayFromImage(kept), sitk.GetArrayFromImage(picture))
