"""Grids: squared axes, displacement and singular matrices."""

import math

import numpy as np
import pytest
import SimpleITK as sitk

from segmamba.errors import UserError
from segmamba.grid import Grid, displacement, singular, squared

IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


def sheared(degrees: float, size=(10, 20, 30)) -> Grid:
    angle = math.radians(degrees)
    return Grid(size, (1.0, 2.0, 3.0), (4.0, 5.0, 6.0), (1, math.sin(angle), 0, 0, math.cos(angle), 0, 0, 0, 1))


def centre(grid: Grid) -> np.ndarray:
    return (grid.ijk_to_lps @ [*(np.subtract(grid.size, 1) / 2), 1])[:3]


def test_perpendicular_axes_are_left_alone_and_the_rounding_of_headers_too():
    for grid in (Grid((3, 4, 5), (1, 1, 1), (0, 0, 0), IDENTITY), sheared(0.004)):
        assert squared(grid, "a", said := []) is grid and said == []


def test_a_little_shear_is_squared_about_the_centre_with_a_warning():
    grid = sheared(0.3)
    fixed = squared(grid, "scan.nrrd", said := [])
    matrix = np.reshape(fixed.direction, (3, 3))
    assert np.allclose(matrix.T @ matrix, np.eye(3), atol=1e-12)
    assert np.allclose(centre(fixed), centre(grid)) and (fixed.size, fixed.spacing) == (grid.size, grid.spacing)
    assert len(said) == 1 and said[0].startswith("scan.nrrd: ") and "0.3 degrees" in said[0]


@pytest.mark.parametrize("grid", [sheared(3), sheared(0.6, (400, 400, 10))], ids=["steep", "long"])
def test_more_shear_is_refused(grid):
    with pytest.raises(UserError, match=r"a: its axes are not perpendicular.*resample"):
        squared(grid, "a", [])


def test_axes_in_one_plane_are_singular():
    assert singular(np.diag([1.0, 1.0, 0.0])) and singular(np.ones((3, 3))) and singular(np.full((3, 3), np.nan))
    assert not singular(np.diag([1e-3, 1.0, 1e3]))
    with pytest.raises(UserError, match="do not span space"):
        squared(Grid((3, 4, 5), (1, 1, 1), (0, 0, 0), (1, 0, 0, 1, 0, 0, 0, 0, 1)), "a")


def test_displacement_is_that_of_the_furthest_corner():
    one = np.eye(4)
    other = np.diag([1.1, 1.0, 1.0, 1.0])
    assert displacement((11, 5, 5), one, other) == pytest.approx(1.0)
    assert displacement((1, 5, 5), one, other) == 0


def test_rearranged_grids_hold_the_same_places():
    grid = Grid((3, 4, 5), (1.0, 2.0, 3.0), (10.0, 20.0, 30.0), IDENTITY)
    turned = grid.rearranged((2, 0, 1), (True, False, True))
    assert turned.size == (5, 3, 4) and turned.spacing == (3.0, 1.0, 2.0)
    assert np.allclose(turned.ijk_to_lps @ [1, 2, 0, 1], grid.ijk_to_lps @ [2, 3, 3, 1])
    assert grid.rearranged((0, 1, 2), (False,) * 3) is grid


def test_an_image_is_placed_to_the_bit():
    grid = Grid((3, 4, 5), (0.1, 1 / 3, 2.5), (-1 / 7, 20.0, 30.0), IDENTITY)
    image = grid.empty(sitk.sitkInt16)
    assert Grid.of(image) == grid and image.GetPixelID() == sitk.sitkInt16
    with pytest.raises(ValueError, match="2-D"):
        Grid.of(sitk.Image(2, 2, sitk.sitkUInt8))
