"""Temporary folders that carry the owner's process number, so that those of a killed application can be found."""

from __future__ import annotations

import logging
import os
import re
import shutil
import socket
import tempfile
import weakref
from pathlib import Path

__all__ = ["TemporaryFolder", "remove_leftovers"]

_log = logging.getLogger(__name__)

PREFIX = "SegMambaJob"


class TemporaryFolder:
    """A folder for one job's files, readable by this user alone; it goes at the latest with this object or process.

    Args:
        base: where to make it; the application's temporary folder when None.

    Attributes:
        path: the folder.
    """

    def __init__(self, base: Path | None = None) -> None:
        base = temporary_base() if base is None else Path(base)
        base.mkdir(parents=True, exist_ok=True)
        self.path = Path(tempfile.mkdtemp(prefix=f"{PREFIX}-{_host()}-{os.getpid()}-", dir=base))
        weakref.finalize(self, _remove, self.path, os.getpid())

    def remove(self) -> bool:
        """Removes the folder with everything in it; False when that could not be done yet."""
        _remove(self.path, os.getpid())
        return not self.path.exists()


def _remove(path: Path, owner: int) -> None:
    if os.getpid() == owner:  # and no copy of this process
        shutil.rmtree(path, ignore_errors=True)


def remove_leftovers(base: Path | None = None) -> list[Path]:
    """Removes the folders of processes of this computer that are no more, and returns them."""
    base = temporary_base() if base is None else Path(base)
    pattern = re.compile(re.escape(f"{PREFIX}-{_host()}-") + r"(\d+)-\w+")
    removed = []
    try:
        folders = list(base.iterdir())
    except OSError:
        return removed
    for folder in folders:
        match = pattern.fullmatch(folder.name)
        if match is None or folder.is_symlink() or not folder.is_dir() or process_lives(int(match.group(1))):
            continue
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            _log.info("Removed %s, left by a process that ended early", folder)
            removed.append(folder)
    return removed


def temporary_base() -> Path:
    """Slicer's temporary folder, which users move to a larger disk; the system's where there is no application."""
    try:
        import slicer

        folder = slicer.app.temporaryPath
    except (ImportError, AttributeError):
        folder = None
    return Path(folder) if isinstance(folder, str) and folder else Path(tempfile.gettempdir())


def process_lives(number: int) -> bool:
    """Whether a process with this number runs on this computer."""
    if os.name == "nt":
        return _lives_on_windows(number)  # os.kill would end it there
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True  # another user's
    return True


def _lives_on_windows(number: int) -> bool:
    import ctypes

    synchronise, invalid_parameter, timeout = 0x00100000, 87, 258
    kernel = ctypes.WinDLL("kernel32", use_last_error=True)
    kernel.OpenProcess.restype = ctypes.c_void_p
    handle = kernel.OpenProcess(synchronise, False, number)
    if not handle:
        return ctypes.get_last_error() != invalid_parameter
    handle = ctypes.c_void_p(handle)
    try:
        return kernel.WaitForSingleObject(handle, 0) == timeout
    finally:
        kernel.CloseHandle(handle)


def _host() -> str:
    """The computer's name, since a temporary folder may lie on a disk that several share."""
    return re.sub(r"\W", "_", socket.gethostname())[:40] or "localhost"
