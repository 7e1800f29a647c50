"""A model opened once, then called with images: segmenting from Python."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import SimpleITK as sitk
import torch
from torch import nn

from segmamba.errors import UserError
from segmamba.inference.case import segment_case
from segmamba.inference.course import Course
from segmamba.inference.devices import resolve_device, resolve_precision, windows_at_once
from segmamba.inference.memory_ladder import CPU, memory_full, place, sentence
from segmamba.inference.segmentation import Segmentation
from segmamba.inference.window import Progress
from segmamba.metadata import Metadata

__all__ = ["Segmentation", "Segmenter", "resolve_device"]


class Segmenter:
    """A model, ready to segment.

    Example:
        >>> segmenter = Segmenter("hippocampus-lightmunet")
        >>> segmentation = segmenter("case.nii.gz")
        >>> segmentation.volumes_ml
        {'Anterior': 1.62, 'Posterior': 1.48}
        >>> segmentation.save("case.seg.nrrd")

    Args:
        model: Name in the catalogue, or path of a model package (folder or zip).
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        precision: ``auto``, ``fp32``, ``bf16`` or ``fp16``.
        tta: Average over mirrored copies; two mirror axes take four times as long.
        overlap: Of neighbouring windows, 0 up to but not including 1.
        window_batch: Windows in one call of the network; None: two on a CUDA card, which one seldom fills, else one.
            Where memory is short, fewer are taken.

    Attributes:
        network, metadata, device, precision: What runs, and where.  After a case for which the device's memory did not
            suffice, the network lies on the processor; the next call takes it to the device again.

    Raises:
        UserError: There is no such model or device, or the weights do not fit the network.
    """

    def __init__(
        self,
        model: str | Path,
        device: str | torch.device = "auto",
        precision: str = "auto",
        tta: bool = False,
        overlap: float = 0.5,
        window_batch: int | None = None,
    ) -> None:
        from segmamba import models

        target = resolve_device(device)
        resolve_precision(precision, target)  # a wrong option is told before the weights are read
        bundle = models.find(model)
        network = load_network(bundle)
        self._set(network, bundle.metadata, target, precision, tta, overlap, window_batch)

    @classmethod
    def from_network(
        cls,
        network: nn.Module,
        metadata: Metadata,
        device: str | torch.device = "auto",
        precision: str = "auto",
        tta: bool = False,
        overlap: float = 0.5,
        window_batch: int | None = None,
    ) -> Segmenter:
        """The same for a network in memory; it is moved to the device."""
        self = cls.__new__(cls)
        self._set(network, metadata, resolve_device(device), precision, tta, overlap, window_batch)
        return self

    def _set(
        self,
        network: nn.Module,
        metadata: Metadata,
        device: torch.device,
        precision: str,
        tta: bool,
        overlap: float,
        window_batch: int | None,
    ) -> None:
        self.device = device
        self.precision = resolve_precision(precision, device)
        self.metadata = metadata
        self.tta = tta
        self.overlap = overlap
        self.window_batch = window_batch or windows_at_once(device)
        self.network = network.eval()
        try:
            place(network, device)
        except RuntimeError as error:
            if not memory_full(error) or device == CPU:
                raise
            # Every call tries the device again before it takes the processor.
            place(network, CPU)

    def __call__(
        self,
        images: str | Path | sitk.Image | Sequence[str | Path | sitk.Image],
        roi: str | Path | Sequence[Sequence[int]] | None = None,
        progress: Progress | None = None,
        probabilities: bool = False,
        uncertainty: bool = False,
        series: str | Sequence[str] | None = None,
        keep_image: bool = False,
        course: Course | None = None,
    ) -> Segmentation:
        """Segments one case.

        Where the device's memory does not suffice, smaller batches of windows are tried, then the processor, which is
        a warning of the result.

        Args:
            images: A path or SimpleITK image, or a list of them: the channels in the model's order.
            roi: Part of the first image to segment: ``"i0:i1,j0:j1,k0:k1"`` or a Slicer markups file.
            progress: Called with the fraction done and a message; may raise to cancel.
            probabilities: Keep the maps of all classes.
            uncertainty: Keep the normalised entropy.
            series: UID of the DICOM series to read from a folder that holds several; where several of the images are
                DICOM folders, one for each of these, in their order.
            keep_image: Keep the first image, for a picture of it.
            course: Told how far the case is.

        Raises:
            UserError: The images do not fit the model, or cannot be used; OutOfMemory where nothing fits into memory.
        """
        if isinstance(images, (str, Path, sitk.Image)):
            images = [images]
        try:
            return segment_case(
                self.network,
                self.metadata,
                list(images),
                device=self.device,
                precision=self.precision,
                tta=self.tta,
                overlap=self.overlap,
                roi=roi,
                window_batch=self.window_batch,
                want_probabilities=probabilities,
                want_uncertainty=uncertainty,
                progress=progress,
                series=series,
                keep_image=keep_image,
                fall_back=True,
                course=course,
            )
        except (RuntimeError, MemoryError) as error:
            if not memory_full(error):
                raise
            raise sentence(error, self.device, self.metadata.name) from error


def load_network(bundle) -> nn.Module:
    """Builds the network of a model package and loads its weights, every one of them and no other.

    Args:
        bundle: A :class:`segmamba.bundle.Bundle`.

    Raises:
        UserError: The package names a network or options that do not exist, or its weights do not fit.
    """
    from segmamba import networks

    metadata = bundle.metadata
    try:
        network = networks.build(
            metadata.network,
            in_channels=len(metadata.channels),
            out_channels=metadata.output_channels,
            **metadata.options,
        )
    except UserError as error:
        raise UserError(f"{bundle.path}: {error}") from error
    weights = {name: torch.from_numpy(values) for name, values in bundle.weights().items()}
    expected = network.state_dict()
    problems = [f"{name} is missing" for name in expected if name not in weights]
    problems += [f"{name} is unknown" for name in weights if name not in expected]
    problems += [
        f"{name} has shape {tuple(values.shape)} where {tuple(expected[name].shape)} is needed"
        for name, values in weights.items()
        if name in expected and values.shape != expected[name].shape
    ]
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise UserError(
            f"{bundle.path}: the weights do not fit network {metadata.network} with its options "
            f"({'; '.join(problems[:3])}{more}); export or download the model again"
        )
    network.load_state_dict(weights, strict=True)
    return network.eval()
