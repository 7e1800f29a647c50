"""A run that is killed, at any moment, and goes on ends as one that was not: bit for bit, at the same thread count."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch
from boxes import NETWORK, write_dataset

from segmamba.data.splits import Fold
from segmamba.training.checkpoint import load_checkpoint
from segmamba.training.recipe import load_recipe
from segmamba.training.trainer import train

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")

EPOCHS = 8


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Four boxes with a fold of their own."""
    data = write_dataset(tmp_path_factory.mktemp("boxes"), 4)
    folds = [{"train": ["case0", "case1", "case2"], "val": ["case3"]}]
    (data.folder / "splits.json").write_text(json.dumps(folds))
    return data


def choices(*more):
    """What ``--set`` is given."""
    return [
        f"network.options={json.dumps(NETWORK['options'])}",
        "data.patch=[16,16,16]",
        f"train.epochs={EPOCHS}",
        "train.steps_per_epoch=2",
        "train.batch=1",
        "train.threads=1",
        "validation.every=3",
        *more,
    ]


def undisturbed(dataset, folder, changes):
    """The same run, from beginning to end in this process."""
    threads = torch.get_num_threads()
    train(dataset, Fold(("case0", "case1", "case2"), ("case3",)), folder, load_recipe(changes=changes))
    torch.set_num_threads(threads)
    return folder


def start(dataset, folder, changes):
    """``segmamba train`` in a process of its own."""
    command = [sys.executable, "-m", "segmamba", "train", str(dataset.folder), "-o", str(folder), "--resume", "auto"]
    command += ["--device", "cpu"]
    for value in changes:
        command += ["--set", value]
    with open(folder.parent / f"{folder.name}.txt", "a") as output:
        return subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)


def finish(process, folder):
    assert process.wait(timeout=300) == 0, (folder.parent / f"{folder.name}.txt").read_text()


def kill(process, moment, what, seconds=120):
    """SIGKILL while ``moment()`` is true; returns whether the process was still running then."""
    began = time.monotonic()
    while process.poll() is None:
        assert time.monotonic() - began < seconds, f"never came to: {what}"
        if moment():
            # Stopped first: by the time that a signal arrives, a short moment may be over, and another one comes.
            process.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
            if moment():
                process.send_signal(signal.SIGKILL)
                return process.wait(timeout=30) == -signal.SIGKILL
            process.send_signal(signal.SIGCONT)
    return False


def killed(dataset, folder, changes, moment, what, hit):
    """Starts, or goes on with, a run and kills it at a moment.

    On a busy machine the moment may be over before it is seen: then the folder is put back as it was, for another try.

    Args:
        dataset, folder, changes: Of the run.
        moment: As of :func:`kill`; ``what`` says it in words.
        hit: Whether what the run left is what was wanted.
    """
    before = folder.with_name("before")
    for _ in range(10):
        if folder.exists():
            shutil.copytree(folder, before, dirs_exist_ok=True)
        if kill(start(dataset, folder, changes), moment, what) and hit():
            shutil.rmtree(before, ignore_errors=True)
            return
        shutil.rmtree(folder)
        if before.exists():
            before.rename(folder)
    pytest.fail(f"in ten runs never killed at: {what}")


def epochs_logged(folder):
    try:
        return (folder / "log.jsonl").read_text().count("\n")
    except FileNotFoundError:
        return 0


def exact(value):
    """Tensors as bytes, so that nests of them compare bit for bit."""
    if isinstance(value, torch.Tensor):
        return str(value.dtype), tuple(value.shape), value.contiguous().numpy().tobytes()
    if isinstance(value, dict):
        return {key: exact(one) for key, one in value.items()}
    return [exact(one) for one in value] if isinstance(value, (list, tuple)) else value


def check_same_end(one, two):
    states = [load_checkpoint(folder / "checkpoint.pt") for folder in (one, two)]
    for key in ("epoch", "network", "averaged", "optimiser", "random"):
        assert exact(states[0][key]) == exact(states[1][key]), key
    assert states[0]["epoch"] == EPOCHS
    rows = [[json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()] for folder in (one, two)]
    told = [[(row["epoch"], row["loss"], row["lr"], row.get("dice")) for row in log] for log in rows]
    assert told[0] == told[1]
    assert [row["epoch"] for row in rows[0]] == list(range(1, EPOCHS + 1))
    summaries = [json.loads((folder / "summary.json").read_text()) for folder in (one, two)]
    assert summaries[0]["dice"] == summaries[1]["dice"]
    leftovers = [path.name for path in two.rglob("*") if path.name.startswith(".") or path.name.endswith(".tmp")]
    assert leftovers == []


def test_killed_while_preparing_between_checkpoints_and_while_writing_one(dataset, tmp_path):
    parts, changes = tmp_path / "parts", choices()

    def no_checkpoint():
        return not (parts / "checkpoint.pt").exists()

    killed(dataset, parts, changes, (parts / "prepared").is_dir, "preparing", no_checkpoint)

    def early():
        return (parts / "checkpoint.pt").exists() and epochs_logged(parts) < EPOCHS - 2

    killed(dataset, parts, changes, lambda: epochs_logged(parts) >= 3, "the third epoch", early)

    half = parts / "checkpoint.pt.tmp"
    half.unlink(missing_ok=True)
    killed(dataset, parts, changes, half.exists, "writing a checkpoint", half.exists)
    load_checkpoint(parts / "checkpoint.pt")  # whole, whichever it is

    finish(start(dataset, parts, changes), parts)
    check_same_end(undisturbed(dataset, tmp_path / "whole", changes), parts)


def test_killed_with_a_worker_process_in_bf16(dataset, tmp_path):
    parts, changes = tmp_path / "parts", choices("train.workers=1", "train.precision=bf16")

    def unfinished():
        return (parts / "checkpoint.pt").exists() and not (parts / "summary.json").exists()

    killed(dataset, parts, changes, lambda: epochs_logged(parts) >= 2, "the second epoch", unfinished)
    finish(start(dataset, parts, changes), parts)
    check_same_end(undisturbed(dataset, tmp_path / "whole", changes), parts)


def test_ctrl_c_ends_with_130_and_says_how_to_go_on(dataset, tmp_path):
    folder, changes = tmp_path / "run", choices("train.workers=1")
    process = start(dataset, folder, changes)
    while epochs_logged(folder) < 2 and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130
    said = (tmp_path / "run.txt").read_text()
    assert "--resume goes on after epoch" in said and "Traceback" not in said
    assert load_checkpoint(folder / "checkpoint.pt")["epoch"] < EPOCHS
