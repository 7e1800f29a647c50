"""Volumes through plain files: exact both ways, refused in words, whole or not at all."""

import io
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from segmamba.errors import UserError
from segmamba.inference.segmenter import Segmenter
from segmamba.serving.exchange import check_files, read_volume, write_results
from segmamba.serving.protocol import Output, Volume

sys.path.insert(0, str(Path(__file__).parents[1] / "inference"))
from small import Nested, Threshold, blob, image, metadata, rotation

DIRECTION = tuple(rotation().ravel().tolist())


def volume(path, values, **changes):
    np.save(path, values)
    return Volume(
        str(path),
        changes.get("origin", (-118.70000000000002, 1 / 3, 7.0)),
        changes.get("spacing", (0.1 + 0.2, 1.0, 2.5)),
        changes.get("direction", DIRECTION),
        changes.get("name"),
    )


@pytest.mark.parametrize("dtype", ["int16", "uint8", "float32", "float64", ">i2", "float16", "bool", "int64"])
def test_voxels_and_geometry_are_exact(tmp_path, dtype):
    values = (np.arange(4 * 5 * 6).reshape(4, 5, 6) % 100).astype(dtype)
    got = read_volume(volume(tmp_path / "v.npy", values))
    assert np.array_equal(sitk.GetArrayFromImage(got), values)
    assert got.GetOrigin() == (-118.70000000000002, 1 / 3, 7.0) and got.GetSpacing() == (0.1 + 0.2, 1.0, 2.5)
    assert got.GetDirection() == DIRECTION


def test_columns_first_in_memory_is_the_same_volume(tmp_path):
    values = np.asfortranarray(np.arange(24, dtype=np.int16).reshape(2, 3, 4))
    assert np.array_equal(sitk.GetArrayFromImage(read_volume(volume(tmp_path / "v.npy", values))), values)


def test_messages_call_a_volume_by_its_name(tmp_path):
    blank = read_volume(volume(tmp_path / "v.npy", np.zeros((9, 9, 9), np.int16), name="MRHead"))
    with pytest.raises(UserError, match=r"^MRHead \(c0\): the image is blank"):
        Segmenter.from_network(Threshold(), metadata(), device="cpu")(blank)


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        (np.zeros((4, 4)), r"shape \(4, 4\)"),
        (np.zeros((2, 3, 4, 5)), "shape"),
        (np.zeros((0, 3, 4)), "shape|whole"),
        (np.zeros((2, 3, 4), complex), "complex128"),
        (np.array([[["a"]]]), "holds <U1"),
        (np.array([[[{}]]], dtype=object), "plain numbers"),
    ],
)
def test_what_is_no_volume_of_numbers_is_refused(tmp_path, values, problem):
    with pytest.raises(UserError, match=rf"^MRHead: .*v\.npy.*({problem})"):
        read_volume(volume(tmp_path / "v.npy", values, name="MRHead"))


@pytest.mark.parametrize("spacing", [(1e-300,) * 3, (1e6,) * 3])
def test_a_spacing_that_no_volume_has_is_refused(tmp_path, spacing):
    source = volume(tmp_path / "v.npy", blob(), spacing=spacing, name="MRHead")
    with pytest.raises(UserError, match=r"^MRHead.*(spacing|geometry)"):
        Segmenter.from_network(Threshold(), metadata(spacing=(1.0, 1.0, 1.0)), device="cpu")(read_volume(source))


def test_files_that_are_missing_damaged_or_something_else_are_refused(tmp_path):
    whole = volume(tmp_path / "v.npy", np.ones((9, 9, 9)))
    cut = tmp_path / "cut.npy"
    cut.write_bytes((tmp_path / "v.npy").read_bytes()[:-100])
    (tmp_path / "text.npy").write_text("hello")
    (tmp_path / "empty.npy").write_bytes(b"")
    archive = io.BytesIO()
    np.savez(archive, a=np.ones(3))
    (tmp_path / "archive.npy").write_bytes(archive.getvalue())
    for name in ("cut", "text", "empty", "archive", "missing"):
        with pytest.raises(UserError, match=rf"{name}\.npy"):
            read_volume(Volume(str(tmp_path / f"{name}.npy"), whole.origin, whole.spacing, whole.direction))
    with pytest.raises(UserError, match="cannot be read"):
        read_volume(Volume(str(tmp_path), whole.origin, whole.spacing, whole.direction))
    with pytest.raises(UserError, match="do not span space"):
        read_volume(volume(tmp_path / "v.npy", np.ones((3, 3, 3)), direction=(1, 0, 0, 1, 0, 0, 0, 0, 1)))


@pytest.fixture
def result():
    meta = metadata(("WT", "TC", "ET"), regions=True, values=[2, 1, 3])
    made = Segmenter.from_network(Nested(), meta, device="cpu")
    return made(image(blob(), (1, 2, 3), (4, 5, 6), rotation()), probabilities=True, uncertainty=True)


def test_arrays_and_images_hold_the_same(tmp_path, result):
    one = Output(*(str(tmp_path / f"{name}.npy") for name in "lrpu"))
    two = Output(str(tmp_path / "l.nrrd"), None, str(tmp_path / "p.nrrd"), str(tmp_path / "u.nii.gz"))
    assert write_results(result, one, lambda: None) == vars(one)
    assert write_results(result, two, lambda: None) == vars(two)
    labels, regions, probabilities, uncertainty = (np.load(path, allow_pickle=False) for path in vars(one).values())
    assert labels.dtype == regions.dtype == np.uint8 and uncertainty.dtype == probabilities.dtype == np.float32
    assert np.array_equal(regions, result.regions) and len(np.unique(labels)) == 4
    for array, path in ((labels, two.labels), (probabilities, two.probabilities), (uncertainty, two.uncertainty)):
        assert np.array_equal(array, sitk.GetArrayFromImage(sitk.ReadImage(path)))
    assert sitk.ReadImage(two.labels).GetDirection() == pytest.approx(result.labels.GetDirection())


def test_regions_of_a_model_without_any_are_not_written(tmp_path):
    result = Segmenter.from_network(Threshold(), metadata(), device="cpu")(image(blob()))
    output = Output(str(tmp_path / "l.npy"), str(tmp_path / "r.npy"))
    assert write_results(result, output, lambda: None)["regions"] is None
    assert [p.name for p in tmp_path.iterdir()] == ["l.npy"]


def test_cancelled_between_two_files_none_is_there_and_an_old_one_stays(tmp_path, result):
    (tmp_path / "l.npy").write_text("old")
    calls = []

    def check():
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_results(result, Output(*(str(tmp_path / f"{name}.npy") for name in "lrpu")), check)
    assert [p.name for p in tmp_path.iterdir()] == ["l.npy"] and (tmp_path / "l.npy").read_text() == "old"


def test_a_folder_that_is_gone_is_named_by_the_file_that_was_asked_for(tmp_path, result):
    for name in ("l.npy", "l.seg.nrrd"):
        with pytest.raises(UserError, match=rf"gone/{name}") as caught:
            write_results(result, Output(str(tmp_path / "gone" / name)), lambda: None)
        assert not any(len(part) > 30 and part.isalnum() for part in str(caught.value).replace(".", " ").split())


def test_files_that_cannot_be_written_are_refused_before_anything_is_computed(tmp_path):
    path = str(tmp_path / "a.npy")
    source = volume(path, np.ones((3, 3, 3)))
    for output, problem in (
        (Output(path), "one of the images"),
        (Output(str(tmp_path / "l.npy"), str(tmp_path / "l.npy")), "output.regions: .*output.labels"),
        (Output(str(tmp_path / "l.jpg")), "l.jpg: the format"),
        (Output(str(tmp_path / "l.npy"), str(tmp_path / "r.nii.gz")), "r.nii.gz: the format.*npy"),
        (Output(str(tmp_path / "no" / "l.npy")), "does not exist"),
    ):
        with pytest.raises(UserError, match=problem):
            check_files(output, [source, "other.nii.gz"])
    check_files(Output(str(tmp_path / "l.seg.nrrd"), str(tmp_path / "r.npy")), [source, "other.nii.gz"])
