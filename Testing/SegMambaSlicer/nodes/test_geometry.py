"""Where volumes lie: exact without a transform, composed under linear ones, refused where it is no image geometry."""

import numpy as np
import pytest
from mrml_places import GEOMETRIES, SHAPE, placed, rotation, volume_points
from SegMambaSlicerLib.nodes import geometry

from segmamba.errors import UserError


def itk_points(lps, shape=SHAPE):
    """World RAS of all voxel centres as ITK places them."""
    origin, spacing, direction = lps
    ijk = np.argwhere(np.ones(shape, bool))[:, ::-1]
    points = origin + (ijk * spacing) @ np.reshape(direction, (3, 3)).T
    return points * [-1, -1, 1]


@pytest.mark.parametrize("name", GEOMETRIES)
def test_every_voxel_of_a_volume_lies_where_itk_would_place_it(make_volume, name):
    volume = make_volume(matrix=GEOMETRIES[name])
    expected = volume_points(volume, np.ones(SHAPE, bool))
    np.testing.assert_allclose(itk_points(geometry.lps_geometry(volume)), expected, atol=1e-10)


def test_without_a_transform_the_nodes_own_numbers_are_kept_to_the_bit(make_volume):
    volume = make_volume(matrix=GEOMETRIES["oblique"])
    origin, spacing, direction = geometry.lps_geometry(volume)
    columns = [[0.0] * 3 for _ in range(3)]
    volume.GetIJKToRASDirections(columns)
    assert spacing == volume.GetSpacing()
    assert (-origin[0], -origin[1], origin[2]) == volume.GetOrigin()
    assert (np.reshape(direction, (3, 3)) * [[-1], [-1], [1]]).tolist() == columns


@pytest.mark.parametrize("name", GEOMETRIES)
def test_linear_transforms_above_each_other_are_composed(make_volume, make_transform, name):
    outer = make_transform(placed((1, 1, 1), (3, -70, 12), rotation(33, 1)))
    inner = make_transform(placed((1, 1, 1), (5, 6, 7), rotation(-65, 2), flipped=(0,)), outer)
    volume = make_volume(matrix=GEOMETRIES[name], transform=inner)
    lps = geometry.lps_geometry(volume)
    np.testing.assert_allclose(itk_points(lps), volume_points(volume, np.ones(SHAPE, bool)), atol=1e-9)
    direction = np.reshape(lps[2], (3, 3))
    np.testing.assert_allclose(direction.T @ direction, np.eye(3), atol=1e-12)


def test_a_transform_that_scales_changes_the_spacing(make_volume, make_transform):
    volume = make_volume(matrix=placed((1, 2, 3)), transform=make_transform(np.diag([2.0, 2, 2, 1])))
    assert geometry.lps_geometry(volume)[1] == pytest.approx((2, 4, 6))


def test_a_sheared_transform_is_refused_by_name(make_volume, make_transform):
    shear = np.eye(4)
    shear[0, 1] = 0.2
    volume = make_volume(name="T2 bent", transform=make_transform(shear))
    with pytest.raises(UserError, match=r"T2 bent are not perpendicular .* resample it"):
        geometry.lps_geometry(volume)


def test_scaling_along_a_turned_axis_counts_as_shear(make_volume, make_transform):
    volume = make_volume(matrix=placed(turned=rotation(30, 2)), transform=make_transform(np.diag([1.5, 1, 1, 1])))
    with pytest.raises(geometry.UnsuitableTransform):
        geometry.lps_geometry(volume)


def test_rounding_of_a_registration_counts_as_no_shear(make_volume, make_transform):
    matrix = rotation(10, 0)
    matrix[0, 1] += 1e-5
    geometry.lps_geometry(make_volume(transform=make_transform(matrix)))


def test_a_flat_transform_is_refused(make_volume, make_transform):
    volume = make_volume(transform=make_transform(np.diag([1.0, 1, 0, 1])))
    with pytest.raises(UserError, match="do not span space"):
        geometry.lps_geometry(volume)


def test_a_transform_that_is_not_linear_is_refused_with_what_to_do(make_volume, make_bent):
    with pytest.raises(UserError, match="volume is under the transform bent, which is not linear: harden"):
        geometry.lps_geometry(make_volume(transform=make_bent()))


def test_grids_are_the_same_wherever_their_numbers_come_from(make_volume, make_transform):
    moved = make_transform(placed((1, 1, 1), (5, 6, 7), rotation(30, 2)))
    one = make_volume(name="one", matrix=GEOMETRIES["oblique"])
    under = make_volume(name="under", matrix=np.linalg.inv(placed((1, 1, 1), (5, 6, 7), rotation(30, 2)))
                        @ GEOMETRIES["oblique"], transform=moved)  # fmt: skip
    assert geometry.same_grid(one, under)
    under.SetAndObserveTransformNodeID(None)
    assert not geometry.same_grid(one, under)
    assert not geometry.same_grid(one, make_volume(np.zeros((3, 3, 3), np.int16), GEOMETRIES["oblique"]))
