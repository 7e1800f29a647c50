"""What is tried where memory is full: smaller batches of windows, then the processor, then a plain sentence."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import nn

from segmamba.errors import OutOfMemory

T = TypeVar("T")

_log = logging.getLogger(__name__)

CPU = torch.device("cpu")
# How errors that are no torch.OutOfMemoryError say that a device's memory is full: the driver's, cuBLAS's and Metal's.
# A library that finds no room for itself says no more than that it cannot start.
_DEVICE_SIGNS = (
    "CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUBLAS_STATUS_NOT_INITIALIZED",
    "CUDNN_STATUS_ALLOC_FAILED", "CUDNN_STATUS_NOT_INITIALIZED", "nable to find an engine", "MPS backend out of memory",
)  # fmt: skip
# The same of the computer's memory: torch's allocator (on Windows, too), ITK and the C++ library.
_HOST_SIGNS = ("DefaultCPUAllocator", "Failed to allocate memory", "bad_alloc", "bad allocation")


@dataclass(frozen=True)
class Rung:
    """One way to compute the windows.

    Attributes:
        device: Where.
        precision: ``fp32``, ``bf16`` or ``fp16``.
        batch: Windows in one call of the network.
    """

    device: torch.device
    precision: str
    batch: int


def rungs(device: torch.device, precision: str, batch: int) -> list[Rung]:
    """The ways to try, in their order: half the batch down to one window, then one window on the processor.

    On the processor it is float32: half precision is slower there on most machines, and would save the memory that is
    not wanting there.  Windows are computed each on its own, so the batch does not change the mask.
    """
    batches = [batch]
    while batches[-1] > 1:
        batches.append(batches[-1] // 2)
    ladder = [Rung(device, precision, n) for n in batches]
    return ladder if device == CPU else [*ladder, Rung(CPU, "fp32", 1)]


def place(network: nn.Module, device: torch.device) -> None:
    """Moves a network to a device, in the memory layout that it computes in; nothing happens where it is there."""
    # Convolutions in half precision are several times faster with channels last, on CPUs and on GPUs.
    network.to(device, memory_format=torch.channels_last_3d)


def descend(
    attempt: Callable[[Rung], T],
    ladder: Sequence[Rung],
    warnings: list[str],
    retrying: Callable[[str], None] | None = None,
) -> tuple[Rung, T]:
    """Tries one rung after the other until one fits into memory.

    Args:
        attempt: Does the work on a rung; nothing of a failed one is kept.
        ladder: From :func:`rungs`; with one rung alone its error goes through.
        warnings: Gets the sentence that the processor was taken instead; the log gets it at once.
        retrying: Called with a short message before each further try; may raise, which ends the work.

    Returns:
        The rung that fitted, and what ``attempt`` gave.
    """
    for n, rung in enumerate(ladder):
        try:
            return rung, attempt(rung)
        except (RuntimeError, MemoryError) as error:
            # The computer's own memory full: another way on the card would need it as well.
            hopeless = host_memory_full(error) and rung.device.type != "cpu"
            if not memory_full(error) or hopeless or n + 1 == len(ladder):
                raise
        # Out of the except clause: the error's traceback held the tensors that did not fit.
        free_unused()
        following = ladder[n + 1]
        if following.device == rung.device:
            message = (
                f"{_name(rung.device)} has not enough memory for {_windows(rung.batch)} at a time; "
                f"trying {_windows(following.batch)}"
            )
            _log.info(message)
        else:
            message = f"{_name(rung.device)} has not enough memory; computing on the processor, which takes longer"
            _log.warning(message)
            precision = "" if following.precision == rung.precision else f", in {following.precision}"
            warnings.append(
                f"{_name(rung.device)} had not enough memory for this model: the case was computed on the processor"
                f"{precision} instead. Close other programs that use the card, or take a model with a smaller patch."
            )
        if retrying is not None:
            retrying(message)
    raise ValueError("the ladder has no rungs")


def memory_full(error: BaseException) -> bool:
    """Whether an error means that some memory was full."""
    if isinstance(error, torch.OutOfMemoryError) or host_memory_full(error):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _DEVICE_SIGNS)


def host_memory_full(error: BaseException) -> bool:
    """Whether an error means that the computer's own memory was full, rather than a card's."""
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _HOST_SIGNS)


def sentence(error: BaseException, device: torch.device, model: str) -> OutOfMemory:
    """The last resort: what is said where nothing fitted."""
    if host_memory_full(error) or device.type == "cpu":
        return OutOfMemory(
            f"this computer has not enough memory for the images and model {model}; close other programs, or segment a "
            "part of the image with --roi"
        )
    return OutOfMemory(
        f"--device {device} has not enough memory for model {model}; use --precision bf16 or --device cpu, or close "
        "other programs that use it"
    )


def free_unused() -> None:
    """Gives memory that nothing uses back to the devices: other programs can have it."""
    gc.collect()
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()


def _name(device: torch.device) -> str:
    return "the processor" if device.type == "cpu" else f"device {device}"


def _windows(count: int) -> str:
    return "one window" if count == 1 else f"{count} windows"
