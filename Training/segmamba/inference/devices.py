"""Where the network runs and how precisely: ``--device`` and ``--precision`` made definite."""

from __future__ import annotations

import os

import torch

from segmamba.errors import UserError

PRECISIONS = ("auto", "fp32", "bf16", "fp16")


def available_devices() -> list[str]:
    """Names of the devices here, best first: ``cuda:0`` ..., ``mps``, ``cpu``."""
    names = [f"cuda:{n}" for n in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    if torch.backends.mps.is_available():
        names.append("mps")
    return [*names, "cpu"]


def device_title(name: str | torch.device) -> str:
    """What a device is called where people choose it: ``NVIDIA H200``, ``Apple GPU``, ``Processor (8 cores)``."""
    device = torch.device(name)
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "mps":
        return "Apple GPU"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return f"Processor ({cores} core{'s' if cores > 1 else ''})"


def resolve_device(name: str | torch.device = "auto") -> torch.device:
    """The device of a name.

    Args:
        name: ``auto`` (the best one here), ``cpu``, ``cuda``, ``cuda:1``, ``mps``, or a torch device.

    Raises:
        UserError: The name is unknown, or there is no such device here; the devices here are listed.
    """
    here = available_devices()
    text = str(name).strip().lower()
    if text == "auto":
        return torch.device(here[0])
    if text == "cuda" and "cuda:0" in here:
        return torch.device("cuda:0")
    if text in here:
        return torch.device(text)
    kind, _, index = text.partition(":")
    known = kind in ("cpu", "cuda", "mps") and (not index or index.isdigit())
    problem = "is not here" if known else "is unknown; it is auto, cpu, cuda, cuda:N or mps"
    raise UserError(f"--device {name} {problem}; this computer has {', '.join(here)}")


def resolve_precision(name: str, device: torch.device) -> str:
    """``fp32``, ``bf16`` or ``fp16`` for a precision's name on a device.

    ``auto`` is bf16 on CUDA devices that compute in it (its range is float32's, so nothing overflows), fp16 on older
    ones, and fp32 elsewhere.

    Raises:
        UserError: The name is unknown.
    """
    if name not in PRECISIONS:
        raise UserError(f"--precision {name} is unknown; it is one of {', '.join(PRECISIONS)}")
    if name != "auto":
        return name
    if device.type != "cuda":
        return "fp32"
    return "bf16" if torch.cuda.get_device_capability(device)[0] >= 8 else "fp16"


def windows_at_once(device: torch.device) -> int:
    """Windows in one call of the network, unless somebody says otherwise; where memory is short, fewer are tried."""
    return 2 if device.type == "cuda" else 1
