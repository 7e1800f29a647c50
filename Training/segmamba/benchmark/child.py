"""The process that one measurement runs in: a job comes in on standard input, its result goes out on standard output.

``python -m segmamba.benchmark.child``; see ``jobs`` for the other end.
"""

import importlib
import json
import os
import sys


def main() -> int:
    """Runs the one job; the result is the last line of standard output."""
    job = json.loads(sys.stdin.read())
    # What libraries print must not get between the lines of the result.
    result = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    if job["limit"] is not None:
        _limit_memory(job["limit"])
    try:
        answer = {"values": _run(job)}
    except Exception as error:
        answer = {"problem": explain(error)}
    result.write(json.dumps(answer) + "\n")
    result.flush()
    return 0


def _run(job: dict) -> dict:
    import torch

    torch.set_num_threads(job["threads"])
    module, _, name = job["measure"].partition(":")
    return getattr(importlib.import_module(f"segmamba.benchmark.{module}"), name)(**job["arguments"])


def explain(error: Exception) -> str:
    """Why a measurement failed, in one line."""
    text = " ".join(str(error).split()) or "no reason given"
    lower = text.lower()
    memory = "can't allocate memory" in lower or "out of memory" in lower or "not enough memory" in lower
    if memory or isinstance(error, MemoryError):
        return "did not fit into memory"
    kind = type(error).__name__
    return text[:200] if kind in ("UserError", "NotMeasured") else f"failed: {kind}: {text[:200]}"


def _limit_memory(limit: int) -> None:
    """Makes this process fail by itself, and be the first that a system short of memory ends."""
    try:
        with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
            file.write("1000")
        import resource

        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        resource.setrlimit(resource.RLIMIT_DATA, (limit if hard < 0 else min(limit, hard), hard))
    except (OSError, ImportError, ValueError):
        pass  # other systems: nothing is limited


if __name__ == "__main__":
    sys.exit(main())
