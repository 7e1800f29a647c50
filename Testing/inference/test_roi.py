"""The region of interest from text and from Slicer's markups files."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from segmamba.errors import UserError
from segmamba.grid import Grid
from segmamba.inference.roi import parse_roi

sys.path.insert(0, str(Path(__file__).parent))
from small import rotation

GRID = Grid((20, 30, 40), (1.0, 2.0, 0.5), (10.0, -20.0, 30.0), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))


def markups(path, **changes):
    roi = {
        "type": "ROI",
        "coordinateSystem": "LPS",
        "coordinateUnits": "mm",
        "roiType": "Box",
        "center": [14.5, -1.0, 35.0],
        "size": [4.0, 8.0, 2.0],
        "orientation": [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
    }
    document = {"@schema": "https://raw.githubusercontent.com/slicer/...", "markups": [roi | changes]}
    path.write_text(json.dumps(document))
    return path


def test_text_is_half_open_voxels_of_the_first_image():
    assert parse_roi("1:5,0:30,7:40", GRID) == ((1, 5), (0, 30), (7, 40))
    assert parse_roi(" 1:5, 0:30 ,7:40", GRID) == ((1, 5), (0, 30), (7, 40))
    assert parse_roi(((1, 5), (0, 30), (7, 40)), GRID) == ((1, 5), (0, 30), (7, 40))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("1:5,2:6", "malformed"),
        ("1:5,2:6,3", "malformed"),
        ("1:5,2:6,3:4:5", "malformed"),
        ("1:,2:6,3:4", "malformed"),
        ("5:5,2:6,3:4", "empty along i"),
        ("1:5,9:6,3:4", "empty along j"),
        ("1:5,2:6,3:41", r"outside the first image along k \(3:41\); its voxels there are 0:40"),
        ("-1:5,2:6,3:4", "outside the first image along i"),
        ("one:two", "neither voxels nor a markups file"),
        ("nowhere.mrk.json", "no such file"),
    ],
)
def test_wrong_text_is_refused_in_words(text, problem):
    with pytest.raises(UserError, match=problem):
        parse_roi(text, GRID)


def test_a_slicer_box_gives_the_voxels_that_bound_it(tmp_path):
    # i: 12.5 to 16.5 mm are voxel edges 2.5 and 6.5; j: edges 7.5 and 11.5; k: 34 to 36 mm are 8 to 12.
    assert parse_roi(markups(tmp_path / "r.mrk.json"), GRID) == ((3, 7), (8, 12), (8, 13))
    assert parse_roi(str(tmp_path / "r.mrk.json"), GRID) == ((3, 7), (8, 12), (8, 13))


def test_a_box_in_ras_is_the_same_box(tmp_path):
    axes = [-1, 0, 0, 0, -1, 0, 0, 0, 1]
    path = markups(tmp_path / "r.mrk.json", coordinateSystem="RAS", center=[-14.5, 1.0, 35.0], orientation=axes)
    assert parse_roi(path, GRID) == ((3, 7), (8, 12), (8, 13))


def test_a_turned_box_on_an_oblique_grid_bounds_every_point_of_it(tmp_path):
    turn, axes = rotation(), rotation((40, 5, -25))
    grid = Grid((40, 44, 48), (0.9, 1.1, 1.3), (3.0, 4.0, 5.0), tuple(turn.ravel().tolist()))
    centre = (grid.ijk_to_lps @ [20, 21, 22, 1])[:3]
    size = np.array([8.0, 12.0, 5.0])
    path = markups(
        tmp_path / "r.mrk.json", center=centre.tolist(), size=size.tolist(), orientation=axes.ravel().tolist()
    )
    box = np.array(parse_roi(path, grid))
    points = centre + (np.random.default_rng(0).uniform(-0.5, 0.5, (20000, 3)) * size) @ axes.T
    image = grid.empty(sitk.sitkUInt8)
    voxels = np.array([image.TransformPhysicalPointToContinuousIndex(p.tolist()) for p in points])
    found = np.stack([np.floor(voxels.min(0) + 0.5), np.ceil(voxels.max(0) + 0.5)], axis=1)
    assert np.all(box[:, 0] <= found[:, 0]) and np.all(box[:, 1] >= found[:, 1])
    assert np.all(np.abs(box - found) <= 1)


def test_a_box_that_reaches_out_is_clipped_and_one_outside_is_refused(tmp_path):
    assert parse_roi(markups(tmp_path / "r.mrk.json", size=[400.0, 8.0, 2.0]), GRID)[0] == (0, 20)
    with pytest.raises(UserError, match="outside the first image"):
        parse_roi(markups(tmp_path / "r.mrk.json", center=[200.0, 0.0, 30.0]), GRID)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"center": [1, 2]}, "center"),
        ({"size": [1, 2, "x"]}, "size"),
        ({"size": [1, 0, 2]}, "empty"),
        ({"orientation": [1, 0, 0]}, "orientation"),
        ({"coordinateSystem": "XYZ"}, "coordinateSystem"),
        ({"type": "Fiducial"}, "0 ROIs"),
        ({"roiType": "Sphere"}, "Sphere"),
    ],
)
def test_a_markups_file_that_is_no_box_is_refused(tmp_path, changes, problem):
    with pytest.raises(UserError, match=problem):
        parse_roi(markups(tmp_path / "r.mrk.json", **changes), GRID)


def test_a_damaged_markups_file_is_refused(tmp_path):
    path = tmp_path / "r.mrk.json"
    path.write_text("{")
    with pytest.raises(UserError, match=r"r\.mrk\.json is no JSON"):
        parse_roi(path, GRID)
