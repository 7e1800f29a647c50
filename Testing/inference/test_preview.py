"""The picture of a segmentation."""

import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from segmamba.errors import UserError
from segmamba.inference.case import segment_case
from segmamba.inference.preview import write_preview

sys.path.insert(0, str(Path(__file__).parent))
from small import Nested, Threshold, arrangements, blob, image, metadata, rotation


def drawn(path, colour, tolerance=0.12):
    """How many pixels of a picture have a label's colour."""
    picture = imread(path)[..., :3]
    return int((np.abs(picture - np.divide(colour, 255)).max(axis=-1) < tolerance).sum())


def test_every_region_is_drawn_in_its_colour(tmp_path):
    picture = image(blob((26, 30, 34)), (1, 1, 4))
    meta = metadata(("WT", "TC", "ET"), regions=True, values=[2, 1, 3])
    result = segment_case(Nested(), meta, [picture], device="cpu")
    write_preview(result, picture, tmp_path / "p.png", "case.nii.gz")
    for label in meta.labels:
        assert drawn(tmp_path / "p.png", label.colour) > 300
    height, width, _ = imread(tmp_path / "p.png").shape
    assert width == 1560 and 400 < height < 1000
    assert [path.name for path in tmp_path.iterdir()] == ["p.png"]


def test_the_picture_is_the_same_however_the_image_is_stored(tmp_path):
    picture = image(blob((20, 24, 28)), (1, 1.5, 2), direction=rotation((3, 5, -8)))
    pictures = []
    for stored in list(arrangements(picture))[::19]:
        result = segment_case(Threshold(), metadata(), [stored], device="cpu")
        write_preview(result, stored, tmp_path / "p.png")
        pictures.append(imread(tmp_path / "p.png"))
    assert len(pictures) == 3
    for other in pictures[1:]:
        assert other.shape == pictures[0].shape
        assert np.abs(other - pictures[0]).mean() < 1e-3


def test_an_empty_segmentation_still_gives_a_picture(tmp_path):
    picture = image(blob())
    result = segment_case(Threshold(9.0), metadata(), [picture], device="cpu")
    write_preview(result, picture, tmp_path / "p.png")
    assert imread(tmp_path / "p.png").size


def test_one_voxel_and_one_slice_are_drawn(tmp_path):
    array = np.zeros((1, 20, 20), dtype=np.float32)
    array[0, 7, 9] = 1
    result = segment_case(Threshold(), metadata(), [image(array)], device="cpu")
    write_preview(result, image(array), tmp_path / "p.png")
    assert drawn(tmp_path / "p.png", result.metadata.labels[0].colour) > 20


def test_a_wrong_suffix_or_another_grid_is_refused(tmp_path):
    picture = image(blob())
    result = segment_case(Threshold(), metadata(), [picture], device="cpu")
    with pytest.raises(UserError, match=r"\.png"):
        write_preview(result, picture, tmp_path / "p.jpg")
    with pytest.raises(UserError, match="grid"):
        write_preview(result, image(blob((5, 6, 7))), tmp_path / "p.png")
