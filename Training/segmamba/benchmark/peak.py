"""The most memory that a stretch of code took, beyond what the process held before."""

import sys
from pathlib import Path

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class Peak:
    """``with Peak(device) as peak: ...``; then ``peak.bytes`` is the most beyond what was there at the start.

    On the processor that is resident memory, from the kernel's own high-water mark; on CUDA what torch allocated.
    ``bytes`` is None where the system has no such mark.
    """

    bytes: int | None = None

    def __init__(self, device: str = "cpu"):
        self._cuda = device.startswith("cuda")

    def __enter__(self) -> "Peak":
        if self._cuda:
            import torch

            torch.cuda.synchronize()
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
            self._before = torch.cuda.memory_allocated()
        else:
            self._fresh = _forget()
            self._before = _resident("VmRSS") if self._fresh else _highest()
        return self

    def __exit__(self, *_) -> None:
        if self._cuda:
            import torch

            torch.cuda.synchronize()
            self.bytes = torch.cuda.max_memory_allocated() - self._before
        else:
            after = _resident("VmHWM") if self._fresh else _highest()
            self.bytes = None if self._before is None or after is None else max(0, after - self._before)


def _forget() -> bool:
    """Sets the high-water mark back to what is resident now; False where the system cannot."""
    try:
        _RESET.write_text("5")
        return True
    except OSError:
        return False


def _resident(key: str) -> int | None:
    for line in _STATUS.read_text(encoding="ascii").splitlines():
        if line.startswith(key):
            return int(line.split()[1]) * 1024
    return None


def _highest() -> int | None:
    """The process's mark since it began, which earlier work may have set."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
