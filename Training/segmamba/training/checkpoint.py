"""Checkpoints that survive a crash: temporary file, fsync, rename."""

import contextlib
import os
import zipfile
from pathlib import Path

import torch

from segmamba.errors import UserError

_KEYS = {"epoch", "seconds", "network", "averaged", "optimiser", "scaler", "random"}


def save_checkpoint(path: Path, state: dict) -> None:
    """Writes ``state`` (tensors and plain values) so that ``path`` is at every moment the old file or the new one.

    Raises:
        UserError: Where the disk is full or not writable; the previous checkpoint is then untouched.
    """
    temporary = path.with_name(path.name + ".tmp")
    try:
        with open(temporary, "wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        if os.name == "posix":  # the rename itself must reach the disk, too
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
    except (OSError, RuntimeError) as error:  # torch turns a full disk into a RuntimeError
        reason = (getattr(error, "strerror", None) or str(error)).partition("\n")[0]
        kept = "; the previous checkpoint is intact" if path.exists() else ""
        raise UserError(
            f"{path}: the checkpoint could not be written ({reason}){kept}; make room and go on with --resume auto"
        ) from error
    finally:  # not the new checkpoint: that has its name by now
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def load_checkpoint(path: Path) -> dict:
    """Reads a checkpoint; nothing but tensors and plain values is ever unpickled.

    Raises:
        UserError: Where there is none or it is damaged.
    """
    if not path.is_file():
        raise UserError(f"{path}: there is no checkpoint; train the run first")
    try:
        with zipfile.ZipFile(path) as archive:  # torch itself does not look at the checksums
            broken = archive.testzip()
        state = None if broken else torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damage shows as whatever the bytes happen to mean to the unpickler
        raise damaged(path) from error
    if not isinstance(state, dict) or not state.keys() >= _KEYS:
        raise damaged(path)
    return state


def damaged(path: Path) -> UserError:
    """What to say of a checkpoint that cannot be read, or does not fit its run."""
    return UserError(f"{path}: the checkpoint is damaged or foreign; start the run anew in another folder")


def random_state(device: torch.device) -> dict:
    """State of torch's random generators (data sampling has none: it is a function of the seed and the step)."""
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def set_random_state(state: dict, device: torch.device) -> None:
    """Puts back what :func:`random_state` took."""
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)
