"""One case, from images to mask: the one way to segment that every other way goes through."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from segmamba.errors import UserError
from segmamba.images import from_array
from segmamba.inference.course import DONE, RESTORING, SEGMENTING, Course
from segmamba.inference.memory_ladder import Rung, descend, place, rungs
from segmamba.inference.preprocess import Prepared, Source, prepare
from segmamba.inference.restore import Restorer
from segmamba.inference.segmentation import Segmentation
from segmamba.inference.window import Progress, slide
from segmamba.metadata import Metadata
from segmamba.scan import chosen_backend

# Parts of the progress bar: reading and preparing are quick beside the windows.
_PREPARED, _COMPUTED = 0.04, 0.98


def segment_case(
    network: nn.Module,
    metadata: Metadata,
    images: Sequence[Source],
    *,
    device: str | torch.device,
    precision: str = "fp32",
    tta: bool = False,
    overlap: float = 0.5,
    roi: str | Path | Sequence[Sequence[int]] | None = None,
    window_batch: int = 1,
    want_probabilities: bool = False,
    want_uncertainty: bool = False,
    progress: Progress | None = None,
    series: str | Sequence[str] | None = None,
    keep_image: bool = False,
    fall_back: bool = False,
    course: Course | None = None,
) -> Segmentation:
    """Segments one case.

    Beyond the network, one batch of windows' activations and output, and the prepared float32 images, memory grows by
    at most one and a half float32 maps of the image's size, for any number of classes (plus what ``want_...`` and
    ``keep_image`` ask to keep).

    Args:
        network: Takes (B, channels, d, h, w), gives (B, output channels, d, h, w); on ``device``.  It is run in eval
            mode and left in the mode it was in.
        metadata: Of the model.
        images: One for each channel, in the model's order; SimpleITK images or paths.
        device: Where the network is.
        precision: ``fp32``, ``bf16`` or ``fp16``.
        tta: Test-time augmentation: the mean over mirrored copies, see :func:`mirror_axes`.
        overlap: Of neighbouring windows, 0 up to but not including 1.
        roi: Part of the first image to segment, see :func:`segmamba.inference.roi.parse_roi`; the mask keeps the
            whole grid.
        window_batch: Windows in one call of the network.
        want_probabilities: Keep the maps of all classes.
        want_uncertainty: Keep the normalised entropy.
        progress: Called with the fraction done (0 to 1) and a message; an exception raised by it ends the work and
            leaves nothing behind.
        series: DICOM series to read; several are those of the images that are DICOM folders, in their order.
        keep_image: Keep the first image, as it was read.
        fall_back: Where the device's memory is full, try smaller batches of windows and then the processor, see
            :mod:`segmamba.inference.memory_ladder`.  The network is moved to the device before, and may be left on
            the processor; so not for a network that is being trained.
        course: Told how far the case is; its windows and times are in the result, too.

    Raises:
        UserError: Wrong number of images, an image or a region that cannot be used, or no room to compute.
        torch.OutOfMemoryError, MemoryError: Memory is full, also after all that ``fall_back`` tries.
    """
    began = time.perf_counter()
    device = torch.device(device)
    course = course or Course()
    if not 0 <= overlap < 1:
        raise UserError(f"--overlap is {overlap}; it must be at least 0 and less than 1")
    if window_batch < 1:
        raise UserError(f"the window batch is {window_batch}; it must be at least 1")
    warnings: list[str] = []

    def step(phase: str, n: int) -> None:
        course.phase = phase
        if progress is not None:
            progress(_PREPARED * n / len(images), f"{phase} image {n + 1} of {len(images)}")

    case = prepare(images, metadata, warnings, roi=roi, series=series, keep_image=keep_image, step=step)
    if metadata.postprocessing:
        warnings.append(
            f"Model {metadata.name} asks for post-processing ({', '.join(metadata.postprocessing)}) that this version "
            "does not do; the mask is the network's own."
        )

    def report(fraction: float, message: str) -> None:
        progress(_PREPARED + (_COMPUTED - _PREPARED) * fraction, message)

    def compute(rung: Rung) -> Restorer:
        course.restart()
        course.phase = SEGMENTING
        if fall_back:
            place(network, rung.device)
        result = Restorer(case, metadata, want_probabilities, want_uncertainty)
        slide(
            network,
            case.array,
            tuple(reversed(metadata.patch)),
            metadata.output_channels,
            result,
            regions=metadata.regions,
            overlap=overlap,
            batch=rung.batch,
            mirror=mirror_axes(metadata) if tta else (),
            device=rung.device,
            precision=rung.precision,
            skip_empty=case.empty_is_background,
            map_bytes=4 * int(np.prod(case.source_grid.size)),
            progress=None if progress is None else report,
            course=course,
        )
        return result

    ladder = rungs(device, precision, window_batch) if fall_back else [Rung(device, precision, window_batch)]
    training = network.training
    network.eval()
    try:
        rung, result = descend(compute, ladder, warnings, None if progress is None else partial(report, 0.0))
    finally:
        network.train(training)
    course.phase = RESTORING
    segmentation = _collect(case, metadata, result, warnings)
    segmentation.backend = chosen_backend(rung.device)
    segmentation.device = str(rung.device)
    segmentation.precision = rung.precision
    segmentation.window_batch = rung.batch
    segmentation.windows = course.windows
    segmentation.compute_seconds = course.seconds
    segmentation.seconds = time.perf_counter() - began
    course.phase = DONE
    if progress is not None:
        progress(1.0, "done")
    return segmentation


def mirror_axes(metadata: Metadata) -> tuple[int, ...]:
    """Axes (0 to 2 of D, H, W) along which test-time augmentation mirrors.

    The axes that training mirrored (``training["mirror_axes"]``, names i, j, k or numbers 0 to 2), since a network
    has no reason to be right on a mirror image it was never shown.  Where they are not stated: all but left-right,
    because a mirrored left kidney is a right kidney to a network that tells the two apart.
    """
    stated = metadata.training.get("mirror_axes")
    if stated is None:
        stated = [n for n, letter in enumerate(metadata.orientation) if letter not in "LR"]
    numbers = {"ijk".index(axis) if axis in ("i", "j", "k") else int(axis) for axis in stated}
    return tuple(sorted(2 - n for n in numbers))


def _collect(case: Prepared, metadata: Metadata, result: Restorer, warnings: list[str]) -> Segmentation:
    """The results as images on the first image's own grid, with volumes."""
    counts = _count_regions(result.regions, len(metadata.labels)) if metadata.regions else _count(result.labels)
    voxels = {
        label.name: int(counts[n if metadata.regions else label.value]) for n, label in enumerate(metadata.labels)
    }
    millilitres = float(np.prod(case.source_grid.spacing)) / 1000
    uncertainty = None if result.uncertainty is None else from_array(result.uncertainty, case.stored_grid)
    return Segmentation(
        labels=from_array(result.labels, case.stored_grid),
        names=metadata.names,
        volumes_ml={name: count * millilitres for name, count in voxels.items()},
        seconds=0.0,
        backend="",
        warnings=warnings,
        metadata=metadata,
        voxels=voxels,
        regions=result.regions,
        probabilities=result.probabilities,
        uncertainty=uncertainty,
        image=case.image,
    )


def _count(labels: np.ndarray) -> np.ndarray:
    """Voxels of every value; plane by plane, since bincount makes 64-bit copies."""
    counts = np.zeros(np.iinfo(labels.dtype).max + 1, dtype=np.int64)
    for plane in labels:
        counts += np.bincount(plane.ravel(), minlength=len(counts))
    return counts


def _count_regions(regions: np.ndarray, number: int) -> np.ndarray:
    """Voxels of every bit."""
    counts = np.zeros(number, dtype=np.int64)
    for plane in regions:
        for n in range(number):
            counts[n] += np.count_nonzero(plane & plane.dtype.type(1 << n))
    return counts
