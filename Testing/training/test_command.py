"""``segmamba train``: several folds, what ``--resume`` takes, and which choice of a network an error names."""

import json

import pytest
from boxes import NETWORK, write_dataset

from segmamba import networks
from segmamba.network_names import NAMES

QUICK = ["--device", "cpu", "--json"]
for _value in (
    f"network.options={json.dumps(NETWORK['options'])}",
    "data.patch=[16,16,16]",
    "train.epochs=1",
    "train.steps_per_epoch=1",
    "train.batch=1",
    "train.threads=1",
):
    QUICK += ["--set", _value]


@pytest.fixture
def dataset(tmp_path):
    """A folder with three boxes and three folds."""
    data = write_dataset(tmp_path / "data", 3)
    names = list(data.names)
    folds = [{"train": [name for name in names if name != held], "val": [held]} for held in names]
    (data.folder / "splits.json").write_text(json.dumps(folds))
    return data.folder


def test_all_folds_go_on_where_they_were_stopped_and_are_never_begun_twice(dataset, tmp_path, command, refused):
    asked = ["train", dataset, "-o", tmp_path / "run", "--fold", "all", *QUICK]
    refused([*asked, "--resume"], tmp_path / "run", "no run to resume in fold_0, fold_1, fold_2", "--resume auto")
    # As a computer that failed in the middle of the second fold leaves it: the third has no folder yet.
    for fold in ("0", "1"):
        done = command("train", dataset, "-o", tmp_path / "run" / f"fold_{fold}", "--fold", fold, *QUICK)
        assert done.status == 0, done.err
    (tmp_path / "run" / "fold_1" / "summary.json").unlink()
    refused(asked, tmp_path / "run" / "fold_0", "already holds a run")
    done = command(*asked, "--resume")
    assert done.status == 0, done.err
    assert json.loads(done.out).keys() == {"0", "1", "2"}


def test_a_fold_that_cannot_be_begun_is_refused_before_the_first_is_trained(dataset, tmp_path, refused):
    (tmp_path / "run" / "fold_2").mkdir(parents=True)
    (tmp_path / "run" / "fold_2" / "thesis.txt").write_text("mine")
    refused(["train", dataset, "-o", tmp_path / "run", "--fold", "all", *QUICK], "fold_2", "thesis.txt")


def test_resume_takes_one_word_and_never_the_data_set(dataset, tmp_path, refused):
    run = ["-o", tmp_path / "run", *QUICK]
    refused(["train", "--resume", dataset, *run], str(dataset), "put --resume after DATASET", "--resume auto")
    refused(["train", dataset, "--resume", "must", *run], "'must'", "--resume auto")


def test_a_network_that_there_is_not_is_told_by_the_choice_that_named_it(dataset, tmp_path, refused):
    run = ["train", dataset, "-o", tmp_path / "run"]
    known = ", ".join(NAMES)
    refused([*run, "--network", "unet"], "--network unet", known)
    refused([*run, "--set", "network.name=unet"], "recipe: network.name is 'unet'", known)
    (tmp_path / "mine.json").write_text('{"network": {"name": "unet"}}')
    refused([*run, "--recipe", tmp_path / "mine.json"], "mine.json: network.name is 'unet'", known)


def test_help_names_every_network(capsys):
    from segmamba import cli

    with pytest.raises(SystemExit):
        cli.main(["train", "--help"])
    shown = capsys.readouterr().out
    assert all(name in shown for name in networks.names())
