"""Every mistake of the user's: one sentence that names the file or option, status 2, nothing written, no noise."""

import json
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

import segmamba
from segmamba.errors import UserError


@pytest.fixture
def segment(refused, tmp_path, tiny_model):
    """``segment`` of an image, which must be refused with the given words."""

    def call(image, *words, more=(), model=tiny_model, output="mask.nii.gz"):
        images = image if isinstance(image, list) else [image]
        return refused(["segment", *images, "-o", tmp_path / output, "--model", model, *more], *words)

    return call


def save(image, path) -> Path:
    sitk.WriteImage(image, str(path))
    return path


def filled(values, dtype=np.float32) -> sitk.Image:
    return sitk.GetImageFromArray(np.asarray(values, dtype))


# Images


def test_a_missing_file(segment, tmp_path):
    segment(tmp_path / "gone.nii.gz", tmp_path / "gone.nii.gz", "no such file")


def test_a_name_too_long_for_any_file(segment, tmp_path):
    segment(tmp_path / ("x" * 300), "no such file")


@pytest.mark.parametrize("name", ["notes.txt", "scan.nii.gz", "scan.nii", "scan.nrrd", "scan.mha", "scan.dcm"])
@pytest.mark.parametrize("content", [b"", b"a letter, no image\n" * 40], ids=["empty", "text"])
def test_a_file_that_is_no_image(segment, tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    segment(tmp_path / name, tmp_path / name)


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".nrrd", ".mha"])
def test_a_file_cut_short(segment, tmp_path, make_volume, suffix):
    path = save(make_volume(), tmp_path / f"scan{suffix}")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    segment(path, path)


def test_a_folder_without_dicom(segment, tmp_path):
    (tmp_path / "empty").mkdir()
    segment(tmp_path / "empty", tmp_path / "empty", "no DICOM")


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".nrrd", ".mha"])
def test_a_2d_image(segment, tmp_path, suffix):
    path = save(filled(np.arange(64).reshape(8, 8)), tmp_path / f"flat{suffix}")
    segment(path, path, "2D", "3D")


def test_a_4d_image(segment, tmp_path, volume):
    series = sitk.JoinSeries([volume, volume, volume])
    for name in ("series.nii.gz", "series.nrrd"):
        segment(save(series, tmp_path / name), tmp_path / name, "3 volumes")


def test_a_colour_image(segment, tmp_path, volume):
    picture = sitk.Compose([volume, volume, volume])
    segment(save(picture, tmp_path / "colour.mha"), tmp_path / "colour.mha", "3 values")


@pytest.mark.parametrize("count", [1, 3, 5])
def test_a_wrong_number_of_channels(segment, four_images, tiny_regions, count):
    images = [*four_images, *four_images][:count]
    segment(images, "needs 4 images", "T1 (MR), T1Gd (MR), T2 (MR), FLAIR (MR)", f"{count} given", model=tiny_regions)


@pytest.mark.parametrize("channel", [0, 2])
def test_one_bad_channel_of_several(segment, four_images, tiny_regions, channel):
    path = four_images[channel]
    save(sitk.ReadImage(str(path)) * 0, path)
    segment(four_images, path, "blank", model=tiny_regions)
    path.write_text("no image")
    segment(four_images, path, model=tiny_regions)
    path.unlink()
    segment(four_images, path, "no such file", model=tiny_regions)


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".nrrd", ".mha"])
@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.zeros((9, 9, 9)), ["blank", "0"]),
        (np.full((9, 9, 9), 7.5), ["blank", "7.5"]),
        (np.full((9, 9, 9), np.nan), ["NaN"]),
        (np.full((9, 9, 9), np.inf), ["infinite"]),
        (np.where(np.arange(729).reshape(9, 9, 9) % 2, np.nan, 3), ["blank", "3"]),
    ],
    ids=["zero", "constant", "nan", "inf", "constant and nan"],
)
def test_a_volume_that_shows_nothing(segment, tmp_path, suffix, values, words):
    path = save(filled(values), tmp_path / f"scan{suffix}")
    segment(path, path, *words)


@pytest.mark.parametrize(
    ("suffix", "kind"), [(".nii.gz", np.float32), (".nii", np.float64), (".nrrd", np.float32), (".mha", np.float64)]
)
def test_some_nan_and_infinite_voxels_are_counted_in_a_warning(command, tmp_path, volume, tiny_model, suffix, kind):
    values = sitk.GetArrayFromImage(volume).astype(kind)
    values[3, 4, 5], values[6, 7, 8], values[0, 0, 0] = np.nan, np.inf, -np.inf
    image = filled(values, kind)
    image.CopyInformation(volume)
    path = save(image, tmp_path / f"scan{suffix}")
    files = ["-o", tmp_path / "mask.nii.gz", "--preview", tmp_path / "preview.png", "--json"]
    outcome = command("segment", path, "--model", tiny_model, *files)
    assert outcome.status == 0 and outcome.err.count("\n") == 1
    assert outcome.err.startswith(f"segmamba: warning: {path}: 3 voxels of {values.size}")
    assert json.loads(outcome.out)["warnings"] == [outcome.err.removeprefix("segmamba: warning: ").strip()]
    assert (tmp_path / "mask.nii.gz").exists() and (tmp_path / "preview.png").exists()


def with_header(volume, path, form, place, *values) -> Path:
    """A NIfTI file with other numbers at a place of its header."""
    save(volume, path)
    content = bytearray(path.read_bytes())
    struct.pack_into(form, content, place, *values)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("spacing", [0.0, -1.0, float("nan"), float("inf")])
def test_a_spacing_that_is_not_positive(segment, tmp_path, volume, spacing):
    path = with_header(volume, tmp_path / "scan.nii", "<f", 84, spacing)  # pixdim[2]
    segment(path, path, "spacing")
    path = with_line(volume, tmp_path / "scan.mha", b"ElementSpacing", b"ElementSpacing = 0.9 %g 1.5" % spacing)
    segment(path, path, "spacing")
    path = tmp_path / "scan.nrrd"
    path.write_bytes(
        b"NRRD0004\ntype: uchar\ndimension: 3\nsizes: 2 2 2\nspacings: 0.9 %g 1.5\nencoding: raw\n\n" % spacing
        + bytes(range(8))
    )
    segment(path, path, "spacing")


def with_line(volume, path, begin, line) -> Path:
    """A MetaImage file with another line in its header."""
    save(volume, path)
    lines = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join(line if old.startswith(begin) else old for old in lines))
    return path


def test_a_direction_that_cannot_be_inverted(segment, tmp_path, volume):
    rows = (1, 0, 0, 5, 0, 1, 0, 5, 0, 1, 0, 5)
    path = with_header(volume, tmp_path / "scan.nii", "<12f", 280, *rows)  # srow
    segment(path, path, "singular")
    path = with_line(volume, tmp_path / "scan.mha", b"TransformMatrix", b"TransformMatrix = 1 0 0 0 1 0 0 1 0")
    segment(path, path, "singular")
    path = tmp_path / "scan.nrrd"
    path.write_bytes(
        b"NRRD0004\ntype: uchar\ndimension: 3\nspace: left-posterior-superior\nsizes: 2 2 2\n"
        b"space directions: (1,0,0) (0,1,0) (1,1,0)\nspace origin: (0,0,0)\nencoding: raw\n\n" + bytes(range(8))
    )
    segment(path, path, "do not span space")


def test_python_refuses_with_the_same_sentence(segment, tmp_path, tiny_model):
    path = save(filled(np.zeros((9, 9, 9))), tmp_path / "scan.nii.gz")
    told = segment(path)
    with pytest.raises(UserError) as error:
        segmamba.Segmenter(tiny_model)(path)
    assert told == f"segmamba: {error.value}\n"


def test_python_names_an_image_in_memory_by_its_channel(tiny_model):
    with pytest.raises(UserError, match=r"image 1 \(T1\).*blank"):
        segmamba.Segmenter(tiny_model)(filled(np.zeros((9, 9, 9))))


# Outputs


@pytest.mark.parametrize(
    ("option", "allowed"),
    [("-o", ".seg.nrrd"), ("--probabilities", ".nrrd"), ("--uncertainty", ".mha"), ("--statistics", ".csv"),
     ("--preview", ".png")],
)  # fmt: skip
def test_an_unknown_output_format(refused, tmp_path, image, tiny_model, option, allowed):
    outputs = {"-o": tmp_path / "mask.nrrd", option: tmp_path / "out.xyz"}
    arguments = [part for pair in outputs.items() for part in pair]
    refused(["segment", image, "--model", tiny_model, *arguments], tmp_path / "out.xyz", allowed)


@pytest.mark.parametrize("option", ["-o", "--probabilities", "--uncertainty", "--statistics", "--preview"])
def test_an_output_in_a_missing_folder_or_below_a_file(refused, tmp_path, image, tiny_model, option):
    suffix = {"--statistics": ".csv", "--preview": ".png"}.get(option, ".nrrd")
    for folder, word in ((tmp_path / "missing", "does not exist"), (image, "not a folder")):
        outputs = {"-o": tmp_path / "mask.nrrd", option: folder / f"out{suffix}"}
        arguments = [part for pair in outputs.items() for part in pair]
        refused(["segment", image, "--model", tiny_model, *arguments], folder, word)


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="a folder that even root cannot write to")
def test_an_output_in_a_folder_that_cannot_be_written(refused, image, tiny_model):
    refused(["segment", image, "-o", "/proc/mask.nrrd", "--model", tiny_model], "/proc/mask.nrrd", "cannot be written")


def test_an_output_that_is_a_folder(segment, tmp_path, image):
    (tmp_path / "results.nrrd").mkdir()
    segment(image, tmp_path / "results.nrrd", "folder", output="results.nrrd")


def test_an_output_that_would_overwrite_the_image_or_another_output(segment, tmp_path, image):
    segment(image, "--output", image, output=image.name)
    more = ["--uncertainty", tmp_path / "mask.nrrd"]
    segment(image, "--uncertainty", "--output", more=more, output="mask.nrrd")


# Options


@pytest.mark.parametrize(
    ("option", "words"),
    [
        (["--device", "tpu"], ["--device tpu", "unknown", "cpu"]),
        (["--device", "cuda:99"], ["--device cuda:99", "is not here", "cpu"]),
        (["--precision", "fp8"], ["--precision fp8", "bf16"]),
        (["--overlap", "1"], ["--overlap", "1.0"]),
        (["--overlap", "-0.5"], ["--overlap", "-0.5"]),
        (["--overlap", "nan"], ["--overlap", "nan"]),
        (["--threads", "0"], ["--threads", "0"]),
        (["--series", "1.2.3"], ["series", "image.nii.gz"]),
        (["--roi", "1:2,3:4"], ["--roi '1:2,3:4'", "malformed"]),
        (["--roi", "5:5,0:9,0:9"], ["--roi", "empty along i"]),
        (["--roi", "0:9,0:9,0:99"], ["--roi", "outside", "0:18"]),
        (["--roi", "left half"], ["--roi 'left half'"]),
        (["--roi", "gone.mrk.json"], ["--roi gone.mrk.json", "no such file"]),
    ],
)  # fmt: skip
def test_an_option_with_a_wrong_value(segment, image, option, words):
    segment(image, *words, more=option)


def test_a_roi_file_without_a_roi(segment, tmp_path, image):
    for content in ("{", "[]", '{"markups": []}', '{"markups": [{"type": "ROI", "center": [0, 0]}]}'):
        (tmp_path / "box.mrk.json").write_text(content)
        segment(image, tmp_path / "box.mrk.json", more=["--roi", tmp_path / "box.mrk.json"])


# Models


@pytest.fixture
def package(tmp_path, tiny_model):
    """A model package of one's own to damage."""
    return shutil.copytree(tiny_model, tmp_path / "package")


def change(package, **own):
    path = package / "configs" / "metadata.json"
    document = json.loads(path.read_text())
    document["segmamba"] |= own
    path.write_text(json.dumps(document))


def test_an_unknown_model(segment, image):
    segment(image, "'no-such-model'", model="no-such-model")


def test_a_damaged_model(segment, image, package):
    weights = package / "models" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x7f")
    segment(image, weights, "SHA-256", model=package)
    weights.unlink()
    segment(image, package, "model.safetensors is missing", model=package)
    (package / "configs" / "metadata.json").write_text("{")
    segment(image, package / "configs" / "metadata.json", "damaged", model=package)


def test_a_foreign_model(segment, tmp_path, image, package):
    (package / "configs" / "metadata.json").write_text('{"monai_version": "1.4.0", "network_data_format": {}}')
    segment(image, package, "another program", model=package)
    (tmp_path / "weights.pth").write_bytes(b"\x80\x02}q\x00.")
    segment(image, tmp_path / "weights.pth", "never opened", model=tmp_path / "weights.pth")
    segment(image, image, "not a model package", model=image)


def test_a_model_whose_network_and_weights_do_not_fit(segment, image, package):
    change(package, network="unet")
    segment(image, package, "'unet'", "lightmunet", model=package)
    change(package, network="lightmunet", options={"init_filters": 16, "blocks_down": [1, 1], "blocks_up": [1]})
    segment(image, package, "do not fit", model=package)
    change(package, options={"wings": 2})
    segment(image, package, "wings", model=package)
    change(package, patch=[16, 16])
    segment(image, package / "configs" / "metadata.json", "patch", model=package)
