"""Validation: every case goes through the inference that users run, and is measured on its own grid."""

import logging

import numpy as np
from torch import nn

from segmamba import images
from segmamba.bundle import Metadata
from segmamba.data.datasets import Case, Dataset
from segmamba.evaluation.metrics import Overlap, overlap
from segmamba.inference.case import segment_case
from segmamba.inference.masks import label_masks
from segmamba.training.cases import read_case

log = logging.getLogger(__name__)


def validate(
    network: nn.Module,
    metadata: Metadata,
    dataset: Dataset,
    cases: list[Case],
    *,
    device: str,
    precision: str,
    overlap_fraction: float,
    progress=None,
) -> list[dict[str, Overlap]]:
    """Segments the cases and counts, per label, predicted, reference and common voxels."""
    results = []
    for number, case in enumerate(cases):
        channels, reference = read_case(case, dataset)
        segmentation = segment_case(
            network, metadata, channels, device=device, precision=precision, overlap=overlap_fraction
        )
        truth = images.array(reference)
        results.append(
            {label.name: overlap(mask, np.isin(truth, label.members)) for label, mask in label_masks(segmentation)}
        )
        if progress is not None:
            progress(number + 1, len(cases))
    return results
