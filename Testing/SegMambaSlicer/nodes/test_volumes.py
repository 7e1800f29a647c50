"""Probabilities and uncertainty as volumes."""

import numpy as np
import pytest
from mrml_places import SHAPE
from SegMambaSlicerLib.nodes import volumes
from SegMambaSlicerLib.nodes.provenance import Provenance


@pytest.fixture
def maps():
    return np.random.default_rng(0).random((3, *SHAPE)).astype(np.float32)


def test_each_label_gets_a_volume_at_the_place_of_the_first_one(
    scene, make_volume, make_transform, metadata, maps, tmp_path
):
    import slicer.util

    tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    study = tree.CreateStudyItem(tree.GetSceneItemID(), "Study")
    reference = make_volume(name="MR", transform=make_transform(np.diag([1.0, -1, 1, 1])))
    tree.SetItemParent(tree.GetItemByDataNode(reference), study)
    np.save(tmp_path / "maps.npy", maps)
    found = volumes.place_probabilities(tmp_path / "maps.npy", metadata, reference, Provenance("tiny-model"))
    assert [node.GetName() for node in found] == ["MR probability of Front", "MR probability of Back part"]
    for node, values in zip(found, maps[1:], strict=True):
        assert np.array_equal(slicer.util.arrayFromVolume(node), values)
        assert slicer.util.arrayFromVolume(node).dtype == np.float32
        assert node.GetParentTransformNode() is reference.GetParentTransformNode()
        assert tree.GetItemParent(tree.GetItemByDataNode(node)) == study
        assert (node.GetDisplayNode().GetWindowLevelMin(), node.GetDisplayNode().GetWindowLevelMax()) == (0, 1)
        assert Provenance.read(node).model == "tiny-model"
        for row in range(4):
            for column in range(4):
                import vtk

                one, two = vtk.vtkMatrix4x4(), vtk.vtkMatrix4x4()
                node.GetIJKToRASMatrix(one)
                reference.GetIJKToRASMatrix(two)
                assert one.GetElement(row, column) == two.GetElement(row, column)
    (tmp_path / "maps.npy").unlink()  # nothing holds on to the file


def test_regions_have_no_background(make_volume, brats, maps):
    import slicer.util

    found = volumes.place_probabilities(maps, brats, make_volume())
    assert [node.GetAttribute(volumes.OUTPUT) for node in found] == [f"probability:{n}" for n in ("WT", "TC", "ET")]
    assert np.array_equal(slicer.util.arrayFromVolume(found[0]), maps[0])


def test_a_second_run_uses_the_volumes_again_but_not_those_of_another_volume_or_model(
    scene, make_volume, metadata, maps
):
    from dataclasses import replace

    import slicer.util

    reference, other = make_volume(name="one"), make_volume(name="two")
    first = volumes.place_uncertainty(maps[0], metadata, reference)
    assert volumes.place_uncertainty(maps[1], metadata, reference) is first
    assert np.array_equal(slicer.util.arrayFromVolume(first), maps[1])
    assert volumes.place_uncertainty(maps[1], metadata, other) is not first
    assert volumes.place_uncertainty(maps[1], replace(metadata, name="else"), reference) is not first
    assert np.array_equal(slicer.util.arrayFromVolume(first), maps[1])


def test_maps_that_do_not_fit_are_a_defect(make_volume, metadata, maps):
    with pytest.raises(ValueError, match="2 maps"):
        volumes.place_probabilities(maps[:2], metadata, make_volume())
    with pytest.raises(ValueError, match="do not lie on"):
        volumes.place_uncertainty(maps[0, 1:], metadata, make_volume())
