"""How a case is segmented: the choices of the panel's Advanced part and of the console call, checked."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from numbers import Integral, Real
from typing import Any

__all__ = ["PRECISIONS", "Options"]

PRECISIONS = ("auto", "fp32", "bf16", "fp16")


@dataclass(frozen=True)
class Options:
    """Options of one segmentation, with the same names and defaults in the panel and on the console.

    Attributes:
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        precision: ``auto``, ``fp32``, ``bf16`` or ``fp16``.
        overlap: of neighbouring windows, 0 up to but not including 1.
        mirroring: average over mirrored copies (``--tta`` of the command line).
        threads: of the processor; None: all of them.
        probabilities, uncertainty: make these volumes, too.
        keep_model: keep the model in memory for the next call.

    Raises:
        UserError: a value is not among those allowed; the sentence names the option.
    """

    device: str = "auto"
    precision: str = "auto"
    overlap: float = 0.5
    mirroring: bool = False
    threads: int | None = None
    probabilities: bool = False
    uncertainty: bool = False
    keep_model: bool = True

    def __post_init__(self) -> None:
        from segmamba.errors import UserError

        if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", str(self.device)):
            raise UserError(f"device is {self.device!r}; it must be auto, cpu, cuda, cuda:N or mps")
        if self.precision not in PRECISIONS:
            raise UserError(f"precision is {self.precision!r}; it must be one of {', '.join(PRECISIONS)}")
        if not isinstance(self.overlap, Real) or not 0 <= self.overlap < 1:
            raise UserError(f"overlap is {self.overlap!r}; it must be a number, 0 or more and below 1")
        if self.threads is not None and (not isinstance(self.threads, Integral) or self.threads < 1):
            raise UserError(f"threads is {self.threads!r}; it must be a whole number, at least 1, or None for all")

    def request(self) -> dict[str, Any]:
        """The fields of the worker's ``segment`` message that they set."""
        return {
            "device": self.device,
            "precision": self.precision,
            "tta": bool(self.mirroring),
            "overlap": float(self.overlap),
            "threads": None if self.threads is None else int(self.threads),
            "keep_model": bool(self.keep_model),
        }

    def asked(self) -> dict[str, Any]:
        """All of them as JSON values, for the account of how a result was made."""
        return asdict(self)
