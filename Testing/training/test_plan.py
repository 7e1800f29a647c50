"""The plan: spacing, patch and normalisation from the training cases, unless the recipe says."""

import numpy as np
import pytest
import SimpleITK as sitk
from boxes import REGIONS, recipe, write_dataset

from segmamba.bundle import Metadata
from segmamba.errors import UserError
from segmamba.training.plan import automatic_patch, make_metadata
from segmamba.training.recipe import DataChoice


def plan(dataset, names=None, **data):
    return make_metadata(dataset, list(names or dataset.names), recipe(data={"patch": None, **data}))


def rewrite(path, change):
    image = sitk.ReadImage(str(path))
    array = change(sitk.GetArrayFromImage(image))
    new = sitk.GetImageFromArray(array)
    new.CopyInformation(image)
    sitk.WriteImage(new, str(path))


def test_spacing_is_the_training_cases_median_and_the_patch_covers_their_median_size(tmp_path):
    dataset = write_dataset(tmp_path, 3, size=(20, 18, 16), spacing=(0.8, 0.9, 2.5))
    found = plan(dataset)
    assert found.spacing == pytest.approx((0.8, 0.9, 2.5))
    assert found.patch == (24, 24, 16)
    assert found.field_of_view == pytest.approx((16.0, 40.0), abs=0.3)


def test_spacing_and_patch_of_an_image_stored_in_another_order_are_those_of_the_models_axes(tmp_path):
    dataset = write_dataset(tmp_path, 1, size=(20, 18, 16), spacing=(0.8, 0.9, 2.5))
    assert plan(dataset, orientation="SLP").spacing == pytest.approx((2.5, 0.8, 0.9))
    assert plan(dataset, orientation="SLP").patch == (16, 24, 24)


def test_the_recipes_spacing_and_patch_win_and_the_patch_follows_the_spacing(tmp_path):
    dataset = write_dataset(tmp_path, 1, size=(20, 18, 16))
    assert plan(dataset, spacing=[0.5, 0.5, 1.0]).patch == (40, 40, 16)
    found = plan(dataset, spacing=[0.5, 0.5, 1.0], patch=[8, 16, 24])
    assert (found.spacing, found.patch) == ((0.5, 0.5, 1.0), (8, 16, 24))


@pytest.mark.parametrize("size", [(5, 5, 5), (512, 512, 100), (512, 512, 900), (3000, 10, 10)])
@pytest.mark.parametrize("most", [512, 32**3, 96**3])
def test_an_automatic_patch_is_of_multiples_of_eight_within_its_bounds(size, most):
    patch = automatic_patch(size, DataChoice(max_patch_voxels=most))
    assert np.prod(patch) <= most
    assert all(n % 8 == 0 and n >= 8 for n in patch)
    assert all(n <= -(-s // 8) * 8 for n, s in zip(patch, size, strict=True))


def test_validation_cases_have_no_say(tmp_path):
    dataset = write_dataset(tmp_path, 3, channels=("CT",))
    before = plan(dataset, ["case0", "case1"])
    rewrite(tmp_path / "imagesTr" / "case2_0000.nii.gz", lambda array: array * 50)
    assert plan(dataset, ["case0", "case1"]) == before
    assert plan(dataset) != before


def test_ct_has_a_window_of_the_labelled_voxels(tmp_path):
    dataset = write_dataset(tmp_path, 3, channels=("CT",))
    values = []
    for n in range(3):
        image, label = (tmp_path / f"{part}.nii.gz" for part in (f"imagesTr/case{n}_0000", f"labelsTr/case{n}"))
        read = [sitk.GetArrayFromImage(sitk.ReadImage(str(path))) for path in (image, label)]
        values.append(read[0][read[1] > 0])
    normalisation = plan(dataset).channels[0].normalisation
    assert (normalisation.kind, normalisation.region) == ("window", "all")
    assert normalisation.window == pytest.approx(np.percentile(np.concatenate(values), [0.5, 99.5]))


def test_ct_whose_labelled_voxels_are_constant_needs_a_window_of_the_recipe(tmp_path):
    dataset = write_dataset(tmp_path, 1, channels=("CT",))
    rewrite(tmp_path / "imagesTr" / "case0_0000.nii.gz", lambda array: np.where(array > 130, 200, array))
    label = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "labelsTr" / "case0.nii.gz")))
    rewrite(tmp_path / "imagesTr" / "case0_0000.nii.gz", lambda array: np.where(label > 0, 200, array))
    with pytest.raises(UserError, match=r"data\.normalisation.*give a window"):
        plan(dataset)
    window = {"kind": "window", "window": [0, 200]}
    assert plan(dataset, normalisation=window).channels[0].normalisation.window == (0, 200)


def test_mr_has_percentiles_of_everything_and_of_the_body_where_it_is_skull_stripped(tmp_path):
    dataset = write_dataset(tmp_path, 2, channels=("T1", "FLAIR"))
    label = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "labelsTr" / "case0.nii.gz")))
    for n in range(2):
        rewrite(tmp_path / "imagesTr" / f"case{n}_0001.nii.gz", lambda array: np.where(label > 0, array, 0))
    first, second = (channel.normalisation for channel in plan(dataset).channels)
    assert (first.kind, first.region, first.percentiles) == ("percentile", "all", (0.5, 99.5))
    assert (second.kind, second.region, second.percentiles) == ("percentile", "nonzero", (0.5, 99.5))


def test_the_recipes_normalisation_is_every_channels(tmp_path):
    dataset = write_dataset(tmp_path, 1, channels=("T1", "CT"))
    found = plan(dataset, normalisation={"kind": "zscore", "region": "nonzero"})
    assert {(c.normalisation.kind, c.normalisation.region) for c in found.channels} == {("zscore", "nonzero")}


def test_regions_keep_their_members_and_order_and_the_description_can_be_stored(tmp_path):
    found = plan(write_dataset(tmp_path, 1, labels=REGIONS))
    assert found.regions and found.output_channels == 2
    assert [(label.name, label.value, label.members) for label in found.labels] == [
        ("whole", 1, (1, 2)),
        ("core", 2, (2,)),
    ]
    assert len({label.colour for label in found.labels}) == 2
    assert Metadata.from_dict(found.to_dict()) == found


def test_voxels_that_are_not_finite_have_no_say(tmp_path):
    dataset = write_dataset(tmp_path, 1, channels=("CT",))

    def poke(array):
        array[2:4] = np.nan
        return array

    rewrite(tmp_path / "imagesTr" / "case0_0000.nii.gz", poke)
    assert np.isfinite(plan(dataset).channels[0].normalisation.window).all()
