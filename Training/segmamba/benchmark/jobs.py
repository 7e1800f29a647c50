"""Runs measurements, each in a process of its own, so that none disturbs the next and a crash ends one row only."""

import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import segmamba

log = logging.getLogger(__name__)


class NotMeasured(Exception):
    """Raised in a measurement that this machine cannot make; its text says why, in a clause."""


@dataclass(frozen=True)
class Outcome:
    """What a measurement gave: ``values``, or else ``problem``, the reason why there are none."""

    values: dict = field(default_factory=dict)
    problem: str = ""


def measure(
    what: str,
    arguments: Mapping[str, object],
    threads: int,
    device: str = "cpu",
    environment: Mapping[str, str] | None = None,
) -> Outcome:
    """Runs one measurement and waits for it.

    Args:
        what: ``module:function`` in this package; the function returns a dictionary of plain values.
        arguments: The function's keyword arguments, plain values.
        threads: torch's number of threads, and so that of the scan.
        device: ``cpu`` or ``cuda``; on the processor, memory is limited to what is free.
        environment: Variables for the process, besides this one's.
    """
    job = {
        "measure": what,
        "arguments": dict(arguments),
        "threads": threads,
        "limit": _free_memory() if device == "cpu" else None,
    }
    log.info("measuring %s %s, threads %d", what, job["arguments"], threads)
    command = [sys.executable, "-m", "segmamba.benchmark.child"]
    # The package may be on this process's path only by what the user typed.
    path = os.pathsep.join(filter(None, [str(Path(segmamba.__file__).parents[1]), os.environ.get("PYTHONPATH")]))
    surroundings = {**os.environ, "PYTHONPATH": path, "PYTHONWARNINGS": "ignore", **(environment or {})}
    done = subprocess.run(command, input=json.dumps(job), capture_output=True, text=True, env=surroundings)
    outcome = _outcome(done)
    log.info("%s", outcome.problem or outcome.values)
    return outcome


def _outcome(done: subprocess.CompletedProcess) -> Outcome:
    lines = done.stdout.splitlines()
    try:
        answer = json.loads(lines[-1])
        return Outcome(answer.get("values", {}), answer.get("problem", ""))
    except (IndexError, ValueError):
        log.debug("%s", done.stderr)
    if done.returncode in (-signal.SIGKILL if hasattr(signal, "SIGKILL") else None, 137):
        return Outcome(problem="did not fit into memory (the system ended the process)")
    if "bad_alloc" in done.stderr or "MemoryError" in done.stderr:
        return Outcome(problem="did not fit into memory")
    last = next((line.strip() for line in reversed(done.stderr.splitlines()) if line.strip()), "no message")
    return Outcome(problem=f"failed: the process ended with status {done.returncode}: {last[:200]}")


def _free_memory() -> int | None:
    """Bytes that a process may take without pushing others out, or None where the system does not tell."""
    found = []
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                found.append(int(line.split()[1]) * 1024)
        group = Path("/sys/fs/cgroup")
        most = (group / "memory.max").read_text(encoding="ascii").strip()
        if most.isdigit():
            used = int((group / "memory.current").read_text(encoding="ascii"))
            counts = dict(line.split() for line in (group / "memory.stat").read_text(encoding="ascii").splitlines())
            found.append(int(most) - used + int(counts.get("file", 0)))  # files' pages give way
    except (OSError, ValueError):
        pass
    return int(0.95 * min(found)) if found else None
