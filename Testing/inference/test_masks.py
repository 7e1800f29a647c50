"""The masks of a segmentation, label by label."""

import sys
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from segmamba.inference.case import segment_case
from segmamba.inference.masks import label_masks

sys.path.insert(0, str(Path(__file__).parent))
from small import Nested, Threshold, blob, image, metadata


def test_labels_and_overlapping_regions_have_their_masks_in_the_models_order():
    x = blob()
    result = segment_case(Threshold(0.4, 0.7), metadata(("a", "b"), values=[7, 300]), [image(x)], device="cpu")
    (a, shell), (b, core) = label_masks(result)
    assert (a.name, b.name) == ("a", "b") and shell.dtype == core.dtype == bool
    assert np.array_equal(core, x > 0.7) and np.array_equal(shell, (x > 0.4) & (x <= 0.7))
    names = tuple("ABCDEFGHIJ")
    result = segment_case(Nested(), metadata(names[:3], regions=True), [image(x)], device="cpu")
    for (_, mask), level in zip(label_masks(result), (0.2, 0.5, 0.8), strict=True):
        assert mask.dtype == bool and np.array_equal(mask, x > level)
    # The highest bit of the type.
    result.regions = np.full(x.shape, 128, np.uint8)
    result.metadata = metadata(names[:8], regions=True)
    assert [bool(mask.all()) for _, mask in label_masks(result)] == [False] * 7 + [True]
    assert sitk.GetArrayViewFromImage(result.labels).shape == x.shape
