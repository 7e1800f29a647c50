"""Seconds of calls that are compared: taken in turns, the least of several."""

import time
from collections.abc import Callable, Mapping

# A comparison of slow calls ends after this many seconds, though not before every call was timed twice.
_ENOUGH = 60.0


def synchronise(device: str) -> None:
    """Waits until the device has done what it was given."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.synchronize()


def seconds(call: Callable[[], object], device: str = "cpu") -> float:
    """Wall time of one call."""
    synchronise(device)
    start = time.perf_counter()
    call()
    synchronise(device)
    return time.perf_counter() - start


def in_turns(
    calls: Mapping[str, Callable[[], object]],
    repeats: int,
    device: str = "cpu",
    prepare: Mapping[str, Callable[[], object]] | None = None,
    warm: bool = True,
) -> dict[str, float]:
    """The least wall time of each call in ``repeats`` rounds; in a round every call has its turn.

    What slows the machine for a while then slows all of them, and the ratios hold.

    Args:
        calls: What is timed, by name.
        repeats: Rounds; fewer, but at least two, where they take long.
        device: Is waited for.
        prepare: By name, what comes before each timed call, untimed.
        warm: Call each once before the first round.
    """
    prepare = prepare or {}
    best = dict.fromkeys(calls, float("inf"))
    began = time.perf_counter()
    for turn in range(-1 if warm else 0, repeats):
        for name, call in calls.items():
            if name in prepare:
                prepare[name]()
            took = seconds(call, device)
            if turn >= 0:
                best[name] = min(best[name], took)
        if turn >= 1 and time.perf_counter() - began > _ENOUGH:
            break
    return best
