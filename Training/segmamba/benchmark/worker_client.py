"""A parent of the worker's process, as a program would drive it: sends a request, waits for the answer."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import segmamba
from segmamba.benchmark.jobs import NotMeasured
from segmamba.errors import UserError


def surroundings() -> dict[str, str]:
    """Environment of a process that shall find this package, whatever put it on this process's path."""
    path = os.pathsep.join(filter(None, [str(Path(segmamba.__file__).parents[1]), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path, "PYTHONWARNINGS": "ignore"}


class Worker:
    """A worker's process; a context, at whose end the process ends.

    Attributes:
        began: When the process was started, on ``time.perf_counter``'s clock.
    """

    def __init__(self) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        self._count = 0
        self.began = time.perf_counter()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "segmamba.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=surroundings(),
        )

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_) -> None:
        self._process.kill()
        self._process.wait()
        with contextlib.suppress(OSError):  # what it had no time to read
            self._process.stdin.close()
        self._process.stdout.close()
        self._errors.close()

    def ask(self, do: str, **fields) -> dict:
        """Sends a request and waits for its answer.

        Args:
            do: As in the protocol.
            fields: The other ones.

        Returns:
            The message ``done``.

        Raises:
            UserError: The worker found the request, an image or the model wrong.
            NotMeasured: It failed otherwise, or ended.
        """
        self._count += 1
        number = str(self._count)
        try:
            self._process.stdin.write(json.dumps({"id": number, "do": do, **fields}).encode() + b"\n")
            self._process.stdin.flush()
        except OSError:
            raise NotMeasured(self._end()) from None
        for line in self._process.stdout:
            message = json.loads(line)
            if message["id"] == number and message["event"] == "done":
                return message
            if message["id"] == number and message["event"] == "failed":
                raise (UserError if message["kind"] == "input" else NotMeasured)(message["message"])
        raise NotMeasured(self._end())

    def _end(self) -> str:
        status = self._process.wait()
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return f"failed: the worker ended with status {status}: {lines[-1][:200] if lines else 'no message'}"
