"""How long a job will take, learned from the jobs before it on this computer."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["Estimates", "count_windows"]

_log = logging.getLogger(__name__)

FILE_NAME = "window_times.json"
ENTRIES = 200
# Weight of the newest measurement: the first run of a model compiles kernels, and the machine is not always idle.
NEWEST = 0.5


def count_windows(
    size: Sequence[float],
    patch: Sequence[int],
    overlap: float = 0.5,
    spacing: Sequence[float] | None = None,
    model_spacing: Sequence[float] | None = None,
) -> int:
    """How many windows the network takes for a volume, by the rule of the sliding window.

    Args:
        size: voxels of the volume along each axis; ``patch`` and the spacings in the same order.
        patch: voxels of a window along each axis.
        overlap: of neighbouring windows, 0 up to but not including 1.
        spacing: of the volume, in mm; None when it is not resampled.
        model_spacing: to which it is resampled, in mm.
    """
    count = 1
    for axis, window in enumerate(patch):
        length = size[axis]
        if spacing is not None and model_spacing is not None:
            length = max(1, round(length * spacing[axis] / model_spacing[axis]))
        if length > window:
            step = max(1, int(window * (1 - overlap)))
            count *= math.ceil((length - window) / step) + 1
    return count


class Estimates:
    """Seconds for a window and for all else, by model, device, precision, threads and mirroring.

    Kept in a small JSON file, written whole or not at all.  A file that cannot be read or written costs the estimate,
    never a job.

    Args:
        file: where they are kept; ``window_times.json`` in the user's settings folder when None.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._file = Path(file) if file is not None else _default_file()
        self._entries: dict[str, dict[str, float]] = self._read()

    def window_seconds(self, request: dict[str, Any]) -> float | None:
        """Seconds for one window under the settings of a ``segment`` request; None where nothing like it has run."""
        entry = self._entries.get(_key(request))
        return None if entry is None else entry["window"]

    def job_seconds(self, request: dict[str, Any], windows: int | None, *, loaded: bool) -> float | None:
        """Seconds for a whole job; None where that is not known.

        Args:
            request: a ``segment`` request.
            windows: how many the network will take; None where that is not known.
            loaded: whether the worker holds the model already.
        """
        entry = self._entries.get(_key(request))
        if entry is None or windows is None:
            return None
        return entry["window"] * windows + entry["other"] + (0.0 if loaded else entry["loading"])

    def learn(self, request: dict[str, Any], result: dict[str, Any], seconds: float | None = None) -> None:
        """Takes in what a job has measured.

        Args:
            request: the ``segment`` request.
            result: the worker's ``done`` message.
            seconds: from the start of the job to its end as the user saw it, the worker's start included; as the
                worker measured it when None.
        """
        window, computing = result.get("window_seconds"), result.get("compute_seconds")
        seconds = result.get("seconds") if seconds is None else seconds
        if not all(_is_time(value) for value in (window, computing, seconds)):
            return
        key, other = _key(request), max(0.0, seconds - computing)
        entry = self._entries.pop(key, None)
        if entry is None:
            # Loading and the rest cannot be told apart yet; the next job of a warm worker will tell.
            entry = {"window": window, "other": 0.0 if result.get("loaded") else other, "loading": 0.0}
        entry["window"] = _mean(entry["window"], window)
        if result.get("loaded"):
            entry["loading"] = _mean(entry["loading"] or other, max(0.0, other - entry["other"]))
        else:
            entry["other"] = _mean(entry["other"] or other, other)
        self._entries[key] = entry  # last, as the newest
        for oldest in list(self._entries)[:-ENTRIES]:
            del self._entries[oldest]
        self._write()

    def _read(self) -> dict[str, dict[str, float]]:
        try:
            table = json.loads(self._file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        entries = {}
        for key, entry in table.items() if isinstance(table, dict) else ():
            if isinstance(entry, dict) and all(_is_time(entry.get(name)) for name in ("window", "other", "loading")):
                entries[key] = {name: float(entry[name]) for name in ("window", "other", "loading")}
        return entries

    def _write(self) -> None:
        from segmamba.atomic import replacing

        table = {key: {name: round(value, 4) for name, value in entry.items()} for key, entry in self._entries.items()}
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with replacing(self._file) as temporary:
                temporary.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            _log.warning("Time estimates cannot be kept in %s: %s", self._file, error)


def _key(request: dict[str, Any]) -> str:
    """What the time of a window hangs on, as far as it is known before the job."""
    parts = [
        request.get("model"),
        request.get("device") or "auto",
        request.get("precision") or "auto",
        f"threads={request.get('threads') or 'auto'}",
        "tta" if request.get("tta") else "plain",
    ]
    return " | ".join(str(part) for part in parts)


def _default_file() -> Path:
    from segmamba.settings import settings_file

    return settings_file().with_name(FILE_NAME)


def _mean(before: float, now: float) -> float:
    return (1 - NEWEST) * before + NEWEST * now


def _is_time(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) and value >= 0
