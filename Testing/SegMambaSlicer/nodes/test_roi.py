"""Markups ROIs as voxels."""

import numpy as np
import pytest
from mrml_places import GEOMETRIES, SHAPE, placed, rotation
from SegMambaSlicerLib.nodes import roi

from segmamba.errors import UserError


@pytest.fixture
def make_roi(scene):
    def make(centre, size, orientation=None, transform=None):
        import slicer.util

        node = scene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "box")
        node.SetSize(*size)
        matrix = np.eye(4) if orientation is None else orientation.copy()
        matrix[:3, 3] = centre
        node.SetAndObserveObjectToNodeMatrix(slicer.util.vtkMatrixFromArray(matrix))
        if transform is not None:
            node.SetAndObserveTransformNodeID(transform.GetID())
        return node

    return make


def voxel_box(matrix, ranges):
    """Centre in RAS and size in mm of a box along voxel edges."""
    low, high = np.array(ranges).T - 0.5
    return (matrix @ [*((low + high) / 2), 1])[:3], np.linalg.norm(matrix[:3, :3], axis=0) * (high - low)


RANGES = [[2, 7], [1, 6], [3, 5]]


@pytest.mark.parametrize("name", [n for n in GEOMETRIES if n != "permuted"])
def test_a_box_drawn_along_voxel_edges_gives_just_those_voxels(make_volume, make_roi, name):
    matrix = GEOMETRIES[name]
    centre, size = voxel_box(matrix, RANGES)
    axes = np.eye(4)
    axes[:3, :3] = matrix[:3, :3] / np.linalg.norm(matrix[:3, :3], axis=0)
    if np.linalg.det(axes) < 0:
        axes[:3, 0] *= -1  # a box is the same whichever way its axes point
    assert roi.voxel_ranges(make_roi(centre, size, axes), make_volume(matrix=matrix)) == RANGES


def test_the_ranges_are_those_that_the_command_line_finds(make_volume, make_roi, tmp_path):
    import slicer
    from SegMambaSlicerLib.nodes import geometry

    from segmamba.grid import Grid
    from segmamba.inference.roi import parse_roi

    volume = make_volume(np.zeros((30, 31, 32), np.int16), GEOMETRIES["oblique"])
    node = make_roi((-2, 35, -10), (9, 12, 17), rotation(25, 1))
    storage = slicer.vtkMRMLMarkupsROIJsonStorageNode()
    storage.SetFileName(str(tmp_path / "box.mrk.json"))
    assert storage.WriteData(node)
    origin, spacing, direction = geometry.lps_geometry(volume)
    expected = parse_roi(tmp_path / "box.mrk.json", Grid((32, 31, 30), spacing, origin, direction))
    assert roi.voxel_ranges(node, volume) == [list(pair) for pair in expected]


def test_transforms_of_the_roi_and_of_the_volume_count(make_volume, make_roi, make_transform):
    move = placed((1, 1, 1), (100, 50, 20), rotation(90, 2))
    centre, size = voxel_box(placed(), RANGES)
    volume = make_volume(matrix=placed(), transform=make_transform(move))
    with pytest.raises(UserError, match="ROI box lies outside volume volume"):
        roi.voxel_ranges(make_roi(centre, size), volume)
    assert roi.voxel_ranges(make_roi(centre, size, transform=make_transform(move)), volume) == RANGES
    turned = rotation(90, 2)
    assert roi.voxel_ranges(make_roi((move @ [*centre, 1])[:3], size, turned), volume) == RANGES
    volume.SetAndObserveTransformNodeID(None)
    back = make_transform(np.linalg.inv(move))
    assert roi.voxel_ranges(make_roi((move @ [*centre, 1])[:3], size, turned, back), volume) == RANGES


def test_a_turned_box_is_enclosed(make_volume, make_roi):
    volume = make_volume(np.zeros((40, 40, 40), np.int16), placed((1, 1, 1), (0, 0, 0)))
    # A square of 10 mm turned by 45 degrees reaches 7.07 mm to each side.
    found = roi.voxel_ranges(make_roi((20, 20, 20), (10, 10, 4), rotation(45, 2)), volume)
    assert found == [[13, 28], [13, 28], [18, 23]]


def test_a_bent_box_is_enclosed(make_volume, make_roi, make_bent):
    volume = make_volume(np.zeros((40, 40, 40), np.int16), placed((1, 1, 1), (-20, -20, -20)))
    straight = roi.voxel_ranges(make_roi((0, 0, 0), (10, 10, 10)), volume)
    bent = roi.voxel_ranges(make_roi((0, 0, 0), (10, 10, 10), transform=make_bent()), volume)
    assert bent[0][1] >= straight[0][1] + 2 and bent[1:] == straight[1:]


def test_a_box_that_reaches_out_is_clipped(make_volume, make_roi):
    volume = make_volume(matrix=placed((1, 1, 1), (0, 0, 0)))
    assert roi.voxel_ranges(make_roi((0, 0, 0), (500, 3, 3)), volume) == [[0, SHAPE[2]], [0, 2], [0, 2]]


def test_a_roi_without_a_box_is_refused(make_volume, scene):
    node = scene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "fresh")
    node.SetSize(0, 0, 0)
    with pytest.raises(UserError, match="fresh is empty"):
        roi.voxel_ranges(node, make_volume())
