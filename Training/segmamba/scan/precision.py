"""In what precision a scan computes, and that autocast has no say in it."""

from contextlib import AbstractContextManager, nullcontext

import torch


def compute_type(u: torch.Tensor) -> torch.dtype:
    """float64 for float64, float32 for everything else."""
    return torch.float64 if u.dtype == torch.float64 else torch.float32


def no_autocast(device_type: str) -> AbstractContextManager:
    """A context without autocast, also on devices that have none to switch off."""
    try:
        return torch.autocast(device_type, enabled=False)
    except RuntimeError:
        return nullcontext()
