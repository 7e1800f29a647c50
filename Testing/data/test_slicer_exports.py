"""Segmentations of 3D Slicer as a data set: names become labels, overlaps become regions, cropped files fit again."""

import numpy as np
import pytest
import SimpleITK as sitk
from layouts import GRID, box, picture, save, write_slicer

from segmamba.bundle import Label
from segmamba.data.datasets import check_case, on_image_grid, read_case_images, read_case_label, read_dataset
from segmamba.errors import UserError
from segmamba.grid import Grid
from segmamba.images import array, from_array, write_segmentation


@pytest.mark.parametrize("flat", [True, False], ids=["one folder", "folders"])
def test_segments_are_labels_by_name(tmp_path, flat):
    dataset = read_dataset(write_slicer(tmp_path / "set", flat=flat))
    assert dataset.names == ("scan0", "scan1", "scan2")
    assert len(dataset.channels) == 1 and not dataset.regions
    assert [(entry.name, entry.value) for entry in dataset.labels] == [("organ", 1), ("lesion", 2)]
    for n, case in enumerate(dataset.cases):
        label = read_case_label(case)
        np.testing.assert_array_equal(array(label), box(n))
        check_case(read_case_images(case), label, dataset, case)


def test_segments_that_overlap_are_regions_from_large_to_small(tmp_path):
    dataset = read_dataset(write_slicer(tmp_path / "set", overlapping=True))
    assert dataset.regions and [entry.name for entry in dataset.labels] == ["organ", "lesion"]
    label = array(read_case_label(dataset.cases[1]))
    for entry, expected in zip(dataset.labels, (box(1) > 0, box(1) > 1), strict=True):
        np.testing.assert_array_equal(np.isin(label, entry.members), expected)


def test_a_name_has_one_value_whatever_number_a_file_gives_it(tmp_path):
    folder = write_slicer(tmp_path / "set", count=1)
    save(picture(1), folder / "scan1.nrrd")
    segments = [Label(1, "lesion", (1, 2, 3)), Label(5, "vessel", (1, 2, 3))]
    values = np.where(box() == 2, 1, np.where(box() == 1, 5, 0)).astype(np.uint8)
    write_segmentation(from_array(values, GRID), folder / "scan1-segmentation.seg.nrrd", segments)
    dataset = read_dataset(folder)
    assert [entry.name for entry in dataset.labels] == ["organ", "lesion", "vessel"]
    label = array(read_case_label(dataset.case("scan1")))
    np.testing.assert_array_equal(label, np.where(box() == 1, 3, box()))


def test_channels_are_what_remains_of_the_names(tmp_path):
    for name in ("a", "a1"):
        for channel in ("T1", "FLAIR"):
            save(picture(), tmp_path / "set" / f"{name}_{channel}.nrrd")
        segments = [Label(1, "x", (1, 2, 3)), Label(2, "y", (1, 2, 3))]
        write_segmentation(from_array(box(), GRID), tmp_path / "set" / f"{name}.seg.nrrd", segments)
    dataset = read_dataset(tmp_path / "set")
    assert dataset.channels == ("FLAIR", "T1")
    assert [path.name for path in dataset.case("a").images] == ["a_FLAIR.nrrd", "a_T1.nrrd"]


def test_a_cropped_segmentation_is_put_back_onto_its_image(tmp_path):
    folder = write_slicer(tmp_path / "set", count=1)
    path = folder / "scan0.seg.nrrd"
    origin = tuple(o + s * n for o, s, n in zip(GRID.origin, GRID.spacing, (2, 3, 2), strict=True))
    part = box()[2:14, 3:18, 2:15]
    write_segmentation(
        from_array(part, Grid(part.shape[::-1], GRID.spacing, origin, GRID.direction)),
        path,
        [Label(1, "organ", (1, 2, 3)), Label(2, "lesion", (1, 2, 3))],
    )
    case = read_dataset(folder).cases[0]
    (image,) = read_case_images(case)
    np.testing.assert_array_equal(array(on_image_grid(read_case_label(case), image, case)), box())


def test_a_segmentation_of_another_place_is_refused(tmp_path):
    folder = write_slicer(tmp_path / "set", count=1)
    image = picture()
    image.SetOrigin((900.0, 0.0, 0.0))
    save(image, folder / "scan0.nrrd")
    case = read_dataset(folder).cases[0]
    with pytest.raises(UserError, match=r"scan0\.nrrd.*scan0\.seg\.nrrd.*elsewhere"):
        on_image_grid(read_case_label(case), read_case_images(case)[0], case)


def test_what_is_missing_or_too_much_is_named(tmp_path):
    folder = write_slicer(tmp_path / "set")
    (folder / "scan1.nrrd").unlink()
    with pytest.raises(UserError, match=r"scan1\.seg\.nrrd has no image"):
        read_dataset(folder)
    save(picture(), folder / "scan1_T1.nrrd")
    save(picture(), folder / "scan1_T2.nrrd")
    with pytest.raises(UserError, match=r"'scan1' .* has 2 images"):
        read_dataset(folder)
    (folder / "scan0-segmentation.seg.nrrd").write_bytes((folder / "scan0.seg.nrrd").read_bytes())
    with pytest.raises(UserError, match="keep one segmentation a case"):
        read_dataset(folder)


def test_a_plain_label_map_that_is_named_like_a_segmentation_is_told(tmp_path):
    folder = write_slicer(tmp_path / "set", count=1)
    sitk.WriteImage(from_array(box(), GRID), str(folder / "scan0.seg.nrrd"))
    with pytest.raises(UserError, match=r"scan0\.seg\.nrrd.*names no segments"):
        read_dataset(folder)
