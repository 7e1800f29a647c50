"""The check of a data set: each kind of trouble is found where it was planted, and nothing else."""

import json

import numpy as np
import pytest
import SimpleITK as sitk
from layouts import GRID, box, picture, save, write_raw

from segmamba.data.checking import ERROR, NOTE, WARNING, check_dataset
from segmamba.data.datasets import read_dataset
from segmamba.data.splits import Fold
from segmamba.grid import Grid
from segmamba.images import array, from_array


@pytest.fixture
def folder(tmp_path):
    return write_raw(tmp_path / "set", count=4)


def image_of(folder, n=1):
    return folder / "imagesTr" / f"case{n}_0000.nii.gz"


def label_of(folder, n=1):
    return folder / "labelsTr" / f"case{n}.nii.gz"


def found(folder, severities=(ERROR, WARNING, NOTE), folds=None):
    check = check_dataset(read_dataset(folder), folds)
    return {(f.severity, f.kind, f.case) for f in check.findings if f.severity in severities}


def test_a_good_data_set_is_clean(folder):
    check = check_dataset(read_dataset(folder))
    assert not check.findings
    assert check.facts[0].size == (18, 20, 16) and check.facts[0].spacing == (1.0, 1.0, 1.5)
    assert check.facts[1].volumes_ml["inner"] == pytest.approx((box(1) == 2).sum() * 1.5e-3)


def blank(folder):
    save(picture() * 0 + 5, image_of(folder))


def no_numbers(folder):
    save(picture() * float("nan"), image_of(folder))


def few_numbers(folder):
    values = array(picture(1))
    values[3, 4, 5] = np.nan
    save(from_array(values, GRID), image_of(folder))


def cut_short(folder):
    image_of(folder).write_bytes(image_of(folder).read_bytes()[:2000])


def no_label_file(folder):
    label_of(folder).write_text("a letter")


def fractions(folder):
    save(from_array(box() / np.float32(2), GRID), label_of(folder))


def moved(folder):
    label = from_array(box(1), GRID)
    label.SetOrigin((0.0, 0.0, 0.0))
    save(label, label_of(folder))


def unknown(folder):
    save(from_array(box(1) * 3, GRID), label_of(folder))


def empty(folder):
    save(from_array(box(1) * 0, GRID), label_of(folder))


def copied(folder):
    save(sitk.Cast(picture(3), sitk.sitkFloat64), image_of(folder))


@pytest.mark.parametrize(
    ("spoil", "severity", "kind"),
    [
        (blank, ERROR, "constant image"),
        (no_numbers, ERROR, "no numbers"),
        (few_numbers, WARNING, "NaN"),
        (cut_short, ERROR, "unreadable image"),
        (no_label_file, ERROR, "unreadable label"),
        (fractions, ERROR, "unreadable label"),
        (moved, ERROR, "geometry"),
        (unknown, ERROR, "unknown label"),
        (empty, WARNING, "empty label"),
    ],
)
def test_trouble_is_found_where_it_is(folder, spoil, severity, kind):
    spoil(folder)
    assert found(folder) == {(severity, kind, "case1")}


def test_an_image_saved_twice_is_found_whatever_its_type(folder):
    copied(folder)
    kinds = found(folder)
    assert (WARNING, "duplicate", "case3") in kinds and (WARNING, "subjects", "") in kinds and len(kinds) == 2


def test_other_spacing_and_size_are_odd(folder):
    grid = Grid(GRID.size, (1.0, 1.0, 5.0), GRID.origin, GRID.direction)
    save(grid.place(picture(1)), image_of(folder))
    save(grid.place(from_array(box(1), GRID)), label_of(folder))
    assert found(folder) == {(WARNING, "odd spacing", "case1"), (WARNING, "odd size", "case1")}


def test_few_voxels_and_orientations_are_told(folder):
    save(picture(1)[:, :, 4:10], image_of(folder))
    save(from_array(box(1), GRID)[:, :, 4:10], label_of(folder))
    save(sitk.Flip(picture(2), (True, False, False)), image_of(folder, 2))
    save(sitk.Flip(from_array(box(2), GRID), (True, False, False)), label_of(folder, 2))
    kinds = found(folder)
    assert (WARNING, "few voxels", "case1") in kinds and (NOTE, "orientations", "") in kinds


def test_labels_that_no_case_or_one_case_has(folder):
    about = json.loads((folder / "dataset.json").read_text())
    about["labels"]["third"] = 3
    (folder / "dataset.json").write_text(json.dumps(about))
    for n in range(3):
        save(from_array(np.minimum(box(n), 1), GRID), label_of(folder, n))
    kinds = found(folder)
    assert {(WARNING, "absent label", ""), (WARNING, "rare label", "")} <= kinds


def test_a_channel_on_another_grid_is_noted(tmp_path):
    folder = write_raw(tmp_path / "set", channels=2)
    save(picture(1, 1)[2:, :, :], folder / "imagesTr" / "case1_0001.nii.gz")
    assert found(folder) == {(NOTE, "other grid", "case1")}


def test_one_subject_on_both_sides_of_a_fold_is_told(folder):
    image = picture(0)
    save(image * 1.01, image_of(folder, 1))
    apart = [Fold(("case0", "case2"), ("case1", "case3"))]
    together = [Fold(("case0", "case1"), ("case2", "case3"))]
    assert (WARNING, "subjects", "case0") in found(folder, folds=apart)
    assert found(folder, folds=together) == set()


def test_cases_are_shown_one_after_another(folder):
    seen = []
    check_dataset(read_dataset(folder), look=lambda case, image, label: seen.append((case.name, image.GetSize())))
    assert seen == [(f"case{n}", GRID.size) for n in range(4)]


def test_planted_pairs_are_errors(tmp_path, reference_data):
    for pair in ("mismatched_pair", "huge_label_pair"):
        source = reference_data / "data" / "hippocampus_odd" / pair
        for part in ("imagesTr", "labelsTr"):
            (tmp_path / part).mkdir(exist_ok=True)
            (tmp_path / part / f"{pair}.nii.gz").write_bytes((source / part / "case.nii.gz").read_bytes())
    listed = [
        {"image": f"imagesTr/{p}.nii.gz", "label": f"labelsTr/{p}.nii.gz"}
        for p in ("mismatched_pair", "huge_label_pair")
    ]
    about = {"modality": {"0": "MRI"}, "labels": {"0": "background", "1": "a", "2": "b"}, "training": listed}
    (tmp_path / "dataset.json").write_text(json.dumps(about))
    assert found(tmp_path, (ERROR,)) == {(ERROR, "geometry", "mismatched_pair"), (ERROR, "geometry", "huge_label_pair")}
    assert (WARNING, "duplicate", "mismatched_pair") in found(tmp_path)
