"""Checkpoints: whole or not at all, on a full disk too; what is damaged is refused."""

import contextlib
import os
import signal
import subprocess
import sys
import textwrap

import pytest
import torch

from segmamba.errors import UserError
from segmamba.training.checkpoint import load_checkpoint, random_state, save_checkpoint, set_random_state


def state(value=1.0, numbers=1000):
    return {
        "epoch": 3,
        "seconds": 1.5,
        "network": {"w": torch.full((numbers,), value)},
        "averaged": {"w": torch.full((numbers,), value)},
        "optimiser": {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"lr": 0.1, "params": [0]}]},
        "scaler": {},
        "random": random_state(torch.device("cpu")),
    }


def test_what_is_saved_is_loaded_and_nothing_else_is_left(tmp_path):
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, state(1.0))
    save_checkpoint(path, state(2.0))
    loaded = load_checkpoint(path)
    assert torch.equal(loaded["network"]["w"], torch.full((1000,), 2.0))
    assert loaded["optimiser"]["param_groups"] == [{"lr": 0.1, "params": [0]}]
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_the_random_state_is_put_back():
    kept = random_state(torch.device("cpu"))
    first = torch.rand(5)
    set_random_state(kept, torch.device("cpu"))
    assert torch.equal(torch.rand(5), first)


def test_a_missing_checkpoint_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"checkpoint\.pt: there is no checkpoint"):
        load_checkpoint(tmp_path / "checkpoint.pt")


def test_a_checkpoint_is_damaged_at_any_cut_and_by_any_flipped_byte_of_its_tensors(tmp_path):
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, state())
    whole = path.read_bytes()
    place = whole.index(torch.full((100,), 1.0).numpy().tobytes())
    flipped = bytearray(whole)
    flipped[place + 7] ^= 0x10
    for content in (b"", whole[:20], whole[: len(whole) // 2], whole[:-30], b"x" * 500, bytes(flipped)):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"checkpoint\.pt: the checkpoint is damaged"):
            load_checkpoint(path)


@pytest.mark.parametrize("content", [{"epoch": 1}, [1, 2], torch.ones(3)], ids=["keys missing", "list", "tensor"])
def test_a_foreign_file_of_torch_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "checkpoint.pt")
    with pytest.raises(UserError, match="damaged or foreign"):
        load_checkpoint(tmp_path / "checkpoint.pt")


class Evil:
    """Unpickling it would make a folder."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_a_checkpoint_never_runs_code(tmp_path):
    torch.save(state() | {"epoch": Evil(tmp_path / "made")}, tmp_path / "checkpoint.pt")
    with pytest.raises(UserError, match="damaged or foreign"):
        load_checkpoint(tmp_path / "checkpoint.pt")
    assert not (tmp_path / "made").exists()


@contextlib.contextmanager
def small_disk(folder):
    """A file system of one MiB; the test is skipped where one cannot be mounted."""
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip("mounting a file system takes an administrator of Linux")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mounts a tmpfs")
def test_a_full_disk_leaves_the_previous_checkpoint_and_says_so(tmp_path):
    with small_disk(tmp_path / "disk") as disk:
        path = disk / "checkpoint.pt"
        save_checkpoint(path, state(1.0))
        with pytest.raises(UserError, match="previous checkpoint is intact") as error:
            save_checkpoint(path, state(2.0, 400_000))
        assert str(path) in str(error.value) and "\n" not in str(error.value)
        assert torch.equal(load_checkpoint(path)["network"]["w"], torch.full((1000,), 1.0))
        assert [p.name for p in disk.iterdir()] == ["checkpoint.pt"]
        save_checkpoint(path, state(3.0))  # with room again, it goes on


@pytest.mark.skipif(os.name != "posix", reason="limits the size of files")
def test_a_file_that_may_grow_no_further_leaves_the_previous_checkpoint_and_says_so(tmp_path):
    save_checkpoint(tmp_path / "checkpoint.pt", state(1.0))
    program = """
        import resource, signal, sys, torch
        from pathlib import Path
        from segmamba.errors import UserError
        from segmamba.training.checkpoint import load_checkpoint, save_checkpoint
        path = Path(sys.argv[1])
        before = load_checkpoint(path)
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        try:
            save_checkpoint(path, before | {"network": {"w": torch.zeros(100_000)}})
        except UserError as error:
            sys.exit(str(error))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), str(tmp_path / "checkpoint.pt")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1 and "previous checkpoint is intact" in done.stderr, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert float(load_checkpoint(tmp_path / "checkpoint.pt")["network"]["w"][0]) == 1.0
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint.pt"]


class Interrupting:
    """Sends Ctrl-C in the middle of being written."""

    def __reduce__(self):
        signal.raise_signal(signal.SIGINT)
        return float, ()


def test_an_interrupt_leaves_the_previous_checkpoint(tmp_path):
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, state(1.0))
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(path, state(2.0) | {"last": Interrupting()})
    assert float(load_checkpoint(path)["network"]["w"][0]) == 1.0
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint.pt"]
