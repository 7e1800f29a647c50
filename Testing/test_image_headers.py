"""Broken headers and damaged files, made by hand: refused or said, never read in silence."""

import gzip
import math
import struct
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from segmamba.errors import UserError
from segmamba.images import Grid, array, from_array, read_image, read_placed


def nifti(path: Path, *patches: tuple[int, str, tuple]) -> Path:
    """A straight NIfTI image whose header is overwritten at byte offsets; gzip where the name says so."""
    plain = path.with_name("patched.nii")
    image = from_array(
        np.arange(6 * 5 * 4, dtype=np.int16).reshape(4, 5, 6),
        Grid((6, 5, 4), (1, 2, 3), (5, 6, 7), (1, 0, 0, 0, 1, 0, 0, 0, 1)),
    )
    sitk.WriteImage(image, str(plain))
    data = bytearray(plain.read_bytes())
    plain.unlink()
    for offset, form, values in patches:
        struct.pack_into("<" + form, data, offset, *values)
    path.write_bytes(gzip.compress(bytes(data)) if path.suffix == ".gz" else data)
    return path


PIXDIM, CODES_AT, QUATERNION, SROW, SLOPE, DIM, DATATYPE = 80, 252, 256, 280, 112, 40, 70


def nrrd(
    path: Path, directions="(1,0,0) (0,2,0) (0,0,3)", sizes="6 5 4", space="left-posterior-superior", extra=""
) -> Path:
    count = math.prod(int(s) for s in sizes.split())
    lines = ["NRRD0004", "type: short", f"dimension: {len(sizes.split())}"]
    lines += [f"space: {space}"] if space else []
    lines += [f"sizes: {sizes}"]
    lines += [f"space directions: {directions}"] if directions else []
    lines += ["endian: little", "encoding: raw", *extra.splitlines()]
    path.write_bytes("\n".join(lines).encode() + b"\n\n" + np.arange(count, dtype="<i2").tobytes())
    return path


def mha(path: Path, spacing="1 2 3", matrix="1 0 0 0 1 0 0 0 1", size="6 5 4", keep: int | None = None) -> Path:
    data = np.arange(120, dtype="<i2").tobytes()[:keep]
    path.write_bytes(
        "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\n"
        f"TransformMatrix = {matrix}\n"
        f"Offset = 5 6 7\nElementSpacing = {spacing}\nDimSize = {size}\nElementType = MET_SHORT\n"
        "ElementDataFile = LOCAL\n".encode()
        + data
    )
    return path


def refused(path, *words: str, **options) -> str:
    with pytest.raises(UserError) as error:
        read_image(path, **options)
    message = str(error.value)
    assert "\n" not in message
    for word in (str(path), *words):
        assert word in message
    return message


@pytest.mark.parametrize("slope", [None, math.nan])
@pytest.mark.parametrize("case", ["001", "003"])
def test_a_slope_that_is_no_number_leaves_the_raw_values(reference_data, tmp_path, case, slope):
    path = reference_data / f"data/hippocampus/imagesTr/hippocampus_{case}.nii.gz"
    raw = bytearray(gzip.decompress(path.read_bytes()))
    if slope is not None:
        struct.pack_into("<2f", raw, SLOPE, slope, slope)
        path = tmp_path / "nan.nii.gz"
        path.write_bytes(gzip.compress(bytes(raw)))
    types = {2: np.uint8, 4: np.int16, 16: np.float32}
    offset = int(struct.unpack_from("<f", raw, 108)[0])
    stored = np.frombuffer(raw, types[struct.unpack_from("<h", raw, DATATYPE)[0]], offset=offset)
    image = read_image(path, warnings=(said := []))
    assert np.array_equal(array(image).ravel(), stored)
    assert array(image).dtype == stored.dtype
    assert said == []


def test_scaled_nifti_gives_scaled_values(tmp_path):
    image = read_image(nifti(tmp_path / "a.nii", (SLOPE, "2f", (2.0, 5.0))))
    assert np.array_equal(array(image).ravel(), 2 * np.arange(120) + 5)


NAN = math.nan


@pytest.mark.parametrize(
    "patches, words",
    [
        ([(PIXDIM, "f", (0.0,))], "spacing"),
        ([(PIXDIM, "f", (-1.0,))], "spacing"),
        ([(PIXDIM + 8, "f", (NAN,))], "spacing"),
        ([(SROW, "4f", (0, 0, 0, 0))], "singular"),
        ([(SROW, "4f", (0, 0, 0, 0)), (CODES_AT, "h", (0,))], "singular"),
        ([(SROW, "8f", (1, 0, 0, 0, 1, 0, 0, 0)), (CODES_AT, "h", (0,))], "singular"),
        ([(SROW, "4f", (NAN, 0, 0, 0))], "singular"),
        ([(SROW + 12, "f", (NAN,))], "not a number"),
        ([(QUATERNION, "3f", (NAN, 0, 0)), (CODES_AT + 2, "h", (0,))], "qform"),
        ([(DIM + 2, "h", (0,))], "no voxels"),
        ([(DIM + 6, "h", (-4,))], "no voxels"),
        ([(DIM + 2, "3h", (3000, 3000, 3000))], "cut short"),
    ],
)
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_nifti_headers_that_place_nothing_are_refused(tmp_path, capfd, patches, words, name):
    refused(nifti(tmp_path / name, *patches), words)
    assert capfd.readouterr().err == ""


def test_sheared_sform_is_squared_with_a_warning_or_refused(tmp_path):
    no_qform = (CODES_AT, "h", (0,))
    slight = nifti(tmp_path / "slight.nii.gz", (SROW, "4f", (-1, 0.006, 0, -5)), no_qform)
    image = read_image(slight, warnings=(said := []))
    assert len(said) == 1 and "perpendicular" in said[0] and str(slight) in said[0]
    direction = np.reshape(image.GetDirection(), (3, 3))
    assert np.allclose(direction.T @ direction, np.eye(3), atol=1e-6)
    assert np.array_equal(array(image).ravel(), np.arange(120))
    # The centre stays: index (2.5, 2, 1.5) under the sheared matrix, in LPS.
    centre = image.TransformContinuousIndexToPhysicalPoint((2.5, 2.0, 1.5))
    assert np.allclose(centre, (2.5 - 0.006 * 2 + 5, 2 * 2 + 6, 1.5 * 3 + 7), atol=1e-5)
    refused(nifti(tmp_path / "tilted.nii", (SROW, "4f", (-1, 0, 0.6, -5)), no_qform), "perpendicular", "resample")


def test_nifti_with_two_placements_or_none_is_said(tmp_path):
    path = nifti(tmp_path / "two.nii", (SROW + 12, "f", (-25.0,)), (CODES_AT + 2, "h", (4,)))
    image = read_image(path, warnings=(said := []))
    assert "20 mm" in said[0] and "qform was used" in said[0] and image.GetOrigin()[0] == 5
    path = nifti(tmp_path / "scanner.nii", (SROW + 12, "f", (-25.0,)))
    image = read_image(path, warnings=(said := []))
    assert "sform was used" in said[0] and image.GetOrigin()[0] == 25
    path = nifti(tmp_path / "spacing.nii", (SROW, "f", (-0.5,)), (CODES_AT, "h", (0,)))
    image = read_image(path, warnings=(said := []))
    assert "1 x 2 x 3 mm (pixdim) and 0.5 x 2 x 3 mm (sform)" in said[0] and image.GetSpacing() == (1, 2, 3)
    read_image(nifti(tmp_path / "none.nii", (CODES_AT, "2h", (0, 0))), warnings=(said := []))
    assert "does not say how the image lies" in said[0]
    read_image(nifti(tmp_path / "fine.nii"), warnings=(said := []))
    assert said == []


@pytest.mark.parametrize(
    "options, words",
    [
        ({"directions": "(0,0,0) (0,2,0) (0,0,3)"}, "space directions"),
        ({"directions": "(1,0,0) (1,0,0) (0,0,3)"}, "space directions"),
        ({"directions": "(nan,0,0) (0,2,0) (0,0,3)"}, "space directions"),
        ({"directions": "(1,0.3,0) (0,2,0) (0,0,3)"}, "perpendicular"),
        ({"directions": None, "space": None, "extra": "spacings: 0 1 1"}, "spacing"),
        ({"directions": None, "space": None, "extra": "spacings: nan 1 1"}, "spacing"),
        ({"directions": None, "space": None, "extra": "spacings: -1 1 1"}, "spacing"),
        ({"sizes": "6 5 0"}, "no voxels"),
        ({"directions": "(1,0,0) (0,2,0) (0,0,3) none", "sizes": "6 5 4 3"}, "3"),
    ],
)
def test_nrrd_headers_that_place_nothing_are_refused(tmp_path, capfd, options, words):
    refused(nrrd(tmp_path / "a.nrrd", **options), words)
    assert capfd.readouterr().err == ""


def test_nrrd_in_ras_lies_in_lps_and_without_a_space_it_is_said(tmp_path):
    image = read_image(nrrd(tmp_path / "ras.nrrd", space="right-anterior-superior"), warnings=(said := []))
    assert Grid.of(image).orientation == "RAS" and said == []
    read_image(nrrd(tmp_path / "bare.nrrd", directions=None, space=None, extra="spacings: 1 2 3"), warnings=said)
    assert "does not say how the image lies" in said[0]


@pytest.mark.parametrize(
    "options, words",
    [
        ({"spacing": "0 2 3"}, "spacing"),
        ({"spacing": "-1 2 3"}, "spacing"),
        ({"spacing": "nan 2 3"}, "spacing"),
        ({"matrix": "0 0 0 0 1 0 0 0 1"}, "singular"),
        ({"matrix": "1 0 0 1 0 0 0 0 1"}, "singular"),
        ({"matrix": "1 0.3 0 0 1 0 0 0 1"}, "perpendicular"),
        ({"size": "6 5 0"}, "no voxels"),
        ({"keep": 17}, "cut short"),
    ],
)
def test_mha_headers_that_place_nothing_are_refused(tmp_path, capfd, options, words):
    refused(mha(tmp_path / "a.mha", **options), words)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
@pytest.mark.parametrize("at", [0.2, 0.5, 0.8, 0.999, "cut"])
def test_damaged_compressed_files_are_refused(tmp_path, capfd, suffix, at):
    path = tmp_path / f"a{suffix}"
    noise = np.random.default_rng(0).normal(size=(20, 30, 40)).astype(np.float32)
    sitk.WriteImage(sitk.GetImageFromArray(noise), str(path), True)
    read_image(path)
    data = bytearray(path.read_bytes())
    if at == "cut":
        data = data[: len(data) // 2]
    else:
        place = int(len(data) * at)
        data[place] ^= 0x55
        data[place + 1] ^= 0xFF
    path.write_bytes(data)
    refused(path, "damaged")
    assert capfd.readouterr().err == ""


def test_several_gzip_streams_in_one_file_are_read(tmp_path):
    path = nifti(tmp_path / "a.nii")
    data = path.read_bytes()
    (tmp_path / "b.nii.gz").write_bytes(gzip.compress(data[:400]) + gzip.compress(data[400:]))
    assert np.array_equal(array(read_image(tmp_path / "b.nii.gz")), array(read_image(path)))


def test_nifti_2_is_refused_by_name(tmp_path):
    header = bytearray(544)
    struct.pack_into("<i8s", header, 0, 540, b"n+2\0\r\n\x1a\n")
    (tmp_path / "two.nii").write_bytes(header)
    refused(tmp_path / "two.nii", "NIfTI-2", "convert")


def test_the_stored_grid_of_a_sheared_file_is_kept_to_the_bit(tmp_path):
    shear = math.radians(0.3)
    matrix = f"1 0 0 {math.sin(shear)!r} {math.cos(shear)!r} 0 0 0 1"
    path = mha(tmp_path / "a.mha", matrix=matrix)
    image, stored = read_placed(path, warnings=(said := []))
    assert stored == Grid.of(sitk.ReadImage(str(path))) and len(said) == 1
    assert Grid.of(image) != stored and Grid.of(image) == Grid.of(read_image(path, warnings=[]))
    straight = nrrd(tmp_path / "b.nrrd")
    image, stored = read_placed(straight)
    assert stored == Grid.of(image)
    # ITK does not read this one; the grid is that of the header.
    path = nifti(tmp_path / "c.nii", (SROW, "4f", (-1, 0.006, 0, -5)), (CODES_AT, "h", (0,)))
    image, stored = read_placed(path, warnings=[])
    assert np.allclose(stored.ijk_to_ras[0], (-1, 0.006, 0, -5)) and not Grid.of(image).same_as(stored)
