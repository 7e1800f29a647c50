"""Pictures of the worst cases: which, which slice of them, and what is drawn."""

import io

import numpy as np
import pytest
from PIL import Image

from segmamba.data.datasets import LabelEntry
from segmamba.errors import UserError
from segmamba.evaluation.cases import evaluate
from segmamba.evaluation.pictures import PREDICTED, REFERENCE, draw_worst, worst

LABELS = [LabelEntry("one", 1, (1,)), LabelEntry("two", 2, (2,))]


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def near(picture: np.ndarray, colour: str) -> np.ndarray:
    """Where a picture has a colour, or one close to it."""
    wanted = [int(colour[n : n + 2], 16) for n in (1, 3, 5)]
    return np.abs(picture - wanted).max(axis=-1) < 40


@pytest.fixture
def pair(tmp_path, save):
    """``pair(predicted, reference, **geometry)``: two files, evaluated."""

    def make(predicted, reference, image=None, **geometry):
        one = save(predicted, tmp_path / "a.nii.gz", **geometry)
        other = save(reference, tmp_path / "r" / "a.nii.gz", **geometry)
        return evaluate(one, other, LABELS[:1], images=image)

    return make


def masks(shape=(20, 30, 40)):
    """Alike but for a block in the fifth slice of the prediction and a larger one in the tenth of the reference."""
    predicted = np.zeros(shape, np.uint8)
    predicted[3:12, 10:20, 10:20] = 1
    reference = predicted.copy()
    predicted[5, 20:22, 10:20] = 1
    reference[10, 10:20, 20:26] = 1
    return predicted, reference


def test_the_worst_have_the_lowest_dice_of_their_label(folders):
    evaluation = evaluate(*folders, LABELS)
    # What agrees in every voxel is not among them, nor is what is in neither mask; ties: the larger difference first.
    assert [(row.label, row.case) for row in worst(evaluation)] == [
        ("one", "invented"),
        ("one", "missed"),
        ("one", "half"),
    ]
    assert [row.case for row in worst(evaluation, each=1)] == ["invented"]


def test_the_worst_of_each_label_come_before_the_second_worst_of_any(tmp_path, save):
    for n in range(3):
        reference = np.zeros((6, 20, 20), np.uint8)
        reference[1:5, 2:8, 2:10], reference[1:5, 10:18, 2:10] = 1, 2
        save(reference, tmp_path / "r" / f"{n}.nii.gz")
        save(np.roll(reference, n + 1, axis=2), tmp_path / "p" / f"{n}.nii.gz")
    evaluation = evaluate(tmp_path / "p", tmp_path / "r", LABELS)
    assert [(row.label, row.case) for row in worst(evaluation, most=3)] == [("one", "2"), ("one", "1"), ("two", "2")]


def test_the_slice_of_largest_disagreement_is_drawn_with_both_outlines(pair):
    (picture,) = draw_worst(pair(*masks()))
    assert picture.where == "axial, k = 10" and picture.differs_mm2 == 60
    drawn = pixels(picture.png)
    assert drawn.shape[0] == drawn.shape[1] > 300
    assert near(drawn, PREDICTED).sum() > 300 and near(drawn, REFERENCE).sum() > 300
    # The reference's block stands to the left of the patient, at the right of the picture.
    columns = np.flatnonzero(near(drawn, REFERENCE).any(axis=0))
    assert columns.max() > np.flatnonzero(near(drawn, PREDICTED).any(axis=0)).max() + 20


def test_slices_are_numbered_as_the_file_s_voxels_are_whichever_way_its_axes_run(pair):
    upside_down = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
    (picture,) = draw_worst(pair(*masks(), direction=upside_down))
    assert picture.where == "axial, k = 10"
    # i runs up, j to the left, k to the back: an axial slice lies across i, and the last of masks() is another.
    permuted = (0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0)
    predicted, reference = (values.transpose(1, 2, 0) for values in masks())
    (picture,) = draw_worst(pair(predicted, reference, direction=permuted))
    assert picture.where == "axial, i = 10" and picture.differs_mm2 == 60


def test_thick_slices_are_looked_at_as_they_were_acquired(pair):
    (picture,) = draw_worst(pair(*masks(), spacing=(1.0, 4.0, 1.0)))
    assert picture.where in ("coronal, j = 20", "coronal, j = 21")  # alike
    (picture,) = draw_worst(pair(*masks(), spacing=(4.0, 1.0, 1.0)))
    assert picture.where.startswith("sagittal, i = ")


def test_outlines_lie_over_the_image_wherever_its_grid_is(tmp_path, pair, save):
    predicted, reference = masks()
    ramp = np.broadcast_to(np.arange(40, dtype=np.float32), predicted.shape)
    (bare,) = draw_worst(pair(predicted, reference))
    (over,) = draw_worst(pair(predicted, reference, save(ramp, tmp_path / "image.nii.gz")))
    shown, empty = pixels(over.png), pixels(bare.png)
    corner = (slice(60, 90), slice(None))
    grey = shown[corner].mean(axis=(0, 2))
    # Brighter to the patient's left, as the ramp is; without an image, one shade.
    assert grey[300] > grey[200] > grey[100] and np.ptp(empty[corner].mean(axis=(0, 2))) < 3
    # A coarser image of the same is drawn in the same place.
    coarse = save(ramp[::2, ::2, ::2], tmp_path / "coarse.nii.gz", spacing=(2.0, 2.0, 2.0))
    (other,) = draw_worst(pair(predicted, reference, coarse))
    assert np.abs(pixels(other.png)[corner].mean(axis=(0, 2))[50:350] - grey[50:350]).max() < 25


def test_an_image_with_several_channels_is_drawn_by_its_first(tmp_path, pair):
    import SimpleITK as sitk

    channels = [sitk.GetImageFromArray(np.full((20, 30, 40), n, np.float32)) for n in range(2)]
    path = tmp_path / "image.nii.gz"
    sitk.WriteImage(sitk.JoinSeries(channels), str(path))
    assert len(draw_worst(pair(*masks(), path))) == 1


@pytest.mark.parametrize("value", [np.nan, 7.0])
def test_an_image_without_contrast_is_no_obstacle(tmp_path, pair, save, value):
    image = save(np.full((20, 30, 40), value, np.float32), tmp_path / "image.nrrd")
    assert len(draw_worst(pair(*masks(), image))) == 1


def test_an_image_that_cannot_be_read_is_named(tmp_path, pair):
    (tmp_path / "image.nii.gz").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"image\.nii\.gz"):
        draw_worst(pair(*masks(), tmp_path / "image.nii.gz"))


@pytest.mark.parametrize("shape", [(1, 30, 40), (20, 1, 40), (20, 30, 1)])
def test_volumes_of_one_slice_are_drawn(pair, shape):
    predicted, reference = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
    predicted[:, :10, :10] = 1
    reference[..., :5] = 1
    (picture,) = draw_worst(pair(predicted, reference))
    assert pixels(picture.png).shape[0] > 300
