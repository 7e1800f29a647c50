"""Validation: every case goes through the inference that users run, and is measured on its own grid."""

import numpy as np
from torch import nn
from tqdm import tqdm

from segmamba import images
from segmamba.bundle import Metadata
from segmamba.data.datasets import Case, Dataset
from segmamba.evaluation.metrics import Overlap, overlap
from segmamba.inference.case import segment_case
from segmamba.inference.masks import label_masks
from segmamba.training.cases import read_case


def validate(
    network: nn.Module,
    metadata: Metadata,
    dataset: Dataset,
    cases: list[Case],
    *,
    device: str,
    precision: str,
    overlap_fraction: float,
    bar: bool = False,
) -> list[dict[str, Overlap]]:
    """Segments the cases, one in memory at a time, and counts per label predicted, reference and common voxels.

    Args:
        network: On ``device``; it is left in the mode it was in.
        metadata: Of the model.
        dataset: The cases' data set.
        cases: With a label each.
        device: Torch device.
        precision: ``fp32``, ``bf16`` or ``fp16``.
        overlap_fraction: Of neighbouring windows.
        bar: Whether to show a progress bar on standard error.

    Raises:
        UserError: A case cannot be read, or its image and label do not fit.
    """
    results = []
    for case in tqdm(cases, desc="validating", unit="case", leave=False, disable=not bar):
        channels, reference = read_case(case, dataset)
        segmentation = segment_case(
            network, metadata, channels, device=device, precision=precision, overlap=overlap_fraction
        )
        truth = images.array(reference)
        results.append(
            {label.name: overlap(mask, np.isin(truth, label.members)) for label, mask in label_masks(segmentation)}
        )
    return results
