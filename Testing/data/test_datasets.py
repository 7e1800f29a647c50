"""Data sets: both layouts are read alike, and what is wrong is refused with the file's or field's name."""

import json
import logging
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from segmamba.data.datasets import (
    Case,
    LabelEntry,
    check_case,
    read_case_images,
    read_case_label,
    read_dataset,
    read_labels,
)
from segmamba.errors import UserError

LABELS = {"background": 0, "front": 1, "back": 2}
REGIONS = {"background": 0, "WT": [1, 2, 4], "TC": [1, 4], "ET": 4}


def volume(values=1, size=(6, 5, 4), pixel=sitk.sitkInt16, **geometry) -> sitk.Image:
    image = sitk.Image(list(size), pixel)
    image += values
    for key, value in geometry.items():
        getattr(image, f"Set{key}")(value)
    return image


def save(image: sitk.Image, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(path))
    return path


def describe(folder: Path, **fields) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dataset.json").write_text(json.dumps({k: v for k, v in fields.items() if v is not None}))
    return folder


def msd(folder: Path, names=("a", "b"), **fields) -> Path:
    for name in names:
        save(volume(7), folder / "imagesTr" / f"{name}.nii.gz")
        save(volume(1, pixel=sitk.sitkUInt8), folder / "labelsTr" / f"{name}.nii.gz")
    entries = [{"image": f"./imagesTr/{n}.nii.gz", "label": f"./labelsTr/{n}.nii.gz"} for n in names]
    standard = {"modality": {"0": "MRI"}, "labels": {"0": "background", "1": "front", "2": "back"}, "training": entries}
    return describe(folder, **{**standard, **fields})


def raw(folder: Path, names=("a", "b"), channels=2, ending=".nii.gz", **fields) -> Path:
    for name in names:
        for n in range(channels):
            save(volume(n + 1), folder / "imagesTr" / f"{name}_{n:04d}{ending}")
        save(volume(1, pixel=sitk.sitkUInt8), folder / "labelsTr" / f"{name}{ending}")
    standard = {"channel_names": {str(n): f"T{n + 1}" for n in range(channels)}, "labels": LABELS,
                "file_ending": ending, "numTraining": len(names)}  # fmt: skip
    return describe(folder, **{**standard, **fields})


# What is read


def test_decathlon_layout(tmp_path):
    dataset = read_dataset(msd(tmp_path, name="Task", licence="CC0", description="about", reference="us"))
    assert (dataset.name, dataset.licence, dataset.description, dataset.reference) == ("Task", "CC0", "about", "us")
    assert (dataset.channels, dataset.modalities, dataset.regions) == (("MRI",), ("MR",), False)
    assert dataset.labels == (LabelEntry("front", 1, (1,)), LabelEntry("back", 2, (2,)))
    assert dataset.values == (0, 1, 2)
    assert dataset.names == ("a", "b")
    files = (tmp_path / "imagesTr" / "a.nii.gz",), tmp_path / "labelsTr" / "a.nii.gz"
    assert dataset.cases[0] == Case("a", *files, channels=1)


def test_raw_layout(tmp_path):
    dataset = read_dataset(raw(tmp_path / "Dataset001_Mine", ending=".nrrd"))
    assert dataset.name == "Dataset001_Mine"
    assert dataset.channels == ("T1", "T2")
    assert dataset.names == ("a", "b")
    case = dataset.case("b")
    assert [path.name for path in case.images] == ["b_0000.nrrd", "b_0001.nrrd"]
    assert case.label.name == "b.nrrd"
    assert [sitk.GetArrayFromImage(image).max() for image in read_case_images(case)] == [1, 2]


def test_raw_layout_of_the_first_version_lists_names_without_channels(tmp_path):
    listed = [{"image": f"./imagesTr/{n}.nii.gz", "label": f"./labelsTr/{n}.nii.gz"} for n in "ab"]
    folder = raw(tmp_path, channel_names=None, file_ending=None, modality={"0": "T1", "1": "T2"},
                 labels={"0": "background", "1": "front"}, training=listed)  # fmt: skip
    dataset = read_dataset(folder)
    assert dataset.names == ("a", "b")
    assert [path.name for path in dataset.cases[0].images] == ["a_0000.nii.gz", "a_0001.nii.gz"]


def test_listed_names_with_a_channel_number_lose_it(tmp_path):
    listed = [{"image": "imagesTr/a_0000.nii.gz", "label": "labelsTr/a.nii.gz"}]
    assert read_dataset(raw(tmp_path, names=("a",), channels=1, training=listed)).names == ("a",)


def test_several_listed_images_are_the_channels(tmp_path):
    listed = [{"image": ["imagesTr/a_0001.nii.gz", "imagesTr/a_0000.nii.gz"], "label": "labelsTr/a.nii.gz"}]
    case = read_dataset(raw(tmp_path, names=("a",), training=listed)).cases[0]
    assert [path.name for path in case.images] == ["a_0001.nii.gz", "a_0000.nii.gz"]


def test_regions_stand_in_painting_order_and_hold_their_members(tmp_path):
    dataset = read_dataset(raw(tmp_path, labels=REGIONS, regions_class_order=[2, 1, 3]))
    assert dataset.regions
    assert dataset.labels == (
        LabelEntry("WT", 2, (1, 2, 4)), LabelEntry("TC", 1, (1, 4)), LabelEntry("ET", 3, (4,)),
    )  # fmt: skip
    assert dataset.values == (0, 1, 2, 4)


def test_labels_are_sorted_by_value_whatever_their_order(tmp_path):
    dataset = read_dataset(msd(tmp_path, labels={"back": 2, "front": 1, "background": 0}))
    assert [entry.name for entry in dataset.labels] == ["front", "back"]


@pytest.mark.parametrize(
    ("name", "modality"),
    [("CT", "CT"), ("ct", "CT"), ("MRI", "MR"), ("T1w", "MR"), ("t2f", "MR"), ("FLAIR", "MR"), ("PET", "PET"),
     ("noNorm", "OT"), ("channel", "OT")],
)  # fmt: skip
def test_modality_follows_from_the_name_of_the_channel(tmp_path, name, modality):
    assert read_dataset(msd(tmp_path, modality={"0": name})).modalities == (modality,)


def test_shadow_files_of_macos_are_ignored(tmp_path):
    folder = raw(tmp_path / "raw")
    (folder / "imagesTr" / "._a_0000.nii.gz").write_bytes(b"shadow")
    assert read_dataset(folder).names == ("a", "b")
    entry = {"image": "./imagesTr/a.nii.gz", "label": "./labelsTr/a.nii.gz"}
    shadow = {"image": "./imagesTr/._a.nii.gz", "label": "./labelsTr/._a.nii.gz"}
    assert read_dataset(msd(tmp_path / "msd", training=[shadow, entry])).names == ("a",)


def test_windows_paths_and_a_byte_order_mark_are_read(tmp_path):
    folder = msd(tmp_path, training=[{"image": ".\\imagesTr\\a.nii.gz", "label": ".\\labelsTr\\a.nii.gz"}])
    text = (folder / "dataset.json").read_bytes()
    (folder / "dataset.json").write_bytes(b"\xef\xbb\xbf" + text)
    assert read_dataset(folder).cases[0].images == (folder / "imagesTr" / "a.nii.gz",)


def test_a_wrong_number_of_cases_is_only_warned_of(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        assert len(read_dataset(raw(tmp_path, numTraining=7)).cases) == 2
    assert "7" in caplog.text


# What is refused


def test_missing_folder_and_missing_description_are_named(tmp_path):
    with pytest.raises(UserError, match="nowhere"):
        read_dataset(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"dataset\.json is missing"):
        read_dataset(tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", "\xff\xfe"])
def test_invalid_description_is_named(tmp_path, text):
    (tmp_path / "dataset.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match=r"dataset\.json"):
        read_dataset(tmp_path)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"modality": None}, "modality"),
        ({"modality": {}}, "modality"),
        ({"modality": {"1": "MRI"}}, "count from 0"),
        ({"modality": {"0": 3}}, "modality"),
        ({"labels": None}, "labels is missing"),
        ({"labels": [0, 1]}, "labels"),
        ({"labels": {"0": "background"}}, "nothing but background"),
        ({"labels": {"front": "one"}}, "labels"),
        ({"labels": {"background": 0, "front": -1}}, "front"),
        ({"labels": {"background": 0, "front": 1.5}}, "front"),
        ({"labels": {"background": 0, "front": True}}, "front"),
        ({"labels": {"background": 0, "front": 1, "back": 3}}, r"\[1, 3\]"),
        ({"labels": {"background": 0, "front": 1, "back": 1}}, r"\[1, 1\]"),
        ({"labels": {"0": "background", "1": "front", "2": "front"}}, "'front' twice"),
        ({"labels": {"background": 0, "front": 1, "ignore": 2}}, "ignore"),
        ({"labels": REGIONS}, "regions_class_order"),
        ({"labels": REGIONS, "regions_class_order": [1, 2]}, "regions_class_order"),
        ({"labels": REGIONS, "regions_class_order": [1, 2, 2]}, "regions_class_order"),
        ({"labels": {"WT": [0, 1]}, "regions_class_order": [1]}, "'WT' holds 0"),
        ({"labels": {"WT": []}, "regions_class_order": [1]}, "WT"),
        ({"training": ["imagesTr/a.nii.gz"]}, r"training\[0\]"),
        ({"training": [{"label": "labelsTr/a.nii.gz"}]}, r"training\[0\]"),
        ({"name": 5}, "name"),
    ],
)
def test_wrong_fields_are_named(tmp_path, fields, message):
    with pytest.raises(UserError, match=message) as caught:
        read_dataset(msd(tmp_path, **fields))
    assert "dataset.json" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "path",
    ["../outside.nii.gz", "imagesTr/../../outside.nii.gz", "/etc/hosts", "C:\\data\\a.nii.gz", "..\\a.nii.gz", "."],
)
@pytest.mark.parametrize("field", ["image", "label"])
def test_paths_that_leave_the_data_set_are_refused(tmp_path, path, field):
    folder = msd(tmp_path / "set")
    save(volume(), tmp_path / "outside.nii.gz")
    entry = {"image": "imagesTr/a.nii.gz", "label": "labelsTr/a.nii.gz", field: path}
    with pytest.raises(UserError, match="inside"):
        read_dataset(describe(folder, modality={"0": "MRI"}, labels=LABELS, training=[entry]))


@pytest.mark.parametrize("layout", [msd, raw])
def test_an_image_without_its_label_is_named(tmp_path, layout):
    folder = layout(tmp_path)
    (folder / "labelsTr" / "b.nii.gz").unlink()
    with pytest.raises(UserError, match=r"image .*imagesTr.b.* has no label"):
        read_dataset(folder)


def test_an_entry_without_label_is_named(tmp_path):
    with pytest.raises(UserError, match=r"a\.nii\.gz has no label: training\[0\]"):
        read_dataset(msd(tmp_path, training=[{"image": "imagesTr/a.nii.gz"}]))


def test_a_missing_image_is_named(tmp_path):
    (msd(tmp_path / "msd") / "imagesTr" / "b.nii.gz").unlink()
    with pytest.raises(UserError, match=r"b\.nii\.gz.* is missing"):
        read_dataset(tmp_path / "msd")
    (raw(tmp_path / "raw") / "imagesTr" / "b_0000.nii.gz").unlink()
    with pytest.raises(UserError, match=r"b_0000\.nii\.gz is missing"):
        read_dataset(tmp_path / "raw")


def test_a_channel_too_many_is_named(tmp_path):
    folder = raw(tmp_path)
    save(volume(), folder / "imagesTr" / "b_0002.nii.gz")
    with pytest.raises(UserError, match=r"b_0002\.nii\.gz"):
        read_dataset(folder)


def test_no_cases_and_no_folder_of_images_are_refused(tmp_path):
    folder = raw(tmp_path, names=())
    with pytest.raises(UserError, match="imagesTr"):
        read_dataset(folder)
    (folder / "imagesTr").mkdir()
    with pytest.raises(UserError, match="no cases"):
        read_dataset(folder)


def test_duplicate_case_names_are_refused(tmp_path):
    entry = {"image": "imagesTr/a.nii.gz", "label": "labelsTr/a.nii.gz"}
    with pytest.raises(UserError, match="'a' appears more than once"):
        read_dataset(msd(tmp_path, training=[entry, entry]))


def test_an_unknown_case_is_refused_by_name(tmp_path):
    with pytest.raises(UserError, match="'z'"):
        read_dataset(msd(tmp_path)).case("z")


# Reading the files of a case


@pytest.mark.parametrize("form", ["4-D", "vector"])
def test_a_packed_file_is_taken_apart_along_its_last_axis(tmp_path, form):
    geometry = {"Spacing": (1.0, 2.0, 3.0), "Origin": (4.0, 5.0, 6.0), "Direction": (-1, 0, 0, 0, 1, 0, 0, 0, 1)}
    parts = [volume(n + 1, **geometry) for n in range(3)]
    ending = ".nii.gz" if form == "4-D" else ".nrrd"
    save(sitk.JoinSeries(parts) if form == "4-D" else sitk.Compose(parts), tmp_path / "imagesTr" / f"a{ending}")
    save(volume(1, pixel=sitk.sitkUInt8, **geometry), tmp_path / "labelsTr" / "a.nii.gz")
    listed = [{"image": f"imagesTr/a{ending}", "label": "labelsTr/a.nii.gz"}]
    folder = describe(tmp_path, modality={"0": "FLAIR", "1": "T1w", "2": "T2w"}, labels=LABELS, training=listed)
    dataset = read_dataset(folder)
    case = dataset.cases[0]
    assert case.packed and case.channels == 3
    images = read_case_images(case)
    for image, part in zip(images, parts, strict=True):
        assert np.array_equal(sitk.GetArrayFromImage(image), sitk.GetArrayFromImage(part))
        assert image.GetDirection() == part.GetDirection() and image.GetSpacing() == part.GetSpacing()
        assert image.GetOrigin() == part.GetOrigin()
    check_case(images, read_case_label(case), dataset, case)


@pytest.mark.parametrize("there", [1, 2])
def test_a_packed_file_with_another_number_of_channels_is_named(tmp_path, there):
    image = sitk.JoinSeries([volume()] * there) if there > 1 else volume()
    case = Case("a", (save(image, tmp_path / "a.nii.gz"),), None, channels=3)
    with pytest.raises(UserError, match=rf"a\.nii\.gz holds {there} channels"):
        read_case_images(case)


def test_a_packed_file_that_is_no_image_is_named(tmp_path):
    (tmp_path / "a.nii.gz").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"a\.nii\.gz"):
        read_case_images(Case("a", (tmp_path / "a.nii.gz",), None, channels=3))


def test_whole_numbers_in_floating_point_are_labels(tmp_path):
    path = save(volume(2, pixel=sitk.sitkFloat32), tmp_path / "a.nii.gz")
    label = read_case_label(Case("a", (path,), path, 1))
    assert label.GetPixelID() == sitk.sitkUInt8
    assert set(np.unique(sitk.GetArrayFromImage(label))) == {2}


@pytest.mark.parametrize("value", [0.5, -1.0, 70000.0])
def test_other_numbers_are_no_labels(tmp_path, value):
    path = save(volume(value, pixel=sitk.sitkFloat32), tmp_path / "a.nii.gz")
    with pytest.raises(UserError, match=r"a\.nii\.gz"):
        read_case_label(Case("a", (path,), path, 1))


def test_a_case_without_label_cannot_give_one(tmp_path):
    with pytest.raises(UserError, match="'a' has no label"):
        read_case_label(Case("a", (tmp_path / "a.nii.gz",), None, 1))


# Whether image and label fit


def checked(tmp_path, image, label):
    dataset = read_dataset(msd(tmp_path, names=("a",)))
    check_case(image, label, dataset, dataset.cases[0])


def test_a_fitting_case_passes_with_the_rounding_of_headers(tmp_path):
    checked(tmp_path, volume(Origin=(0.0, 0.0, 0.03)), volume(2, pixel=sitk.sitkUInt8))


@pytest.mark.parametrize(
    ("geometry", "message"),
    [
        ({"size": (6, 5, 3)}, "6x5x3"),
        ({"Spacing": (1.0, 1.0, 1.2)}, "1.2"),
        ({"Origin": (0.0, 9.0, 0.0)}, "9"),
        ({"Direction": (-1, 0, 0, 0, -1, 0, 0, 0, 1)}, "RAS"),
    ],
)
def test_another_grid_is_refused_with_both_files(tmp_path, geometry, message):
    with pytest.raises(UserError, match=message) as caught:
        checked(tmp_path, volume(**geometry), volume(1, pixel=sitk.sitkUInt8))
    assert "imagesTr" in str(caught.value) and "labelsTr" in str(caught.value)


@pytest.mark.parametrize("geometry", [{"size": (6, 5, 3)}, {"Spacing": (1.0, 1.0, 1.2)}, {"Origin": (0.0, 3.0, 0.0)}])
def test_other_channels_may_have_grids_of_their_own(tmp_path, geometry):
    checked(tmp_path, [volume(), volume(**geometry)], volume(1, pixel=sitk.sitkUInt8))


def test_a_channel_that_lies_elsewhere_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"imagesTr.*no place in common"):
        checked(tmp_path, [volume(), volume(Origin=(0.0, 90.0, 0.0))], volume(1, pixel=sitk.sitkUInt8))


@pytest.mark.parametrize("value", [3, 1.5, float("nan"), float("inf")])
def test_a_value_that_the_description_lacks_is_refused(tmp_path, value):
    with pytest.raises(UserError, match=rf"labelsTr.*holds the value {value}"):
        checked(tmp_path, volume(), volume(value, pixel=sitk.sitkFloat32))


# Real data


@pytest.mark.parametrize(("pair", "size"), [("mismatched_pair", "36x50x31"), ("huge_label_pair", "512x512x94")])
def test_planted_pairs_that_do_not_fit_are_refused(tmp_path, reference_data, pair, size):
    shutil.copytree(reference_data / "data" / "hippocampus_odd" / pair, tmp_path, dirs_exist_ok=True,
                    copy_function=shutil.copyfile)  # fmt: skip
    tmp_path.chmod(0o755)  # the copy of a read-only folder
    listed = [{"image": "./imagesTr/case.nii.gz", "label": "./labelsTr/case.nii.gz"}]
    dataset = read_dataset(describe(tmp_path, modality={"0": "MRI"}, labels=LABELS, training=listed))
    case = dataset.cases[0]
    with pytest.raises(UserError, match=rf"37x52x33 voxels.*labelsTr.*{size}"):
        check_case(read_case_images(case), read_case_label(case), dataset, case)


def test_the_hippocampus_set_is_read_and_its_first_cases_fit(reference_data):
    dataset = read_dataset(reference_data / "data" / "hippocampus")
    assert len(dataset.cases) == 200
    assert dataset.licence == "CC-BY-SA 4.0"
    assert [entry.name for entry in dataset.labels] == ["Anterior", "Posterior"]
    for case in dataset.cases[:5]:
        check_case(read_case_images(case), read_case_label(case), dataset, case)


# Packed files are as closely looked at as single ones


def packed(tmp_path, form="4-D", pixel=np.float32, ending=".nii"):
    """A case of three channels in one file, and where the file is."""
    values = np.arange(3 * 4 * 5 * 6, dtype=pixel).reshape(3, 4, 5, 6)
    parts = [sitk.GetImageFromArray(v) for v in values]
    path = save(sitk.JoinSeries(parts) if form == "4-D" else sitk.Compose(parts), tmp_path / f"a{ending}")
    return Case("a", (path,), None, channels=3), path, values


@pytest.mark.parametrize("form", ["4-D", "vector"])
def test_a_packed_file_that_is_cut_short_is_refused(tmp_path, form):
    case, path, _ = packed(tmp_path, form)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"a\.nii: .*cut short"):
        read_case_images(case)


def test_a_packed_file_whose_header_places_nothing_is_refused(tmp_path):
    case, path, _ = packed(tmp_path)
    content = bytearray(path.read_bytes())
    struct.pack_into("<f", content, 84, 0.0)  # pixdim[2]
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"a\.nii: the spacing"):
        read_case_images(case)


@pytest.mark.parametrize("form", ["4-D", "vector"])
@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_what_is_no_number_stays_none_in_every_channel_of_a_packed_file(tmp_path, form, ending):
    case, path, values = packed(tmp_path, form, ending=ending)
    values[0, 1, 2, 3] = values[1, 0, 0, 0] = values[2, 3, 4, 5] = np.nan
    parts = [sitk.GetImageFromArray(v) for v in values]
    sitk.WriteImage(sitk.JoinSeries(parts) if form == "4-D" else sitk.Compose(parts), str(path))
    found = np.stack([sitk.GetArrayFromImage(image) for image in read_case_images(case)])
    assert np.array_equal(found, values, equal_nan=True)


def test_a_packed_file_with_too_many_channels_is_named(tmp_path):
    case, path, values = packed(tmp_path)
    sitk.WriteImage(sitk.JoinSeries([sitk.GetImageFromArray(values[0])] * 5), str(path))
    with pytest.raises(UserError, match=r"a\.nii: the image holds 5 volumes, 3 are needed"):
        read_case_images(case)


def test_labels_are_read_without_the_rest_of_the_data_set(tmp_path):
    describe(tmp_path, labels=LABELS)
    assert read_labels(tmp_path) == (LabelEntry("front", 1, (1,)), LabelEntry("back", 2, (2,)))
    with pytest.raises(UserError, match="missing"):
        read_labels(tmp_path / "none")
