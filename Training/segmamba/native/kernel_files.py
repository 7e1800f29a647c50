"""Files of machine code in a folder of the user's: written whole, checked when read, and only if they are the user's.

A file is its magic line, the SHA-256 of the rest, the length of a JSON object, that object, the code.
"""

import contextlib
import hashlib
import json
import os
import stat
import struct
import time
from collections.abc import Sequence
from pathlib import Path

from segmamba.atomic import replacing

_MAGIC = b"segmamba kernels 1\n"
_SUFFIX, _PART = ".kernels", ".kernels-part"
# Of the same kernels: for other processors that share the home folder, other versions of numba, older sources.
_KEPT = 8
_DAY = 86400.0


def default_folder() -> Path:
    """Where kernels are kept: in the user's cache folder, or in numba's where the user has set one."""
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    if chosen:
        return Path(chosen).absolute() / "segmamba-kernels"
    import platformdirs

    return Path(platformdirs.user_cache_dir("segmamba", appauthor=False)) / "kernels"


def _path(folder: Path, what: str, key: str) -> Path:
    return folder / f"{what}-{key[:32]}{_SUFFIX}"


def _foreign(status: os.stat_result, forbidden: int) -> bool:
    """Whether another user owns it or (``forbidden``) may write it: what lies in there is going to be executed."""
    if not hasattr(os, "geteuid"):
        return False  # Windows: the user's folders are closed to others
    return status.st_uid != os.geteuid() or bool(stat.S_IMODE(status.st_mode) & forbidden)


def read(folder: Path, what: str, key: str) -> tuple[tuple[str, ...], bytes] | None:
    """Names of the entries and the code, or None where there is nothing that is whole, fits and can be trusted."""
    try:
        with _path(folder, what, key).open("rb") as file:
            if _foreign(folder.stat(), stat.S_IWOTH) or _foreign(os.fstat(file.fileno()), stat.S_IWGRP | stat.S_IWOTH):
                return None
            data = file.read()
    except OSError:
        return None
    start = len(_MAGIC) + 32
    if data[: len(_MAGIC)] != _MAGIC or hashlib.sha256(data[start:]).digest() != data[len(_MAGIC) : start]:
        return None
    (length,) = struct.unpack_from("<I", data, start)
    code = start + 4 + length
    header = json.loads(data[start + 4 : code])
    return (tuple(header["names"]), data[code:]) if header["key"] == key else None


def write(folder: Path, what: str, key: str, names: Sequence[str], code: bytes) -> None:
    """Keeps the code, and removes all but the latest files of the same kernels.

    Raises:
        OSError: The folder cannot be written, or is not the user's alone.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if _foreign(folder.stat(), stat.S_IWOTH):
        raise PermissionError(f"others may write to {folder}")
    header = json.dumps({"key": key, "names": list(names)}).encode()
    body = struct.pack("<I", len(header)) + header + code
    with replacing(_path(folder, what, key), _PART) as temporary:
        # Closed to others whatever the umask, or it would not be trusted when it is read.
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
        with open(descriptor, "wb") as file:
            file.write(_MAGIC + hashlib.sha256(body).digest() + body)
    # Another process may be at the same.
    with contextlib.suppress(OSError):
        _prune(folder, what)


def _prune(folder: Path, what: str) -> None:
    def age(path: Path) -> float:
        return time.time() - path.stat().st_mtime

    same = [path for path in folder.glob(f"{what}-*{_SUFFIX}") if len(path.name) == len(what) + 33 + len(_SUFFIX)]
    abandoned = [path for path in folder.glob(f".*{_PART}") if age(path) > _DAY]
    for path in (*sorted(same, key=age)[_KEPT:], *abandoned):
        path.unlink(missing_ok=True)
