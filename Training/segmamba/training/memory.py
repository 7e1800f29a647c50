"""Memory that a run has used at most."""

import sys

import torch


def peak_memory_mb(device: str) -> float:
    """Largest memory so far, MiB: of the GPU's allocator, or resident memory of this process (0 where unknown)."""
    if torch.device(device).type == "cuda":
        return round(torch.cuda.max_memory_allocated(device) / 2**20, 1)
    try:
        import resource
    except ImportError:  # Windows
        return 0.0
    unit = 1 if sys.platform == "darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20, 1)
