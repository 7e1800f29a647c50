"""The worker's line to its parent: standard input and output, out of every library's reach."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

from segmamba.serving.protocol import LINE_LIMIT


class Channel:
    """Lines in, events out; any thread may send.

    Args:
        lost: Called when the parent no longer takes what is sent.
    """

    def __init__(self, lost: Callable[[], None]) -> None:
        # Whatever a library prints, also from C and from processes that it starts, goes to standard error; and none of
        # them can take a line of the input away.
        self._lines = os.fdopen(os.dup(0), "rb")
        self._out = os.dup(1)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        sys.stdout.flush()
        os.dup2(2, 1)
        self._lost = lost
        self._lock = threading.Lock()

    def lines(self) -> Iterator[bytes | None]:
        """Every line that is not blank, without its end; None for one that is longer than ``LINE_LIMIT``."""
        while line := self._lines.readline(LINE_LIMIT + 1):
            if len(line) > LINE_LIMIT:
                while line and not line.endswith(b"\n"):
                    line = self._lines.readline(LINE_LIMIT)
                yield None
            elif line.strip():
                yield line.strip()

    def send(self, id: str | None, event: str, **values: Any) -> None:
        """One event."""
        # ASCII: a line can then never be cut within a character, and lone surrogates of file names pass.
        line = json.dumps({"id": id, "event": event, **values}, allow_nan=False).encode("ascii") + b"\n"
        view = memoryview(line)
        with self._lock:
            try:
                while view:
                    view = view[os.write(self._out, view) :]
            except OSError:
                self._lost()
