"""Writing a file whole or not at all."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

_open: set[Path] = set()


@contextlib.contextmanager
def replacing(path: str | os.PathLike, suffix: str = "") -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success it takes the place of ``path``, on failure it is removed.

    Args:
        path: the file to write.
        suffix: ends the temporary name too, for writers that choose the format by the name (".nii.gz").
    """
    path = Path(path)
    # Not tempfile: its files are readable by the owner only, and a result should follow the user's umask.
    temporary = path.with_name(f".{uuid.uuid4().hex}{suffix}")
    _open.add(temporary)
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
        _open.discard(temporary)


def discard_open() -> None:
    """Removes the temporary files that are being written; for a process that ends without leaving its functions."""
    for temporary in list(_open):
        with contextlib.suppress(OSError):  # Windows keeps files that are open
            temporary.unlink(missing_ok=True)
