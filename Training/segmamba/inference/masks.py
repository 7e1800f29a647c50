"""The masks of a segmentation, label by label."""

from collections.abc import Iterator

import numpy as np

from segmamba import images
from segmamba.inference.segmentation import Segmentation
from segmamba.metadata import Label


def label_masks(segmentation: Segmentation) -> Iterator[tuple[Label, np.ndarray]]:
    """Each label of the model with its boolean (k, j, i) mask; regions may overlap."""
    metadata = segmentation.metadata
    values = None if metadata.regions else images.array(segmentation.labels)
    for bit, label in enumerate(metadata.labels):
        if metadata.regions:
            yield label, (segmentation.regions >> bit & 1).astype(bool)
        else:
            yield label, values == label.value
