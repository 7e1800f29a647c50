"""DICOM folders: real files, written with GDCM, in every order and with every fault that a series can have."""

import math
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from segmamba import dicom
from segmamba.errors import UserError
from segmamba.images import Grid, array, read_image

COSINE, SINE = math.cos(math.radians(20)), math.sin(math.radians(20))
ROW, COLUMN = np.array([1.0, 0, 0]), np.array([0, COSINE, SINE])
NORMAL = np.cross(ROW, COLUMN)
ORIGIN = np.array([-30.0, 12.5, 101.25])
SPACING = (0.8, 0.6, 2.5)  # i, j, k


def voxels(slices: int = 8) -> np.ndarray:
    return np.random.default_rng(3).integers(-900, 900, (slices, 20, 24)).astype(np.int16)


def write_series(
    folder: Path,
    values: np.ndarray,
    uid: str = "1.2.826.0.1.77",
    heights=None,
    step=None,
    description: str = "T1 brain",
    modality: str = "CT",
    names=lambda k: f"slice{k:03d}.dcm",
    slope=None,
    intercept=None,
    row=ROW,
    column=COLUMN,
    first: int = 0,
) -> list[Path]:
    """Write slices whose corner lies at ORIGIN + height * step (the plane's normal where not given)."""
    folder.mkdir(parents=True, exist_ok=True)
    heights = np.arange(len(values)) * SPACING[2] if heights is None else heights
    step = NORMAL if step is None else step
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    paths = []
    for k, plane in enumerate(values):
        position = ORIGIN + heights[k] * step
        image = sitk.GetImageFromArray(plane[None])
        image.SetSpacing(SPACING)
        tags = {
            "0008|0008": "ORIGINAL\\PRIMARY\\AXIAL",
            "0008|0018": f"{uid}.{first + k + 1}",
            "0008|0060": modality,
            "0008|103e": description,
            "0018|0050": "2.5",
            "0020|000d": "1.2.826.0.1.5",
            "0020|000e": uid,
            "0020|0013": str(k + 1),
            "0020|0032": "\\".join(f"{p:.10g}" for p in position),
            "0020|0037": "\\".join(f"{c:.10g}" for c in (*row, *column)),
        }
        if slope is not None:
            tags |= {"0028|1052": intercept, "0028|1053": slope}
        for tag, value in tags.items():
            image.SetMetaData(tag, value)
        paths.append(folder / names(first + k))
        writer.SetFileName(str(paths[-1]))
        writer.Execute(image)
    return paths


def refused(folder: Path, *words: str, series: str | None = None) -> None:
    with pytest.raises(UserError) as error:
        read_image(folder, series=series, warnings=[])
    message = str(error.value)
    assert "\n" not in message
    for word in (str(folder), *words):
        assert word in message, message


def test_an_oblique_series_keeps_its_place_and_its_voxels(tmp_path, capfd):
    write_series(tmp_path, voxels())
    image = read_image(tmp_path, warnings=(said := []))
    assert np.array_equal(array(image), voxels())
    direction = tuple(np.column_stack([ROW, COLUMN, NORMAL]).ravel())
    assert Grid.of(image).same_as(Grid((24, 20, 8), SPACING, tuple(ORIGIN), direction), 1e-6)
    assert said == [] and capfd.readouterr() == ("", "")


@pytest.mark.parametrize("order", [list(range(8))[::-1], [3, 1, 7, 0, 5, 2, 6, 4]])
def test_the_order_of_files_does_not_matter(tmp_path, order):
    write_series(tmp_path / "a", voxels())
    write_series(tmp_path / "b", voxels(), names=lambda k: f"IM{order[k]}.dcm")
    for path in list((tmp_path / "b").iterdir()):
        path.rename(path.with_suffix(""))  # scanners give no suffix
    (tmp_path / "b" / "notes.txt").write_text("no image")
    one, other = read_image(tmp_path / "a"), read_image(tmp_path / "b")
    assert np.array_equal(array(one), array(other)) and Grid.of(one) == Grid.of(other)


def test_slices_taken_downwards_give_the_same_volume(tmp_path):
    heights = np.arange(8)[::-1] * SPACING[2]
    write_series(tmp_path / "down", voxels()[::-1], heights=heights)
    write_series(tmp_path / "up", voxels())
    assert np.array_equal(array(read_image(tmp_path / "down")), array(read_image(tmp_path / "up")))


def test_itk_agrees_where_nothing_is_wrong(tmp_path):
    write_series(tmp_path, voxels())
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(tmp_path)))
    reference = reader.Execute()
    image = read_image(tmp_path)
    assert np.array_equal(array(image), array(reference))
    assert Grid.of(image).same_as(Grid.of(reference), 1e-5)


def test_every_slice_has_its_own_rescaling(tmp_path):
    stored = np.random.default_rng(0).integers(0, 30, (4, 20, 24)).astype(np.int16)
    paths = write_series(tmp_path, stored * 1000, slope="1000", intercept="0", modality="PT")
    # GDCM writes whole slopes only; those of PET are put into the files.
    slopes = ["1000", "0.25", "0.50", "12.5"]
    for path, slope in zip(paths, slopes, strict=True):
        data = path.read_bytes()
        tag = b"\x28\x00\x53\x10\x04\x00\x00\x00"
        assert data.count(tag + b"1000") == 1
        path.write_bytes(data.replace(tag + b"1000", tag + slope.encode()))
    image = array(read_image(tmp_path))
    for k, slope in enumerate(slopes):
        assert np.allclose(image[k], stored[k] * float(slope))


def test_ct_numbers_are_whole_and_negative(tmp_path):
    write_series(tmp_path, voxels(), slope="1", intercept="-1024")
    image = array(read_image(tmp_path))
    assert image.dtype.kind == "i" and np.array_equal(image, voxels())


def test_several_series_are_listed_until_one_is_chosen(tmp_path):
    write_series(tmp_path, voxels(), uid="1.2.3.1", description="T1 brain")
    write_series(tmp_path, voxels(5), uid="1.2.3.2", description="FLAIR", modality="MR", first=100)
    refused(tmp_path, "2 DICOM series", "1.2.3.1 (CT 'T1 brain', 8 slices)", "1.2.3.2 (MR 'FLAIR', 5 slices)")
    refused(tmp_path, "no series 9.9", "1.2.3.1", "1.2.3.2", series="9.9")
    assert read_image(tmp_path, series="1.2.3.2").GetSize() == (24, 20, 5)
    assert np.array_equal(array(read_image(tmp_path, series="1.2.3.1")), voxels())


def test_sub_folders_are_searched_where_the_folder_has_no_images(tmp_path):
    write_series(tmp_path / "study" / "series", voxels())
    (tmp_path / "readme.txt").write_text("a patient")
    assert read_image(tmp_path).GetSize() == (24, 20, 8)


def test_a_folder_without_dicom_is_refused(tmp_path):
    refused(tmp_path, "no DICOM")
    (tmp_path / "a.txt").write_text("text")
    (tmp_path / "b.nii.gz").write_bytes(b"")
    refused(tmp_path, "no DICOM")


@pytest.mark.parametrize("gone", [[3], [3, 4]])
def test_missing_slices_are_refused_with_their_place(tmp_path, gone):
    paths = write_series(tmp_path, voxels())
    for k in gone:
        paths[k].unlink()
    refused(tmp_path, f"about {len(gone)} slice(s) missing between slice002.dcm", f"{2.5 * (len(gone) + 1):g} mm apart")


def test_a_damaged_slice_is_named_and_its_gap_refused(tmp_path):
    paths = write_series(tmp_path, voxels())
    paths[3].write_bytes(paths[3].read_bytes()[:400])
    said: list[str] = []
    with pytest.raises(UserError, match="missing between"):
        read_image(tmp_path, warnings=said)
    assert "slice003.dcm" in said[0]


def test_uneven_slices_are_said_and_very_uneven_ones_refused(tmp_path):
    heights = np.arange(8) * 2.5
    write_series(tmp_path / "little", voxels(), heights=heights + 0.1 * (np.arange(8) % 3 == 1))
    image = read_image(tmp_path / "little", warnings=(said := []))
    assert len(said) == 1 and "2.4 to 2.6 mm apart" in said[0]
    assert image.GetSpacing()[2] == pytest.approx(2.5, abs=0.02)
    write_series(tmp_path / "much", voxels(), heights=heights + 0.6 * (np.arange(8) % 3 == 1))
    refused(tmp_path / "much", "evenly", "1.9")


def test_several_volumes_in_one_series_are_refused(tmp_path):
    write_series(tmp_path, voxels())
    write_series(tmp_path, voxels(), first=50)
    refused(tmp_path, "8 slice(s) lie where another one lies", "several volumes")


def test_second_copies_of_files_are_left_out(tmp_path):
    paths = write_series(tmp_path, voxels())
    (tmp_path / "copy.dcm").write_bytes(paths[2].read_bytes())
    image = read_image(tmp_path, warnings=(said := []))
    assert np.array_equal(array(image), voxels()) and "1 of the files" in said[0]


def test_slices_of_another_plane_or_size_are_refused(tmp_path):
    write_series(tmp_path / "plane", voxels(4))
    write_series(tmp_path / "plane", voxels(1), row=(0, 1, 0), column=(0, 0, -1), first=50)
    refused(tmp_path / "plane", "different planes")
    write_series(tmp_path / "size", voxels(4))
    write_series(tmp_path / "size", voxels(1)[:, :10], first=50, heights=[10.0])
    refused(tmp_path / "size", "differ in size")


def test_a_single_slice_is_a_volume_of_one(tmp_path):
    paths = write_series(tmp_path, voxels(1))
    image = read_image(tmp_path, warnings=(said := []))
    assert image.GetSize() == (24, 20, 1) and image.GetSpacing()[2] == 2.5 and "single slice" in said[0]
    read_image(paths[0], warnings=(said := []))
    assert "one slice of a DICOM series" in said[0]


def test_a_multi_frame_file_is_a_volume(tmp_path):
    image = sitk.GetImageFromArray(voxels())
    image.SetSpacing(SPACING)
    image.SetOrigin(ORIGIN)
    image.SetMetaData("0008|0060", "MR")
    sitk.WriteImage(image, str(tmp_path / "frames.dcm"))
    for path in (tmp_path, tmp_path / "frames.dcm"):
        back = read_image(path, warnings=(said := []))
        assert np.array_equal(array(back), voxels()) and Grid.of(back).same_as(Grid.of(image), 1e-4)
        assert len(said) == 1 and "frames.dcm" in said[0] and "not checked" in said[0]


def test_a_tilted_gantry_is_straightened_in_place(tmp_path):
    """A field that is linear in space must hold its value at every place, wherever slices were shifted to."""
    slices, tilt = 16, math.radians(15)
    step = math.cos(tilt) * NORMAL + math.sin(tilt) * COLUMN
    gap = SPACING[2] / math.cos(tilt)
    k, j, i = np.meshgrid(np.arange(slices), np.arange(20), np.arange(24), indexing="ij")
    places = ORIGIN + i[..., None] * SPACING[0] * ROW + j[..., None] * SPACING[1] * COLUMN + k[..., None] * gap * step
    slope = np.array([5.0, -11.0, 7.0])
    write_series(tmp_path, np.rint(places @ slope).astype(np.int16), heights=np.arange(slices) * gap, step=step)
    image = read_image(tmp_path, warnings=(said := []))
    assert len(said) == 1 and "tilted by 15.0 degrees" in said[0]
    grid = Grid.of(image)
    assert np.allclose(grid.spacing, SPACING, atol=1e-6)
    direction = np.reshape(grid.direction, (3, 3))
    assert np.allclose(direction.T @ direction, np.eye(3), atol=1e-9)
    # All slices fit in: 15 steps of 2.5 mm * tan(15 degrees) are 16.7 pixels along j.
    assert grid.size == (24, 20 + 17, 16)
    found = array(image).astype(float)
    k, j, i = np.meshgrid(*(np.arange(n) for n in grid.size[::-1]), indexing="ij")
    world = np.einsum("ab,bkji->kjia", grid.ijk_to_lps, np.stack([i, j, k, np.ones_like(i)]))[..., :3]
    row = ((world - ORIGIN) @ COLUMN - k * SPACING[2] * math.tan(tilt)) / SPACING[1]
    inside = (row >= 0) & (row <= 19)
    assert inside.sum() >= 16 * 19 * 24
    assert np.abs(found - world @ slope)[inside].max() <= 1.01  # rounded twice


def test_sub_folders_are_searched_so_far_and_no_further(tmp_path, monkeypatch):
    write_series(tmp_path / "a" / "b" / "c" / "d" / "e", voxels())
    refused(tmp_path, "no DICOM")
    assert read_image(tmp_path / "a").GetSize() == (24, 20, 8)
    (tmp_path / "a" / "loop").symlink_to(tmp_path, target_is_directory=True)
    refused(tmp_path, "no DICOM")
    monkeypatch.setattr(dicom, "MOST_FILES", 7)
    refused(tmp_path / "a", "more than 7 files")
    # A folder that holds the series itself may hold as many slices as it has.
    assert read_image(tmp_path / "a" / "b" / "c" / "d" / "e").GetSize() == (24, 20, 8)


@pytest.fixture
def unprivileged():
    """A folder of a user who may not do everything, as whom the test runs."""
    if os.name == "nt":
        pytest.skip("permissions of Unix")
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o777)
        user = os.geteuid()
        if user == 0:
            os.seteuid(65534)
        try:
            yield Path(name)
        finally:
            os.seteuid(user)


def test_what_may_not_be_opened_is_named(unprivileged):
    paths = write_series(unprivileged / "closed", voxels(3))
    (unprivileged / "closed").chmod(0o000)
    try:
        refused(unprivileged / "closed", "cannot be opened", "permissions")
        with pytest.raises(UserError, match="no such file"):
            read_image(paths[0])
        with pytest.raises(UserError, match="no DICOM"):
            read_image(unprivileged, warnings=(said := []))
        assert len(said) == 1 and "closed" in said[0]
    finally:
        (unprivileged / "closed").chmod(0o755)
    paths[1].chmod(0o000)
    refused(unprivileged / "closed", "slice001.dcm", "cannot be opened")
