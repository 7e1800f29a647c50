"""Volumes as files for the worker, and its results as arrays."""

import numpy as np
import pytest
from mrml_places import GEOMETRIES, SHAPE, placed, rotation
from SegMambaSlicerLib.nodes import exchange, geometry

from segmamba.errors import UserError


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64])
def test_voxels_pass_in_their_own_type_to_the_bit(make_volume, tmp_path, dtype):
    values = (np.random.default_rng(1).random(SHAPE) * 200).astype(dtype)
    volume = make_volume(values, name="MR head")
    image = exchange.write_volume(volume, tmp_path, 2)
    read = np.load(image["array"], allow_pickle=False)
    assert read.dtype == dtype and np.array_equal(read, values)
    assert image["name"] == "MR head"
    assert [p.name for p in tmp_path.iterdir()] == ["channel2.npy"]
    lps = geometry.lps_geometry(volume)
    assert (image["origin"], image["spacing"], image["direction"]) == tuple(map(list, lps))


def test_itk_puts_the_voxels_where_slicer_has_them(make_volume, make_transform, tmp_path):
    import SimpleITK as sitk

    volume = make_volume(transform=make_transform(placed((1, 1, 1), (4, -5, 6), rotation(40, 0))))
    given = exchange.write_volume(volume, tmp_path, 0)
    image = sitk.GetImageFromArray(np.load(given["array"]))
    image.SetOrigin(given["origin"])
    image.SetSpacing(given["spacing"])
    image.SetDirection(given["direction"])
    i, j, k = 3, 6, 5
    x, y, z = image.TransformIndexToPhysicalPoint((i, j, k))
    expected = geometry.ijk_to_world(volume) @ [i, j, k, 1]
    np.testing.assert_allclose((-x, -y, z), expected[:3], atol=1e-9)


def test_a_vector_volume_and_one_without_voxels_are_refused(make_volume, scene, tmp_path):
    colours = make_volume(np.zeros((*SHAPE, 3), np.uint8), name="photo", node_class="vtkMRMLVectorVolumeNode")
    with pytest.raises(UserError, match="photo holds 3 values in each voxel"):
        exchange.write_volume(colours, tmp_path, 0)
    with pytest.raises(UserError, match="nothing holds no image"):
        exchange.write_volume(scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "nothing"), tmp_path, 0)
    assert not list(tmp_path.iterdir())


def ramp(matrix, shape):
    """A linear function of the place in RAS, so that linear interpolation is exact."""
    ijk = np.argwhere(np.ones(shape, bool))[:, ::-1]
    points = np.c_[ijk, np.ones(len(ijk))] @ matrix.T
    return (points[:, 0] + 2 * points[:, 1] - 3 * points[:, 2]).reshape(shape).astype(np.float32)


def test_a_channel_under_a_sheared_transform_is_resampled_onto_the_first_volume(make_volume, make_transform, tmp_path):
    shear = np.eye(4)
    shear[0, 1] = 0.3
    first = make_volume(matrix=placed((1, 1, 1), (0, 0, 0)), name="first")
    big = (40, 40, 40)
    own = placed((1, 1, 1), (-15, -15, -15))
    second = make_volume(ramp(shear @ own, big), own, "second", make_transform(shear))
    with pytest.raises(UserError):
        exchange.write_volume(second, tmp_path, 1)
    image = exchange.write_volume(second, tmp_path, 1, first)
    # Its values are a function of the place in the world, hence those of that function at the first one's voxels.
    np.testing.assert_allclose(np.load(image["array"]), ramp(placed((1, 1, 1), (0, 0, 0)), SHAPE), atol=1e-4)
    assert image["origin"] == list(geometry.lps_geometry(first)[0])


def test_a_channel_under_a_bent_transform_is_resampled_through_it(make_volume, make_bent, tmp_path):
    first = make_volume(matrix=placed((1, 1, 1), (0, 0, -3)), name="first")
    own = placed((1, 1, 1), (-15, -15, -15))
    bent = make_bent()
    second = make_volume(ramp(own, (40, 40, 40)), own, "second", bent)
    read = np.load(exchange.write_volume(second, tmp_path, 1, first)["array"])
    # The voxel (4, 4, 3) lies at (4, 4, 0); the value there is the function before the transform.
    point = [0.0] * 3
    bent.GetTransformFromParent().TransformPoint((4.0, 4.0, 0.0), point)
    assert abs(point[0] - 4) > 1
    assert read[3, 4, 4] == pytest.approx(point[0] + 2 * point[1] - 3 * point[2], abs=1e-2)


def test_outside_of_a_resampled_channel_there_is_air(make_volume, make_transform, tmp_path):
    shear = np.eye(4)
    shear[0, 1] = 0.3
    first = make_volume(matrix=GEOMETRIES["straight"])
    far = make_volume(np.full(SHAPE, -900, np.int16), placed(origin=(500, 500, 500)), "far", make_transform(shear))
    assert np.unique(np.load(exchange.write_volume(far, tmp_path, 1, first)["array"])).tolist() == [-900]


def test_a_result_is_read_from_the_workers_message(tmp_path, labels, regions):
    np.save(tmp_path / "labels.npy", labels)
    np.save(tmp_path / "regions.npy", regions)
    done = {"labels": str(tmp_path / "labels.npy"), "regions": str(tmp_path / "regions.npy"), "voxels": {"WT": 3},
            "volumes_ml": {"WT": 0.5}}  # fmt: skip
    result = exchange.Result.load(done)
    assert np.array_equal(result.labels, labels) and np.array_equal(result.regions, regions)
    assert (result.voxels, result.volumes_ml) == ({"WT": 3}, {"WT": 0.5})
    assert exchange.Result.load({**done, "regions": None}).regions is None


def test_pickled_objects_are_never_read(tmp_path):
    np.save(tmp_path / "labels.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError):
        exchange.read_array(tmp_path / "labels.npy")
