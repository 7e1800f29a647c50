"""What is known of a cohort's cases: ``manifest.jsonl``, one JSON object a line, appended as each case ends."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from segmamba.atomic import replacing
from segmamba.errors import UserError

Line = dict[str, Any]


class Manifest:
    """The file; the last line of a case is the one that counts.

    Fields of a line: ``case``; ``status``, ``done`` or ``failed``; ``seconds``; ``volumes`` in millilitres and
    ``voxels`` by label, null where it failed; ``error``, a sentence, null where it is done; ``kind`` of an error,
    ``input`` for what the user can mend and ``defect``; ``warnings``; ``mask``, the file's name; ``size`` of the mask
    (i, j, k); ``model``, ``version``; ``run``, the hash of model and settings; ``inputs``, the hash of the images'
    paths, sizes and times; ``device``, ``precision``, ``backend``, ``host`` that computed it; ``finished``, in UTC.

    Raises:
        UserError: The file cannot be read, or a line other than the last is no JSON object.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: dict[str, Line] = {}
        self._whole = 0  # bytes of whole lines
        self._read()

    def _read(self) -> None:
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return
        except OSError as error:
            raise UserError(f"{self.path} cannot be read: {error.strerror or error}") from error
        # Without its end, the last line is what a machine wrote that went down: it is not counted, and cut off.
        self._whole = data.rfind(b"\n") + 1
        rows = data[: self._whole].split(b"\n")[:-1]
        for n, row in enumerate(rows):
            try:
                line = json.loads(row)
                self.lines[line["case"]] = line
            except (ValueError, TypeError, KeyError, RecursionError) as error:
                if n + 1 == len(rows):
                    self._whole -= len(row) + 1
                elif row.strip():
                    raise UserError(
                        f"{self.path}: line {n + 1} is no JSON object with a case; remove that line, or start anew "
                        "with --overwrite"
                    ) from error

    def append(self, line: Line) -> None:
        """Adds a line, on the disk when this returns.

        Raises:
            UserError: It cannot be written.
        """
        data = json.dumps(line, allow_nan=False).encode("ascii") + b"\n"
        try:
            with open(self.path, "ab") as file:
                if file.tell() != self._whole:
                    file.truncate(self._whole)
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise UserError(f"{self.path} cannot be written ({error.strerror or error}): is the disk full?") from error
        self._whole += len(data)
        self.lines[line["case"]] = line

    def clear(self) -> None:
        """Forgets all cases.

        Raises:
            UserError: The file cannot be written.
        """
        write_text(self.path, "")
        self.lines, self._whole = {}, 0


def write_text(path: Path, text: str) -> None:
    """Writes a file whole or not at all, on the disk when this returns.

    Raises:
        UserError: It cannot be written.
    """
    try:
        with replacing(path, path.suffix) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror or error}): is the disk full?") from error
