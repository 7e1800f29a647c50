"""Every layout of data sets trains, and channels on other grids are resampled."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "data"))
import SimpleITK as sitk
from layouts import GRID, box, picture, save, write_brats, write_list, write_raw, write_slicer

from segmamba.bundle import Label
from segmamba.data.datasets import read_dataset
from segmamba.grid import Grid
from segmamba.images import array, from_array, resample, write_segmentation
from segmamba.training.cases import read_case

QUICK = [
    *("--set", "train.epochs=1", "--set", "train.steps_per_epoch=1", "--set", "train.batch=1"),
    *("--set", "data.patch=[16,16,16]", "--network", "lightmunet"),
    *("--set", 'network.options={"init_filters": 8, "blocks_down": [1, 1], "blocks_up": [1]}'),
]


def write_decathlon(folder):
    write_raw(folder)
    about = json.loads((folder / "dataset.json").read_text())
    listed = [{"image": f"imagesTr/case{n}_0000.nii.gz", "label": f"labelsTr/case{n}.nii.gz"} for n in range(3)]
    (folder / "dataset.json").write_text(json.dumps({**about, "training": listed}))
    return folder


LAYOUTS = {
    "MSD": (write_decathlon, ["outer", "inner"]),
    "nnU-Net": (lambda folder: write_raw(folder, channels=2), ["outer", "inner"]),
    "BraTS 2023": (write_brats, ["WT", "TC", "ET"]),
    "BraTS 2021": (lambda folder: write_brats(folder, 2021), ["WT", "TC", "ET"]),
    "CSV": (write_list, ["outer", "inner"]),
    "JSON": (lambda folder: write_list(folder, "json"), ["outer", "inner"]),
    "Slicer": (write_slicer, ["organ", "lesion"]),
    "Slicer, overlapping": (lambda folder: write_slicer(folder, overlapping=True, flat=False), ["organ", "lesion"]),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_trains(command, tmp_path, layout):
    write, labels = LAYOUTS[layout]
    outcome = command("train", write(tmp_path / "set"), "-o", tmp_path / "run", *QUICK, "--json")
    assert outcome.status == 0, outcome.err
    assert list(json.loads(outcome.out)["0"]["dice"]) == labels


def test_folds_of_a_list_are_used(command, tmp_path):
    outcome = command("train", write_list(tmp_path / "set"), "-o", tmp_path / "run", *QUICK, "--fold", "1")
    assert outcome.status == 0, outcome.err
    fold = json.loads((tmp_path / "run" / "run.json").read_text())["fold"]
    assert (fold["train"], fold["val"]) == (["p0", "p1"], ["p2", "p3"])


def test_a_channel_on_another_grid_is_resampled(command, tmp_path, caplog):
    folder = write_raw(tmp_path / "set", channels=2)
    coarse = Grid((11, 12, 13), (1.7, 1.8, 1.9), (-5.5, 6.5, 2.5), GRID.direction)
    for n in range(3):
        save(resample(picture(n, 1), coarse), folder / "imagesTr" / f"case{n}_0001.nii.gz")
    outcome = command("train", folder, "-o", tmp_path / "run", *QUICK)
    assert outcome.status == 0, outcome.err
    assert any("another grid" in record.getMessage() for record in caplog.records)


def test_a_label_on_another_grid_is_refused(refused, tmp_path):
    folder = write_raw(tmp_path / "set")
    label = from_array(box(), GRID)
    save(sitk.Crop(label, (0, 0, 1), (0, 0, 0)), folder / "labelsTr" / "case0.nii.gz")
    refused(["train", folder, "-o", tmp_path / "run", *QUICK], "case0.nii.gz", "18x20x15")


def test_a_run_is_not_resumed_with_other_labels(command, tmp_path):
    path = write_list(tmp_path / "set", "json")
    assert command("train", path, "-o", tmp_path / "run", *QUICK).status == 0
    path.write_text(path.read_text().replace('"outer"', '"skin"'))
    outcome = command("train", path, "-o", tmp_path / "run", *QUICK, "--resume")
    assert outcome.status == 2 and f"the labels that the run began with, but those of {path}" in outcome.err


@pytest.mark.parametrize(
    ("write", "spoil", "words"),
    [
        (write_brats, "BraTS-GLI-00001-000/BraTS-GLI-00001-000-seg.nii.gz", ["BraTS-GLI-00001-000", "no label"]),
        (write_slicer, "scan1.nrrd", ["scan1.seg.nrrd", "no image"]),
        (write_list, "masks/p2.nii.gz", ["p2.nii.gz", "line 4"]),
    ],
    ids=["BraTS", "Slicer", "CSV"],
)
def test_a_file_that_is_missing_is_named(refused, tmp_path, write, spoil, words):
    path = write(tmp_path / "set")
    (tmp_path / "set" / spoil).unlink()
    refused(["train", path, "-o", tmp_path / "run", *QUICK], *words)


@pytest.mark.parametrize("value", [4, 9])
def test_a_value_of_another_year_is_refused(refused, tmp_path, value):
    folder = write_brats(tmp_path / "set")
    name = "BraTS-GLI-00000-000"
    path = folder / name / f"{name}-seg.nii.gz"
    save(from_array(box() * 0 + value, GRID), path)
    refused(["train", folder, "-o", tmp_path / "run", *QUICK], path, f"the value {value}")


def test_a_cropped_segmentation_with_overlaps_trains_on_its_image(command, tmp_path):
    """What 3D Slicer writes where a segmentation is cropped to its segments."""
    folder = write_slicer(tmp_path / "set", overlapping=True)
    for n in range(3):
        path = folder / f"scan{n}.seg.nrrd"
        part = box(n)[2:13, 3:, 2:14]
        origin = tuple(o + s * k for o, s, k in zip(GRID.origin, GRID.spacing, (2, 3, 2), strict=True))
        bits = np.where(part > 0, 1, 0).astype(np.uint8) | np.where(part > 1, 2, 0).astype(np.uint8)
        place = Grid(part.shape[::-1], GRID.spacing, origin, GRID.direction)
        segments = [Label(1, "organ", (200, 80, 60)), Label(2, "lesion", (60, 200, 80))]
        write_segmentation(from_array(part, place), path, segments, bits)
    outcome = command("train", folder, "-o", tmp_path / "run", *QUICK)
    assert outcome.status == 0, outcome.err
    dataset = read_dataset(folder)
    for n, case in enumerate(dataset.cases):
        np.testing.assert_array_equal(array(read_case(case, dataset)[1]) > 0, box(n) > 0)
