"""One case of a cohort, computed in this process: here, or on a worker of a cluster."""

from __future__ import annotations

import os
import platform
import threading
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segmamba.atomic import replacing
from segmamba.errors import UserError
from segmamba.images import suffix_of
from segmamba.inference.memory_ladder import memory_full, sentence
from segmamba.inference.segmentation import Segmentation
from segmamba.inference.segmenter import Segmenter
from segmamba.inference.window import Progress

Outcome = dict[str, Any]
# How a case that did not end well is told: by the user's mistake, by ours, or before any case could be tried.
INPUT, DEFECT, SETUP = "input", "defect", "setup"


@dataclass(frozen=True)
class Settings:
    """How all cases are computed.

    Attributes:
        model: Path of the model package.
        name: Of the model, for a computer where the package is installed elsewhere.
        sha256: Of its weights.
        device, precision, tta, overlap: As for :class:`~segmamba.inference.segmenter.Segmenter`.
        threads: Of the processor; None leaves them.
    """

    model: str
    name: str
    sha256: str
    device: str = "auto"
    precision: str = "auto"
    tta: bool = False
    overlap: float = 0.5
    threads: int | None = None


@dataclass(frozen=True)
class Job:
    """One case: its images in the model's order, and the mask's file; absolute paths."""

    case: str
    images: tuple[str, ...]
    output: str


def open_segmenter(settings: Settings) -> Segmenter:
    """The model of the settings.

    Raises:
        UserError: It is not here, is another one here, or there is no such device.
    """
    import torch

    from segmamba import models

    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    path = Path(settings.model)
    bundle = models.find(path if path.exists() else settings.name)
    if bundle.weights_sha256 != settings.sha256:
        raise UserError(f"{bundle.path} holds other weights than the cohort was begun with; install the same model")
    return Segmenter(
        bundle.path,
        device=settings.device,
        precision=settings.precision,
        tta=settings.tta,
        overlap=settings.overlap,
    )


def compute(segmenter: Segmenter, job: Job, progress: Progress | None = None) -> Outcome:
    """Segments a case and writes its mask, whole or not at all; whatever goes wrong with it is told, not raised.

    Returns:
        Fields of the manifest's line, and ``traceback`` of a defect.
    """
    began = time.perf_counter()
    told: Outcome = {"seconds": 0.0, "host": platform.node()}
    try:
        segmentation = segmenter(list(job.images), progress=progress)
        _save(segmentation, Path(job.output))
    except UserError as error:
        told |= failed(str(error), INPUT)
    except BrokenPipeError:  # of the progress: nobody listens any more
        raise
    except Exception as error:
        if memory_full(error):
            told |= failed(str(sentence(error, segmenter.device, segmenter.metadata.name)), INPUT)
        else:
            told |= failed(f"{type(error).__name__}: {error}", DEFECT) | {"traceback": traceback.format_exc()}
    else:
        told |= {
            "status": "done",
            "volumes": segmentation.volumes_ml,
            "voxels": segmentation.voxels,
            "size": list(segmentation.labels.GetSize()),
            "error": None,
            "warnings": segmentation.warnings,
            "device": segmentation.device,
            "precision": segmentation.precision,
            "backend": segmentation.backend,
        }
    told["seconds"] = round(time.perf_counter() - began, 3)
    return told


def failed(error: str, kind: str) -> Outcome:
    """Fields of the manifest's line for a case without a mask."""
    return {"status": "failed", "volumes": None, "voxels": None, "error": error, "kind": kind}


_busy = threading.Lock()
_opened: tuple[Settings, Segmenter] | None = None


def compute_on_worker(settings: Settings, job: Job) -> Outcome:
    """:func:`compute` with the model that this process keeps from one case to the next; one case at a time."""
    global _opened
    with _busy:
        if _opened is None or _opened[0] != settings:
            _opened = None  # before another is loaded: two may not fit
            try:
                _opened = (settings, open_segmenter(settings))
            except UserError as error:
                return failed(f"{platform.node()}: {error}", SETUP)
        return compute(_opened[1], job)


def _save(segmentation: Segmentation, path: Path) -> None:
    try:
        with replacing(path, suffix_of(path)) as temporary:
            try:
                segmentation.save(temporary)
            except UserError as error:
                # The user knows the mask's own name.
                raise UserError(str(error).replace(str(temporary), str(path))) from error
            # The manifest says that the mask is there: it must be, also after the power has failed.
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror or error}): is the disk full?") from error
