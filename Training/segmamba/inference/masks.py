"""The masks of a segmentation, label by label."""

from collections.abc import Iterator

import numpy as np
import SimpleITK as sitk

from segmamba.inference.segmentation import Segmentation
from segmamba.metadata import Label


def label_masks(segmentation: Segmentation) -> Iterator[tuple[Label, np.ndarray]]:
    """Each label of the model with its boolean (k, j, i) mask, in painting order; regions may overlap.

    Made one after the other: memory holds as many masks as the caller keeps.
    """
    labels = sitk.GetArrayViewFromImage(segmentation.labels)
    for bit, label in enumerate(segmentation.metadata.labels):
        if segmentation.regions is None:
            yield label, labels == label.value
        else:
            yield label, segmentation.regions & segmentation.regions.dtype.type(1 << bit) != 0
