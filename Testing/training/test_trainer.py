"""The training loop: it learns, ends, validates, goes on exactly, and refuses what cannot work before it begins."""

import contextlib
import json
import logging
import math
import shutil
import signal

import pytest
import torch
from boxes import NETWORK, REGIONS, fold_of, recipe, write_dataset

from segmamba.errors import UserError
from segmamba.networks.lightmunet import LightMUNet
from segmamba.training.budget import epochs_for
from segmamba.training.checkpoint import load_checkpoint
from segmamba.training.step import average
from segmamba.training.trainer import spread, train


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("boxes"), 4)


@pytest.fixture(scope="module")
def finished(dataset, tmp_path_factory):
    """The folder and summary of a run of two epochs."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    return folder, train(dataset, fold_of(dataset), folder, recipe())


def checkpoint(folder):
    return load_checkpoint(folder / "checkpoint.pt")


def same(one, two):
    """Whether two nests of tensors and plain values agree bit for bit."""
    if isinstance(one, torch.Tensor):
        return one.dtype == two.dtype and torch.equal(one, two)
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(same(one[key], two[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(two) and all(map(same, one, two))
    return one == two


@contextlib.contextmanager
def each_step(act):
    """Calls ``act(number, output)`` after the network's forward pass of each training step, counted from 1."""
    count = 0

    def hook(module, inputs, output):
        nonlocal count
        if isinstance(module, LightMUNet) and module.training:
            count += 1
            return act(count, output)

    handle = torch.nn.modules.module.register_module_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def test_a_run_leaves_what_it_promises(finished):
    folder, summary = finished
    names = {"run.json", "log.jsonl", "progress.png", "checkpoint.pt", "summary.json", "prepared"}
    assert {path.name for path in folder.iterdir()} == names
    assert (folder / "progress.png").read_bytes()[:4] == b"\x89PNG"
    assert json.loads((folder / "summary.json").read_text()) == summary
    assert summary["dice"].keys() == {"box"} and summary["per_case"].keys() == {"case3"}
    assert "fold 0" in summary["how"]
    assert checkpoint(folder)["epoch"] == 2


def test_the_log_has_a_row_an_epoch_and_the_last_one_the_final_dice(finished):
    folder, summary = finished
    rows = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2]
    assert [row["step"] for row in rows] == [2, 4]
    assert all(math.isfinite(row["loss"]) and row["skipped"] == 0 and row["seconds"] > 0 for row in rows)
    assert rows[-1]["dice"] == {"box": round(summary["dice"]["box"], 4)} and rows[-1]["dice_cases"] == 1


def test_a_finished_run_is_not_run_again_and_a_lost_or_damaged_summary_is_measured_again(finished, dataset, caplog):
    folder, summary = finished
    before = checkpoint(folder)
    assert train(dataset, fold_of(dataset), folder, recipe(), resume="must") == summary
    for damage in (lambda path: path.unlink(), lambda path: path.write_text('{"dice": ')):
        damage(folder / "summary.json")
        assert train(dataset, fold_of(dataset), folder, recipe(), resume="must") == summary
    assert same(checkpoint(folder), before)


def test_a_run_killed_right_after_its_summary_still_gets_its_final_dice_into_log_and_plot(finished, dataset, tmp_path):
    folder = shutil.copytree(finished[0], tmp_path / "run")
    log, kept = folder / "log.jsonl", (folder / "log.jsonl").read_text()
    rows = [json.loads(line) for line in kept.splitlines()]
    del rows[-1]["dice"], rows[-1]["dice_cases"]
    log.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "progress.png").unlink()
    assert train(dataset, fold_of(dataset), folder, recipe(), resume="must") == finished[1]
    assert log.read_text() == kept
    assert (folder / "progress.png").read_bytes()[:4] == b"\x89PNG"


def test_a_summary_of_weights_that_are_trained_on_is_not_believed(dataset, tmp_path):
    train(dataset, fold_of(dataset), tmp_path / "run", recipe(train={"epochs": 1}))
    stale = json.loads((tmp_path / "run" / "summary.json").read_text())
    (tmp_path / "run" / "summary.json").write_text(json.dumps(stale | {"mean_dice": 7}))
    (tmp_path / "run" / "checkpoint.pt").unlink()
    assert train(dataset, fold_of(dataset), tmp_path / "run", recipe(train={"epochs": 1}), resume="must")[
        "mean_dice"
    ] == pytest.approx(stale["mean_dice"])


def test_the_same_run_twice_gives_the_same_weights(finished, dataset, tmp_path):
    torch.manual_seed(123)
    train(dataset, fold_of(dataset), tmp_path / "again", recipe())
    one, two = checkpoint(finished[0]), checkpoint(tmp_path / "again")
    assert all(same(one[key], two[key]) for key in ("network", "averaged", "optimiser", "random"))


def test_another_seed_gives_other_weights(finished, dataset, tmp_path):
    train(dataset, fold_of(dataset), tmp_path / "other", recipe(seed=1))
    assert not same(checkpoint(finished[0])["network"], checkpoint(tmp_path / "other")["network"])


class Stopped(Exception):
    pass


@pytest.mark.parametrize(
    "choice",
    [
        pytest.param({}, id="fp32"),
        pytest.param({"workers": 1}, id="worker process"),
        pytest.param({"precision": "bf16"}, id="bf16"),
        pytest.param({"precision": "fp16"}, id="fp16"),
        pytest.param({"threads": 2}, id="two threads", marks=pytest.mark.slow),  # slow where cores are busy
    ],
)
def test_a_run_that_ends_in_the_middle_of_an_epoch_goes_on_to_the_same_weights(dataset, tmp_path, choice):
    asked = recipe(train={"epochs": 3, **choice})
    whole = train(dataset, fold_of(dataset), tmp_path / "whole", asked)

    def stopping(number, output):
        if number in (2, 5):  # before the first checkpoint, and between two
            raise Stopped

    with each_step(stopping):
        for _ in range(2):
            with pytest.raises(Stopped):
                train(dataset, fold_of(dataset), tmp_path / "parts", asked, resume="auto")
            torch.rand(17)  # another process has drawn another number of times
        parts = train(dataset, fold_of(dataset), tmp_path / "parts", asked, resume="auto")
    one, two = checkpoint(tmp_path / "whole"), checkpoint(tmp_path / "parts")
    assert all(same(one[key], two[key]) for key in ("epoch", "network", "averaged", "optimiser", "scaler", "random"))
    assert parts["dice"] == whole["dice"]
    logs = [(tmp_path / name / "log.jsonl").read_text().splitlines() for name in ("whole", "parts")]
    losses = [[(row["epoch"], row["loss"]) for row in map(json.loads, log)] for log in logs]
    assert losses[0] == losses[1] and [epoch for epoch, _ in losses[0]] == [1, 2, 3]


def test_ctrl_c_leaves_a_run_that_goes_on_and_says_so(dataset, tmp_path, caplog):
    def interrupting(number, output):
        if number == 4:
            signal.raise_signal(signal.SIGINT)

    caplog.set_level(logging.INFO, "segmamba")
    with pytest.raises(KeyboardInterrupt), each_step(interrupting):
        train(dataset, fold_of(dataset), tmp_path / "run", recipe())
    assert "--resume goes on after epoch 1" in caplog.text
    assert checkpoint(tmp_path / "run")["epoch"] == 1
    assert train(dataset, fold_of(dataset), tmp_path / "run", recipe(), resume="must")["epochs"] == 2


def test_a_failure_before_the_run_has_begun_leaves_nothing(dataset, tmp_path):
    label = dataset.case("case3").label
    broken = write_dataset(tmp_path / "data", 4)
    broken.case("case3").label.write_bytes(label.read_bytes()[:100])  # a validation case: found before the training
    with pytest.raises(UserError, match=r"case3\.nii\.gz"):
        train(broken, fold_of(broken), tmp_path / "runs" / "run", recipe())
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"network": {"options": {"init_filter": 8}}}, "init_filter"),
        ({"network": {"name": "unet"}}, "unet"),
        ({"loss": {"kind": "dice_bce"}}, "loss.kind"),
    ],
)
def test_a_choice_that_cannot_work_is_told_before_a_case_is_read(tmp_path, change, words):
    dataset = write_dataset(tmp_path / "data", 3)
    for path in dataset.folder.glob("*/*.nii.gz"):
        path.write_bytes(b"")  # of which a reader would complain
    with pytest.raises(UserError, match=words):
        train(dataset, fold_of(dataset), tmp_path / "run", recipe(**change))
    assert not (tmp_path / "run").exists()


def test_prepared_cases_of_a_run_that_never_began_are_not_believed(dataset, tmp_path, finished):
    """Whatever data they are of: nothing says so before run.json stands there."""
    (tmp_path / "run").mkdir()
    other = write_dataset(tmp_path / "data", 4, seed=9)
    train(other, fold_of(other), tmp_path / "other", recipe(train={"epochs": 1, "steps_per_epoch": 1}))
    (tmp_path / "other" / "prepared").rename(tmp_path / "run" / "prepared")
    train(dataset, fold_of(dataset), tmp_path / "run", recipe(), resume="auto")
    assert same(checkpoint(tmp_path / "run")["network"], checkpoint(finished[0])["network"])


def test_changed_data_or_recipe_is_refused_on_resume(tmp_path):
    dataset = write_dataset(tmp_path / "data", 3)
    asked = recipe(train={"epochs": 1, "steps_per_epoch": 1})
    train(dataset, fold_of(dataset), tmp_path / "run", asked)
    with pytest.raises(UserError, match=r"optimiser\.lr"):
        train(dataset, fold_of(dataset), tmp_path / "run", recipe(optimiser={"lr": 0.5}), resume="must")
    write_dataset(tmp_path / "data", 3, seed=5)
    with pytest.raises(UserError, match=r"case0.* have changed"):
        train(dataset, fold_of(dataset), tmp_path / "run", asked, resume="auto")


def test_a_damaged_or_foreign_checkpoint_is_refused(finished, dataset, tmp_path):
    folder, _ = finished
    kept = (folder / "checkpoint.pt").read_bytes()
    foreign = checkpoint(folder)
    foreign["network"] = {"other": torch.ones(2)}
    try:
        for damage in (
            lambda: (folder / "checkpoint.pt").write_bytes(kept[: len(kept) // 2]),
            lambda: torch.save(foreign, folder / "checkpoint.pt"),
        ):
            damage()
            with pytest.raises(UserError, match=r"checkpoint\.pt: the checkpoint is damaged or foreign"):
                train(dataset, fold_of(dataset), folder, recipe(), resume="must")
    finally:
        (folder / "checkpoint.pt").write_bytes(kept)


def test_it_learns_a_bright_box_in_a_few_dozen_steps(tmp_path):
    dataset = write_dataset(tmp_path / "data", 5)
    asked = recipe(
        network={"name": "lightmunet", "options": NETWORK["options"]},
        train={"epochs": 1, "steps_per_epoch": 60, "ema": 0.9},
        optimiser={"lr": 0.01, "warmup_steps": 5},
        data={"foreground": 0.5},
    )
    assert train(dataset, fold_of(dataset), tmp_path / "run", asked)["dice"]["box"] > 0.8


def test_regions_of_four_channels_are_trained_and_each_is_measured(tmp_path):
    dataset = write_dataset(tmp_path / "data", 3, channels=("T1", "T1Gd", "T2", "FLAIR"), labels=REGIONS)
    asked = recipe(train={"epochs": 1, "steps_per_epoch": 40, "ema": 0.9}, optimiser={"lr": 0.01, "warmup_steps": 5})
    dice = train(dataset, fold_of(dataset), tmp_path / "run", asked)["dice"]
    assert list(dice) == ["whole", "core"] and dice["whole"] > 0.6


def test_hours_become_epochs_which_end_by_themselves_and_stay_when_resumed(dataset, tmp_path, caplog):
    caplog.set_level(logging.INFO, "segmamba")
    asked = recipe(train={"epochs": None, "hours": 4 / 3600, "steps_per_epoch": 2})
    summary = train(dataset, fold_of(dataset), tmp_path / "run", asked)
    assert "epochs fit into" in caplog.text
    decided = json.loads((tmp_path / "run" / "run.json").read_text())["recipe"]["train"]
    assert decided["epochs"] == summary["epochs"] >= 1
    assert summary["training_seconds"] < 12
    caplog.clear()
    (tmp_path / "run" / "summary.json").unlink()
    assert train(dataset, fold_of(dataset), tmp_path / "run", asked, resume="must")["epochs"] == summary["epochs"]
    assert "validating" in caplog.text and "epochs fit into" not in caplog.text


def test_hours_are_an_upper_bound_where_epochs_are_given_too(dataset, tmp_path):
    long, short = (
        train(dataset, fold_of(dataset), tmp_path / name, recipe(train={"epochs": epochs, "hours": hours}))
        for name, epochs, hours in (("long", 1, 100), ("short", 50, 1e-6))
    )
    assert long["epochs"] == short["epochs"] == 1


def test_epochs_fill_the_time_with_steps_and_validation():
    asked = recipe(train={"steps_per_epoch": 10}, validation={"every": 5, "cases": 2})
    # An epoch takes 10 steps of 1 s and a fifth of 2 cases of 5 s: 12 s.  The end takes 4 cases of 5 s.
    assert epochs_for(1000, 1.0, 5.0, 4, asked) == int((950 - 20) / 12)
    assert epochs_for(1, 1.0, 5.0, 4, asked) == 1
    assert epochs_for(1000, 1.0, 5.0, 1, recipe(train={"steps_per_epoch": 10}, validation={"every": 1})) == 63


def test_threads_of_the_recipe_are_torchs(dataset, tmp_path):
    seen = []
    torch.set_num_threads(1)
    asked = recipe(train={"epochs": 1, "steps_per_epoch": 1, "threads": 2})
    with each_step(lambda number, output: seen.append(torch.get_num_threads())):
        train(dataset, fold_of(dataset), tmp_path / "run", asked)
    assert seen == [2]


def test_a_step_that_is_not_finite_is_skipped_and_counted(dataset, tmp_path, caplog):
    with each_step(lambda number, output: output * math.nan if number == 2 else None):
        train(dataset, fold_of(dataset), tmp_path / "run", recipe(train={"epochs": 1, "steps_per_epoch": 3}))
    row = json.loads((tmp_path / "run" / "log.jsonl").read_text())
    assert row["skipped"] == 1 and math.isfinite(row["loss"])
    assert "1 steps skipped" in caplog.text
    state = checkpoint(tmp_path / "run")
    assert all(torch.isfinite(value).all() for part in ("network", "averaged") for value in state[part].values())


def test_an_epoch_without_a_finite_step_ends_the_run_with_advice(dataset, tmp_path):
    with pytest.raises(UserError, match=r"every step of epoch 2 .*optimiser\.lr"):
        train(dataset, fold_of(dataset), tmp_path / "run", recipe(optimiser={"lr": 1e30, "warmup_steps": 0}))
    assert checkpoint(tmp_path / "run")["epoch"] == 1


def test_the_average_follows_the_weights_and_copies_buffers():
    network, averaged = torch.nn.BatchNorm3d(2), torch.nn.BatchNorm3d(2)
    with torch.no_grad():
        network.weight.fill_(2.0)
        network.running_mean.fill_(5.0)
    average(averaged, network, 0.5, 1000)
    assert averaged.weight.tolist() == [1.5, 1.5] and averaged.running_mean.tolist() == [5.0, 5.0]
    average(averaged, network, 0.0, 1000)
    assert averaged.weight.tolist() == [2.0, 2.0]


def test_cases_validated_between_epochs_are_spread_over_the_fold():
    assert spread(list(range(10)), 4) == [0, 2, 5, 7]
    assert spread([1, 2], 8) == spread([1, 2], None) == [1, 2]
