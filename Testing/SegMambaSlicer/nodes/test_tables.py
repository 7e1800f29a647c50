"""The table of volumes."""

import numpy as np
import pytest
from mrml_places import draw, placed
from SegMambaSlicerLib.nodes.segmentation import Result, place_result
from SegMambaSlicerLib.nodes.tables import place_table


def rows(table):
    return [[table.GetCellText(row, column) for column in range(4)] for row in range(table.GetNumberOfRows())]


def test_each_of_our_segments_has_a_row(scene, make_volume, metadata, labels):
    volume = make_volume(matrix=placed((1, 2, 2.5)))
    node = place_result(Result(labels), metadata, volume)
    draw(node, volume, "mine", np.ones(labels.shape, np.uint8) - (labels > 0))
    table = place_table(node)
    assert [table.GetColumnName(n) for n in range(4)] == ["Segment", "Voxels", "Volume [mL]", "Volume [cm3]"]
    found = rows(table)
    assert [row[:2] for row in found] == [["Front", "45"], ["Back part", "20"]]
    assert [float(row[2]) for row in found] == pytest.approx([45 * 5 / 1000, 20 * 5 / 1000])
    assert [row[2] for row in found] == [row[3] for row in found]


def test_volumes_of_regions_are_those_of_whole_regions(make_volume, brats, regions):
    table = place_table(place_result(Result(regions, regions), brats, make_volume()))
    assert [row[1] for row in rows(table)] == [str(int((regions >> bit & 1).sum())) for bit in range(3)]


def test_a_transform_that_scales_counts(make_volume, make_transform, metadata, labels):
    volume = make_volume(matrix=placed((1, 1, 1)), transform=make_transform(np.diag([2.0, 2, 2, 1])))
    table = place_table(place_result(Result(labels), metadata, volume))
    assert float(rows(table)[0][2]) == pytest.approx(45 * 8 / 1000)


def test_the_table_is_used_again_and_follows_an_edit(scene, make_volume, metadata, labels):
    volume = make_volume()
    node = place_result(Result(labels), metadata, volume)
    table = place_table(node)
    draw(node, volume, "SegMamba_tiny_model_Front", labels == 9)
    assert place_table(node) is table and scene.GetNumberOfNodesByClass("vtkMRMLTableNode") == 1
    assert [row[1] for row in rows(table)] == ["0", "20"]
