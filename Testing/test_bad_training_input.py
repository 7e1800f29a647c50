"""Bad data sets and training options through the command line: one sentence, status 2, nothing left behind."""

import gzip
import json
import logging
import shutil
import struct
from pathlib import Path

import pytest
import SimpleITK as sitk


def save(image, path) -> Path:
    sitk.WriteImage(image, str(path))
    return path


@pytest.fixture
def dataset(tmp_path, make_volume):
    """Three good cases in nnU-Net's layout."""
    folder = tmp_path / "data"
    for part in ("imagesTr", "labelsTr"):
        (folder / part).mkdir(parents=True)
    for n, name in enumerate(("a", "b", "c")):
        image = make_volume((18, 20, 16), seed=n)
        save(image, folder / "imagesTr" / f"{name}_0000.nii.gz")
        save(sitk.Cast(image > 500, sitk.sitkUInt8), folder / "labelsTr" / f"{name}.nii.gz")
    about = {"channel_names": {"0": "T1"}, "labels": {"background": 0, "blob": 1}, "file_ending": ".nii.gz"}
    (folder / "dataset.json").write_text(json.dumps(about))
    (folder / "splits.json").write_text(json.dumps([{"train": ["a", "b"], "val": ["c"]}]))
    return folder


QUICK = [
    *("--set", "train.epochs=1", "--set", "train.steps_per_epoch=1", "--set", "train.batch=1"),
    *("--set", "data.patch=[16,16,16]", "--set", "data.spacing=[1.5,1.5,1.5]"),
    *("--set", 'network.options={"init_filters": 8, "blocks_down": [1, 1], "blocks_up": [1]}'),
]


@pytest.fixture
def train(refused, tmp_path, dataset):
    """``train`` on the data set, which must be refused with the given words."""

    def call(*words, more=(), output="run"):
        return refused(["train", dataset, "-o", tmp_path / output, *QUICK, *more], *words)

    return call


def label_of(dataset, case) -> Path:
    return dataset / "labelsTr" / f"{case}.nii.gz"


@pytest.mark.parametrize("case", ["a", "c"], ids=["trains", "validates"])
def test_a_label_value_outside_the_list(train, dataset, case):
    label = sitk.ReadImage(str(label_of(dataset, case)))
    label[3, 4, 5] = 9
    save(label, label_of(dataset, case))
    train(label_of(dataset, case), "9", "0, 1")


@pytest.mark.parametrize("case", ["a", "c"], ids=["trains", "validates"])
def test_an_image_without_its_label(train, dataset, case):
    label_of(dataset, case).unlink()
    train(f"{case}_0000.nii.gz", "no label")


@pytest.mark.parametrize("pair", ["mismatched_pair", "huge_label_pair"])
@pytest.mark.parametrize("case", ["a", "c"], ids=["trains", "validates"])
def test_real_images_and_labels_of_different_shapes(train, dataset, reference_data, pair, case):
    source = reference_data / "data" / "hippocampus_odd" / pair
    shutil.copy(source / "imagesTr" / "case.nii.gz", dataset / "imagesTr" / f"{case}_0000.nii.gz")
    shutil.copy(source / "labelsTr" / "case.nii.gz", label_of(dataset, case))
    train(label_of(dataset, case), f"{case}_0000.nii.gz", "37x52x33")


@pytest.mark.parametrize("case", ["a", "c"], ids=["trains", "validates"])
def test_a_blank_training_image(train, dataset, case):
    path = dataset / "imagesTr" / f"{case}_0000.nii.gz"
    image = sitk.ReadImage(str(path))
    save(image * 0, path)
    train(path, "blank")


def volume_of(dataset, case) -> Path:
    return dataset / "imagesTr" / f"{case}_0000.nii.gz"


def flat(path):
    save(sitk.ReadImage(str(path))[:, :, 4], path)


def several(path):
    image = sitk.ReadImage(str(path))
    save(sitk.JoinSeries([image, image]), path)


def cut_short(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def with_number(form, place, *values):
    """Writes other numbers at a place of a NIfTI header."""

    def change(path):
        content = bytearray(gzip.decompress(path.read_bytes()))
        struct.pack_into(form, content, place, *values)
        path.write_bytes(gzip.compress(bytes(content)))

    return change


# What spoils a file, with a word of what is said.
SPOILT = {
    "text": (lambda path: path.write_text("a letter"), ""),
    "cut short": (cut_short, ""),
    "2D": (flat, "2D"),
    "4D": (several, "2 volumes"),
    "spacing zero": (with_number("<f", 84, 0.0), "spacing"),
    "spacing negative": (with_number("<f", 84, -1.0), "spacing"),
    "singular": (with_number("<12f", 280, 1, 0, 0, 5, 0, 1, 0, 5, 0, 1, 0, 5), "singular"),
}


@pytest.mark.parametrize("kind", SPOILT)
@pytest.mark.parametrize("file_of", [volume_of, label_of], ids=["image", "label"])
@pytest.mark.parametrize("case", ["a", "c"], ids=["trains", "validates"])
def test_a_spoilt_file_of_a_data_set(train, dataset, kind, file_of, case):
    spoil, word = SPOILT[kind]
    spoil(file_of(dataset, case))
    train(file_of(dataset, case), word)


@pytest.mark.parametrize("cases", ["a", "c", "ab"], ids=["trains", "validates", "all that train"])
def test_a_training_image_of_no_numbers(train, dataset, cases):
    for case in cases:
        image = sitk.ReadImage(str(volume_of(dataset, case)))
        save(sitk.Cast(image, sitk.sitkFloat32) * float("nan"), volume_of(dataset, case))
    train(volume_of(dataset, cases[0]), "NaN")


@pytest.mark.parametrize("case", ["a", "c"], ids=["trains", "validates"])
def test_a_case_with_another_number_of_channels(train, dataset, case):
    shutil.copy(volume_of(dataset, case), dataset / "imagesTr" / f"{case}_0001.nii.gz")
    train(f"{case}_0001.nii.gz")
    (dataset / "imagesTr" / f"{case}_0001.nii.gz").unlink()
    volume_of(dataset, case).rename(dataset / "imagesTr" / f"{case}_0001.nii.gz")
    train(case)


@pytest.mark.parametrize("case", ["a", "c"], ids=["trains", "validates"])
def test_some_voxels_of_no_number_are_counted_in_a_warning_and_trained_on(command, tmp_path, dataset, case, caplog):
    values = sitk.Cast(sitk.ReadImage(str(volume_of(dataset, case))), sitk.sitkFloat32)
    values[3, 4, 5], values[5, 4, 3] = float("nan"), float("inf")
    save(values, volume_of(dataset, case))
    outcome = command("train", dataset, "-o", tmp_path / "run", *QUICK)
    assert outcome.status == 0, outcome.err
    warned = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(warned) == 1 and warned[0].startswith(f"{case}: ") and ": 2 voxels of 5760" in warned[0]
    assert "ITK" not in outcome.err
    rows = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [row["skipped"] for row in rows] == [0]


def test_cases_smaller_than_the_patch_are_padded_silently(command, tmp_path, dataset, caplog):
    outcome = command("train", dataset, "-o", tmp_path / "run", *QUICK, "--set", "data.patch=[24,24,24]")
    assert outcome.status == 0 and outcome.err == "", outcome.err
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_model_that_cannot_be_written(command, refused, tmp_path, dataset, image):
    assert command("train", dataset, "-o", tmp_path / "run", *QUICK).status == 0
    refused(["export", tmp_path / "run", "-o", image / "model"], image)
    refused(["export", tmp_path / "run", "-o", image], image)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("not ours")
    refused(["export", tmp_path / "run", "-o", tmp_path / "full"], tmp_path / "full")
    refused(["export", tmp_path / "run", "-o", tmp_path / "model", "--card", "gone.json"], "gone.json")


def test_a_data_set_that_is_none(refused, tmp_path):
    run = ["-o", tmp_path / "run"]
    refused(["train", tmp_path / "gone", *run], tmp_path / "gone", "dataset.json")
    (tmp_path / "set").mkdir()
    refused(["train", tmp_path / "set", *run], tmp_path / "set" / "dataset.json", "missing")
    (tmp_path / "set" / "dataset.json").write_text("{}")
    refused(["train", tmp_path / "set", *run], tmp_path / "set" / "dataset.json", "channel_names")


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--set", "train.epoch=3"], ["train.epoch", "allowed", "epochs"]),
        (["--set", "train.epochs"], ["--set 'train.epochs'", "key=value"]),
        (["--set", "train.epochs=many"], ["train.epochs"]),
        (["--set", "train.batch=-1"], ["train.batch", "-1"]),
        (["--set", "train.precision=fp8"], ["train.precision", "fp8", "bf16"]),
        (["--set", "network.options.wings=2"], ["wings", "init_filters"]),
        (["--set", "data.patch=[16,16]"], ["data.patch"]),
        (["--network", "unet"], ["--network unet", "lightmunet"]),
        (["--recipe", "gone.json"], ["gone.json"]),
        (["--fold", "7"], ["--fold 7", "0 to 0"]),
        (["--fold", "first"], ["--fold first"]),
        (["--splits", "gone.json"], ["gone.json"]),
        (["--device", "tpu"], ["--device tpu"]),
        (["--resume"], ["no run to resume", "--resume auto"]),
        (["--resume", "maybe"], ["--resume", "'maybe'"]),
    ],
)
def test_a_training_option_with_a_wrong_value(train, more, words):
    train(*words, more=more)


def test_a_recipe_file_that_is_wrong(train, tmp_path):
    for content, word in (("{", "JSON"), ("[]", "object"), ('{"train": {"epoch": 1}}', "train.epoch")):
        (tmp_path / "recipe.json").write_text(content)
        train(tmp_path / "recipe.json", word, more=["--recipe", tmp_path / "recipe.json"])


def test_a_run_folder_that_cannot_be_used(train, tmp_path):
    (tmp_path / "file").write_text("in the way")
    train(tmp_path / "file" / "run", output="file/run")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("not ours")
    train(tmp_path / "full", "not empty", output="full")


def test_a_mended_data_set_can_be_trained_into_the_same_folder(train, command, tmp_path, dataset):
    label = sitk.ReadImage(str(label_of(dataset, "b")))
    save(label * 3, label_of(dataset, "b"))
    train(label_of(dataset, "b"), "3")
    save(label, label_of(dataset, "b"))
    outcome = command("train", dataset, "-o", tmp_path / "run", *QUICK)
    assert outcome.status == 0, outcome.err


# The other commands


def test_evaluation_of_what_does_not_fit(refused, tmp_path, dataset, reference_data, image):
    masks, report = dataset / "labelsTr", ["-o", tmp_path / "report"]
    refused(["evaluate", tmp_path / "gone", masks, *report], tmp_path / "gone", "does not exist")
    (tmp_path / "empty").mkdir()
    refused(["evaluate", tmp_path / "empty", masks, *report], tmp_path / "empty", "no masks")
    refused(["evaluate", masks, tmp_path / "empty", *report], masks, "a has no reference")
    refused(["evaluate", masks, label_of(dataset, "a"), *report], "two folders or two files")
    odd = reference_data / "data" / "hippocampus_odd"
    one, other = odd / "label_010_duplicate_of_011.nii.gz", odd / "label_281_foreign_512x512x94.nii.gz"
    refused(["evaluate", one, other, *report], one, other, "grid")
    refused(["evaluate", masks, masks, "-o", image / "report"], image / "report")
    refused(["evaluate", masks, masks, "-o", image], image)


def test_evaluation_of_what_are_no_masks(refused, tmp_path, volume, dataset):
    path = save(sitk.Cast(volume, sitk.sitkFloat32) / 7, tmp_path / "scan.nrrd")
    refused(["evaluate", path, path, "-o", tmp_path / "report"], path, "whole numbers")
    label = sitk.ReadImage(str(label_of(dataset, "a")))
    mask = save(label * 4, tmp_path / "a.nii.gz")
    refused(["evaluate", mask, label_of(dataset, "a"), "-o", tmp_path / "report"], mask, "4")


def test_phantoms_that_cannot_be_drawn_or_written(refused, tmp_path, image):
    out = ["-o", tmp_path / "phantoms"]
    refused(["data", "phantom", *out, "--cases", "0"], "--cases", "0")
    refused(["data", "phantom", *out, "--seed", "-1"], "--seed", "-1")
    refused(["data", "phantom", *out, "--size", "4", "4", "4"], "size", "8 or more")
    refused(["data", "phantom", *out, "--spacing", "0", "1", "1"], "spacing")
    small = ["--size", "16", "16", "16", "--spacing", "10", "10", "10"]
    refused(["data", "phantom", "-o", image, *small], image)
    refused(["data", "phantom", "-o", image / "phantoms", *small], image / "phantoms", "cannot be written")
    refused(["data", "phantom", "-o", tmp_path, *small], tmp_path, "already holds files")


def test_a_run_that_cannot_be_exported(refused, tmp_path):
    refused(["export", tmp_path / "gone", "-o", tmp_path / "model"], tmp_path / "gone", "no run")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text("{")
    refused(["export", tmp_path / "run", "-o", tmp_path / "model"], tmp_path / "run" / "run.json", "damaged")


def test_a_demonstration_that_cannot_be_written(refused, image, monkeypatch, tiny_regions):
    monkeypatch.setattr("segmamba.commands.demo.MODEL", str(tiny_regions))
    refused(["demo", "-o", image / "demo"], image / "demo", "-o")
    refused(["demo", "-o", image], image, "-o")
    refused(["demo", "-o", image.parent / "demo", "--device", "tpu"], "--device tpu")
