"""Export: a run becomes a package that verifies, segments, and says where it comes from."""

import json
import logging

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from boxes import fold_of, recipe, write_dataset

import segmamba
from segmamba.bundle import Bundle
from segmamba.data.splits import split_hash
from segmamba.errors import UserError
from segmamba.training.checkpoint import load_checkpoint
from segmamba.training.export import export
from segmamba.training.recipe import to_dict
from segmamba.training.trainer import train


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A data set and a finished run on it."""
    dataset = write_dataset(tmp_path_factory.mktemp("boxes"), 3)
    folder = tmp_path_factory.mktemp("runs") / "run"
    threads = torch.get_num_threads()
    train(dataset, fold_of(dataset), folder, recipe(train={"epochs": 1, "steps_per_epoch": 30, "ema": 0.9}))
    torch.set_num_threads(threads)
    return dataset, folder


def card(tmp_path, **values):
    path = tmp_path / "card.json"
    path.write_text(json.dumps(values))
    return path


@pytest.mark.parametrize("name", ["model", "model.zip"])
def test_the_package_is_whole_and_segments_as_the_runs_averaged_weights(trained, tmp_path, name):
    dataset, run = trained
    bundle = export(run, tmp_path / name)
    assert Bundle(tmp_path / name).verify() == []
    result = segmamba.Segmenter(tmp_path / name, device="cpu")(dataset.cases[2].images[0])
    truth = sitk.GetArrayFromImage(sitk.ReadImage(str(dataset.cases[2].label)))
    mask = sitk.GetArrayFromImage(result.labels)
    dice = 2 * np.sum((mask == 1) & (truth == 1)) / (np.sum(mask == 1) + np.sum(truth == 1))
    summary = json.loads((run / "summary.json").read_text())
    assert dice == pytest.approx(summary["dice"]["box"], abs=0.02)  # half precision
    assert list(result.names.values()) == ["box"]
    assert bundle.metadata.scores["dice"]["box"] == pytest.approx(summary["dice"]["box"], abs=1e-4)


def test_weights_are_the_averaged_ones_in_half_precision(trained, tmp_path):
    _, run = trained
    weights = export(run, tmp_path / "model").weights()
    averaged = load_checkpoint(run / "checkpoint.pt")["averaged"]
    assert weights.keys() == averaged.keys()
    for name, value in averaged.items():
        assert np.array_equal(np.asarray(weights[name], np.float16), value.numpy().astype(np.float16))
    assert Bundle(tmp_path / "model").metadata.weights["dtype"] == "float16"
    assert (tmp_path / "model" / "models" / "model.safetensors").stat().st_size < sum(
        2.5 * value.numel() for value in averaged.values()
    ) + 10_000


def test_the_metadata_say_how_it_was_trained(trained, tmp_path):
    dataset, run = trained
    training = export(run, tmp_path / "model").metadata.training
    decided = json.loads((run / "run.json").read_text())["recipe"]
    assert training["recipe"] == decided and decided["seed"] == to_dict(recipe())["seed"]
    assert training["split_hash"] == split_hash(fold_of(dataset))
    assert {"torch", "segmamba"} <= training["versions"].keys()
    assert (training["data"], training["licence"], training["cases"]) == ("boxes", "CC0", 2)
    assert (training["epochs_done"], training["fold"], training["mirror_axes"]) == (1, "0", [0, 1, 2])
    assert (tmp_path / "model" / "docs" / "log.jsonl").read_bytes() == (run / "log.jsonl").read_bytes()
    assert (tmp_path / "model" / "docs" / "progress.png").is_file()


def test_the_cards_words_stand_in_metadata_readme_and_licence(trained, tmp_path):
    _, run = trained
    words = card(
        tmp_path,
        name="boxes",
        version="2.1.0",
        description="Finds bright boxes.",
        licence="CC0-1.0",
        licence_text="Do what you like.",
        attribution="After nobody.",
        labels={"box": {"colour": [1, 2, 3]}},
        channels=[{"name": "T1w", "modality": "MR"}],
    )
    about = export(run, tmp_path / "model", words).metadata
    assert (about.name, about.version, about.licence, about.attribution) == (
        "boxes", "2.1.0", "CC0-1.0", "After nobody.",
    )  # fmt: skip
    assert about.labels[0].colour == (1, 2, 3) and about.channels[0].name == "T1w"
    readme = (tmp_path / "model" / "docs" / "README.md").read_text()
    for text in ("# boxes 2.1.0", "Finds bright boxes.", "T1w (MR)", "not a medical device", "Mean over 1 validation"):
        assert text.lower() in readme.lower()
    assert "of the Dice per label" in readme and "fp32" in readme
    assert (tmp_path / "model" / "LICENSE").read_text() == "Do what you like."


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"license": "MIT"}, "license"),
        ({"name": 3}, "name"),
        ({"version": 2}, "version"),
        ({"labels": ["box"]}, "labels"),
        ({"labels": {"ball": {}}}, "labels.ball"),
        ({"labels": {"box": 3}}, "labels"),
        ({"labels": {"box": {"value": 7}}}, "labels.box: unknown key value"),
        ({"labels": {"box": {"colour": "red"}}}, "colour"),
        ({"channels": [{}, {}]}, "channels"),
        ({"scores": {"dice": {"box": "good"}}}, "scores.dice"),
        ({"scores": {"dice": 0.9}}, "scores.dice"),
        ({"scores": {"how": 3}}, "scores.how"),
        ({"scores": {"mean_dice": []}}, "scores.mean_dice"),
        ({"channels": [{"normalisation": {"kind": "none"}}]}, "normalisation"),
    ],
)
def test_a_wrong_card_is_refused_and_nothing_is_written(trained, tmp_path, values, words):
    _, run = trained
    with pytest.raises(UserError) as error:
        export(run, tmp_path / "model", card(tmp_path, **values))
    assert words in str(error.value)
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("text", ["{", "[]", pytest.param("[" * 100_000, id="deep")])
def test_a_card_that_is_no_json_object_is_refused(trained, tmp_path, text):
    (tmp_path / "card.json").write_text(text)
    with pytest.raises(UserError, match=r"card\.json"):
        export(trained[1], tmp_path / "model", tmp_path / "card.json")


def test_a_missing_card_or_run_is_refused(trained, tmp_path):
    with pytest.raises(UserError, match=r"none\.json cannot be read"):
        export(trained[1], tmp_path / "model", tmp_path / "none.json")
    with pytest.raises(UserError, match="holds no run"):
        export(tmp_path, tmp_path / "model")


def test_a_run_that_is_not_finished_is_exported_with_a_warning_and_without_scores(trained, tmp_path, caplog):
    _, run = trained
    copy = tmp_path / "run"
    copy.mkdir()
    for name in ("run.json", "checkpoint.pt"):
        (copy / name).write_bytes((run / name).read_bytes())
    with caplog.at_level(logging.WARNING, "segmamba"):
        bundle = export(copy, tmp_path / "model")
    assert "1 of 1 epochs are done and not validated" in caplog.text
    assert bundle.metadata.scores == {}
    assert "No scores were measured" in (tmp_path / "model" / "docs" / "README.md").read_text()
    (copy / "checkpoint.pt").unlink()
    with pytest.raises(UserError, match="there is no checkpoint"):
        export(copy, tmp_path / "other")
