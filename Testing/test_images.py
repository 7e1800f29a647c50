"""Volumes: reading real and broken files, geometry kept to the bit, nothing half-written."""

import itertools
import math
import os
import struct
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from segmamba.errors import UserError
from segmamba.images import (
    Grid,
    array,
    check_image,
    check_output,
    check_values,
    finite,
    from_array,
    grid_with_spacing,
    like,
    orient,
    read_image,
    resample,
    write_image,
)

CODES = [
    "".join(letters) for axes in itertools.permutations(("LR", "PA", "SI")) for letters in itertools.product(*axes)
]


def rotation(degrees: tuple[float, float, float]) -> np.ndarray:
    x, y, z = np.radians(degrees)
    about_x = [[1, 0, 0], [0, math.cos(x), -math.sin(x)], [0, math.sin(x), math.cos(x)]]
    about_y = [[math.cos(y), 0, math.sin(y)], [0, 1, 0], [-math.sin(y), 0, math.cos(y)]]
    about_z = [[math.cos(z), -math.sin(z), 0], [math.sin(z), math.cos(z), 0], [0, 0, 1]]
    return np.array(about_z) @ about_y @ about_x


def volume(size=(7, 6, 5), degrees=(11.1, -20.2, 33.3), dtype=np.int16, flip=(1, 1, 1)) -> sitk.Image:
    """Every voxel of another value, on an oblique anisotropic grid."""
    direction = rotation(degrees) * np.array(flip)
    grid = Grid(size, (0.7, 1.3, 1 / 3), (-12.345678, 100 / 7, 33.1), tuple(direction.ravel().tolist()))
    return from_array(np.arange(math.prod(size)).reshape(size[::-1]).astype(dtype), grid)


def place_of(image: sitk.Image, value: float) -> np.ndarray:
    k, j, i = np.argwhere(array(image) == value)[0]
    return np.array(image.TransformIndexToPhysicalPoint([int(i), int(j), int(k)]))


def refused(path, *words: str, **options) -> str:
    with pytest.raises(UserError) as error:
        read_image(path, **options)
    message = str(error.value)
    assert "\n" not in message
    for word in (str(path), *words):
        assert word in message
    return message


# Reading


@pytest.mark.parametrize(
    "name, orientation",
    [
        ("spinal_cord_small/t2.nii.gz", None),
        ("spinal_cord_small/t2s.nii.gz", None),
        ("nrrd_cases/brain1_image.nrrd", "LAS"),
        ("nrrd_cases/breast1_image.nrrd", None),
        ("ms_lesions_case/ms_19_0000.nii.gz", None),
        ("spleen_crop/spleen2_ct.nii.gz", None),
    ],
)
def test_real_volumes_are_read_as_itk_reads_them(reference_data, name, orientation):
    path = reference_data / "data" / name
    image = read_image(path)
    assert Grid.of(image) == Grid.of(sitk.ReadImage(str(path)))
    assert orientation in (None, Grid.of(image).orientation)


def test_every_real_hippocampus_passes_the_checks(reference_data):
    paths = sorted((reference_data / "data/hippocampus/labelsTr").glob("*.nii.gz"))[:40]
    assert all(read_image(p).GetDimension() == 3 for p in paths)


def test_missing_file_empty_file_and_no_image_are_refused(tmp_path, capfd):
    refused(tmp_path / "none.nii.gz", "no such file")
    (tmp_path / "empty.nii.gz").touch()
    refused(tmp_path / "empty.nii.gz", "empty")
    for name in ("junk.nii", "junk.nii.gz", "junk.nrrd", "junk.mha", "junk.txt", "junk.dcm"):
        (tmp_path / name).write_bytes(b"this is a letter" * 60)
        refused(tmp_path / name, "not an image")
    refused(tmp_path / "junk.txt", "DICOM folder only", series="1.2.3")
    assert capfd.readouterr() == ("", "")


def test_images_that_are_no_3d_scalar_volume_are_refused(tmp_path):
    plane = np.arange(30, dtype=np.uint8).reshape(5, 6)
    sitk.WriteImage(sitk.GetImageFromArray(plane), str(tmp_path / "plane.png"))
    refused(tmp_path / "plane.png", "2D")
    sitk.WriteImage(sitk.GetImageFromArray(plane), str(tmp_path / "plane.nii"))
    refused(tmp_path / "plane.nii", "2D")
    colours = sitk.GetImageFromArray(np.zeros((4, 5, 6, 3), np.uint8), isVector=True)
    for name in ("rgb.nii.gz", "rgb.nrrd", "rgb.mha"):
        sitk.WriteImage(colours, str(tmp_path / name))
        refused(tmp_path / name, "3")
    times = sitk.GetImageFromArray(np.zeros((7, 4, 5, 6), np.int16), isVector=False)
    for name in ("times.nii.gz", "times.nrrd", "times.mha"):
        sitk.WriteImage(times, str(tmp_path / name))
        refused(tmp_path / name, "7 volumes")
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((4, 5, 6), np.complex64)), str(tmp_path / "complex.nii"))
    refused(tmp_path / "complex.nii", "complex")


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_4d_with_a_last_axis_of_one_is_3d(tmp_path, suffix):
    values = np.arange(120, dtype=np.int16).reshape(1, 4, 5, 6)
    sitk.WriteImage(sitk.GetImageFromArray(values, isVector=False), str(tmp_path / f"a{suffix}"))
    assert np.array_equal(array(read_image(tmp_path / f"a{suffix}")), values[0])


def test_a_single_slice_of_a_3d_image_is_read(tmp_path):
    write_image(volume((7, 6, 1)), tmp_path / "slice.nii.gz")
    assert read_image(tmp_path / "slice.nii.gz").GetSize() == (7, 6, 1)


# Images in memory


def test_check_image_refuses_what_places_nothing():
    bad = volume()
    bad.SetSpacing((math.nan, 1, 1))
    with pytest.raises(UserError, match="node: the spacing"):
        check_image(bad, "node")
    bad = volume()
    bad.SetOrigin((math.inf, 1, 1))
    with pytest.raises(UserError, match="node: the origin"):
        check_image(bad, "node")
    with pytest.raises(UserError, match="no voxels"):
        check_image(sitk.Image([5, 5, 0], sitk.sitkUInt8), "node")
    with pytest.raises(UserError, match="got list"):
        check_image([1, 2], "node")
    sheared = volume(degrees=(0, 0, 0))
    sheared.SetDirection((1, 0.2, 0, 0, 1, 0, 0, 0, 1))
    with pytest.raises(UserError, match="perpendicular"):
        check_image(sheared, "node")


def test_check_image_leaves_a_good_image_alone_and_does_not_change_the_callers():
    image = volume()
    said = []
    assert check_image(image, "node", said) is image and said == []
    slight = volume(degrees=(0, 0, 0))
    slight.SetDirection((1, 0.004, 0, 0, 1, 0, 0, 0, 1))
    before = Grid.of(slight)
    fixed = check_image(slight, "node", said)
    assert len(said) == 1 and Grid.of(slight) == before != Grid.of(fixed)


# Geometry


def test_no_orientation_that_is_written_is_read_with_a_warning(tmp_path):
    straight = volume((300, 3, 2), degrees=(0, 0, 0))
    for code in CODES:
        write_image(orient(straight, code), tmp_path / "a.nii")
        assert Grid.of(read_image(tmp_path / "a.nii", warnings=(said := []))).orientation == code and said == []


def test_matrices_agree_with_itk_and_ras_turns_the_first_two_axes():
    image = volume()
    grid = Grid.of(image)
    expected = image.TransformIndexToPhysicalPoint((3, 2, 1))
    assert np.allclose(grid.ijk_to_lps @ [3, 2, 1, 1], [*expected, 1])
    assert np.allclose(grid.ijk_to_ras @ [3, 2, 1, 1], [-expected[0], -expected[1], expected[2], 1])
    assert Grid.from_ijk_to_ras(grid.size, grid.ijk_to_ras).same_as(grid, 1e-9)


@pytest.mark.parametrize("degrees", [(0, 0, 0), (11.1, -20.2, 33.3), (80, 10, -130)])
@pytest.mark.parametrize("flip", [(1, 1, 1), (-1, 1, 1)])
def test_orienting_is_exact_and_like_undoes_it_to_the_bit(degrees, flip):
    image = volume(degrees=degrees, flip=flip)
    grid = Grid.of(image)
    for code in CODES:
        turned = orient(image, code)
        assert Grid.of(turned).orientation == code
        reference = sitk.DICOMOrient(image, code)
        assert np.array_equal(array(turned), array(reference))
        assert Grid.of(turned).same_as(Grid.of(reference), 1e-9)
        for value in (0, 17, 209):
            assert np.allclose(place_of(turned, value), place_of(image, value))
        back = like(turned, grid)
        assert Grid.of(back) == grid
        assert np.array_equal(array(back), array(image))


def test_real_permuted_volume_is_oriented_and_comes_back(reference_data):
    image = read_image(reference_data / "data/spinal_cord_small/t2.nii.gz")
    assert Grid.of(image).orientation != "LPS"
    turned = orient(image, "LPS")
    assert np.all(np.diag(np.reshape(turned.GetDirection(), (3, 3))) > 0.7)
    assert Grid.of(like(turned, Grid.of(image))) == Grid.of(image)


def test_like_refuses_another_grid():
    with pytest.raises(ValueError):
        like(volume(), Grid.of(volume(size=(7, 6, 4))))
    moved = volume()
    moved.SetOrigin((0, 0, 0))
    with pytest.raises(ValueError):
        like(moved, Grid.of(volume()))


@pytest.mark.parametrize("code", ["LP", "LLS", "XYZ", "lps", "LPSR", None])
def test_unknown_orientations_are_refused(code):
    with pytest.raises(UserError, match="unknown"):
        orient(volume(), code)


def test_same_as_measures_the_furthest_corner():
    grid = Grid.of(volume(degrees=(0, 0, 0)))
    x, y, z = grid.origin
    assert grid.same_as(Grid(grid.size, grid.spacing, (x + 1e-4, y, z), grid.direction))
    assert not grid.same_as(Grid(grid.size, grid.spacing, (x + 1e-2, y, z), grid.direction))
    assert not grid.same_as(Grid(grid.size, (0.701, 1.3, 1 / 3), grid.origin, grid.direction))
    assert not grid.same_as(Grid((7, 6, 4), grid.spacing, grid.origin, grid.direction))


@pytest.mark.parametrize("spacing", [(0.35, 0.65, 1 / 6), (1.4, 2.6, 2 / 3), (1, 1, 1), (100, 100, 100)])
def test_another_spacing_covers_the_same_extent_about_the_same_centre(spacing):
    grid = Grid.of(volume((70, 61, 50)))
    new = grid_with_spacing(grid, spacing)
    extent = np.multiply(grid.size, grid.spacing)
    assert new.spacing == spacing
    assert new.size == tuple(max(1, round(e / s)) for e, s in zip(extent, spacing, strict=True))
    centres = [g.ijk_to_lps @ [*((np.array(g.size) - 1) / 2), 1] for g in (grid, new)]
    assert np.allclose(*centres)
    assert new.direction == grid.direction


def test_the_same_spacing_is_the_same_grid_and_a_bad_one_is_refused():
    grid = Grid.of(volume())
    assert grid_with_spacing(grid, grid.spacing) == grid
    for bad in ((0, 1, 1), (1, math.nan, 1), (1, 1)):
        with pytest.raises(UserError, match="spacing"):
            grid_with_spacing(grid, bad)


def test_resampling_a_linear_field_is_exact_inside_and_outside_is_filled():
    grid = Grid.of(volume((20, 18, 16)))
    k, j, i = np.meshgrid(*(np.arange(n) for n in grid.size[::-1]), indexing="ij")
    places = np.einsum("ab,bkji->akji", grid.ijk_to_lps, np.stack([i, j, k, np.ones_like(i)]))
    image = from_array((places[0] + 2 * places[1] - places[2]).astype(np.float32), grid)
    fine = grid_with_spacing(grid, (0.5, 1.0, 0.25))
    result = array(resample(image, fine))[2:-2, 2:-2, 2:-2]
    k, j, i = np.meshgrid(*(np.arange(n) for n in fine.size[::-1]), indexing="ij")
    places = np.einsum("ab,bkji->akji", fine.ijk_to_lps, np.stack([i, j, k, np.ones_like(i)]))
    expected = (places[0] + 2 * places[1] - places[2])[2:-2, 2:-2, 2:-2]
    assert np.allclose(result, expected, atol=1e-3)
    far = Grid(fine.size, fine.spacing, (1e4, 0, 0), fine.direction)
    assert np.all(array(resample(image, far, outside=-1000.0)) == -1000)


def test_resampling_to_another_spacing_leaves_no_voxel_outside():
    image = volume((9, 8, 7))
    image = from_array(np.full((7, 8, 9), 5, np.int16), Grid.of(image))
    for spacing in ((0.3, 0.4, 0.11), (1.1, 1.9, 0.5), (50, 50, 50)):
        assert np.all(array(resample(image, grid_with_spacing(image, spacing), outside=-9)) == 5)


def test_nearest_keeps_the_type_and_the_same_grid_keeps_the_voxels():
    labels = volume(dtype=np.uint8)
    coarse = resample(labels, grid_with_spacing(labels, (1, 1, 1)), linear=False)
    assert coarse.GetPixelID() == sitk.sitkUInt8 and set(np.unique(array(coarse))) <= set(range(210))
    same = resample(labels, Grid.of(labels))
    assert same.GetPixelID() == sitk.sitkFloat32 and np.array_equal(array(same), array(labels))


def test_arrays_survive_their_image_and_booleans_become_bytes():
    values = array(volume())
    assert values.flags.writeable and values[4, 5, 6] == 209
    grid = Grid((2, 3, 4), (1, 1, 1), (0, 0, 0), (1, 0, 0, 0, 1, 0, 0, 0, 1))
    assert from_array(np.ones((4, 3, 2), bool), grid).GetPixelID() == sitk.sitkUInt8
    assert from_array(np.ones((4, 3, 2), np.float16), grid).GetPixelID() == sitk.sitkFloat32
    channels = np.arange(48).reshape(2, 4, 3, 2)
    image = from_array(channels, grid)
    assert image.GetNumberOfComponentsPerPixel() == 2 and image[1, 2, 3] == (23, 47)
    assert np.array_equal(array(grid.empty()), np.zeros((4, 3, 2), np.uint8))
    with pytest.raises(ValueError):
        from_array(np.zeros((2, 3, 4)), grid)


# Values


def test_nan_and_infinity_take_the_smallest_finite_value_and_are_counted():
    values = np.array([[[-3.0, np.nan, np.inf, 4.0]]], np.float32)
    fixed = finite(values, "ct.nii", said := [])
    assert fixed.tolist() == [[[-3, -3, -3, 4]]] and fixed.dtype == np.float32
    assert "ct.nii: 2 voxels of 4" in said[0] and np.isnan(values[0, 0, 1])
    whole = np.arange(8).reshape(2, 2, 2)
    assert finite(whole, "a", said) is whole and len(said) == 1
    with pytest.raises(UserError, match=r"ct\.nii: no voxel"):
        finite(np.full((2, 2, 2), np.nan), "ct.nii")


def test_blank_volumes_are_refused():
    for blank in (np.zeros((2, 2, 2)), np.full((2, 2, 2), 7, np.int16), np.array([[[3.0, np.nan]]])):
        with pytest.raises(UserError, match=r"ct\.nii: the image is blank"):
            check_values(blank, "ct.nii", [])
    good = np.arange(8.0).reshape(2, 2, 2)
    assert check_values(good, "a") is good


# Writing


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha", ".NII.GZ"])
@pytest.mark.parametrize("flip", [(1, 1, 1), (1, 1, -1)])
def test_written_geometry_and_voxels_come_back(tmp_path, suffix, flip):
    image = volume(flip=flip)
    write_image(image, tmp_path / f"a{suffix}")
    back = read_image(tmp_path / f"a{suffix}", warnings=(said := []))
    assert said == []
    assert np.array_equal(array(back), array(image)) and back.GetPixelID() == image.GetPixelID()
    tolerance = 1e-5 if "nii" in suffix.lower() else 1e-13
    for part in ("size", "spacing", "origin", "direction"):
        assert np.allclose(getattr(Grid.of(back), part), getattr(Grid.of(image), part), rtol=tolerance, atol=tolerance)
    assert [p.name for p in tmp_path.iterdir()] == [f"a{suffix}"]


def test_nifti_holds_the_placement_in_both_forms(tmp_path):
    write_image(volume(), tmp_path / "a.nii")
    qform, sform = struct.unpack_from("<2h", (tmp_path / "a.nii").read_bytes(), 252)
    assert qform > 0 and sform > 0


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_masks_are_compressed(tmp_path, suffix):
    write_image(sitk.Image([50, 50, 50], sitk.sitkUInt16), tmp_path / f"a{suffix}")
    assert (tmp_path / f"a{suffix}").stat().st_size < 2000


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.nii.gz"
    write_image(volume(), path)
    before = path.read_bytes()
    with pytest.raises(UserError, match="could not be written"):
        write_image(sitk.Image([2, 2, 2], sitk.sitkLabelUInt8), path)
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["a.nii.gz"]


def test_outputs_that_cannot_be_written_are_refused_at_once(tmp_path):
    for name in ("a.jpg", "a", "a.nii.zip", ".nii.gz"):
        with pytest.raises(UserError, match=r"\.nii\.gz.*\.seg\.nrrd"):
            check_output(tmp_path / name)
    with pytest.raises(UserError, match="does not exist"):
        check_output(tmp_path / "none" / "a.nii.gz")
    with pytest.raises(UserError, match="is a folder"):
        check_output(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="not a folder"):
        check_output(tmp_path / "file" / "a.nrrd")
    assert check_output(str(tmp_path / "a.seg.nrrd")) == tmp_path / "a.seg.nrrd"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder that nobody may write to")
def test_a_folder_that_cannot_be_written_to_is_refused():
    with pytest.raises(UserError, match="cannot be written to"):
        check_output(Path("/proc/self/a.nii.gz"))


def test_written_files_follow_the_umask(tmp_path):
    write_image(volume(), tmp_path / "a.nrrd")
    mask = os.umask(0)
    os.umask(mask)
    assert (tmp_path / "a.nrrd").stat().st_mode & 0o777 == 0o666 & ~mask


@pytest.mark.parametrize("suffix", [".nii", ".nrrd", ".mha"])
def test_axes_not_quite_perpendicular_are_kept_or_squared_about_the_centre(tmp_path, suffix):
    image = volume(degrees=(0, 0, 0))
    image.SetDirection((1, math.sin(0.005), 0, 0, math.cos(0.005), 0, 0, 0, 1))
    before = Grid.of(image)
    write_image(image, tmp_path / f"a{suffix}")
    back = Grid.of(sitk.ReadImage(str(tmp_path / f"a{suffix}")))
    assert Grid.of(image) == before
    if suffix == ".nii":  # which ITK writes with perpendicular axes alone
        assert Grid.of(check_image(image, "node", [])).same_as(back) and not back.same_as(before)
    else:
        assert back.same_as(before, 1e-9)
