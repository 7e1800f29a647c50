"""Volumes and transforms in the scene, and models' metadata without weights."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from mrml_places import CODES, GEOMETRIES, SHAPE, make_metadata

from segmamba.metadata import Label, Metadata


@pytest.fixture
def make_volume(scene: Any) -> Callable[..., Any]:
    """``make_volume(values, matrix, name, transform, node_class)`` adds a scalar volume to the scene."""
    import slicer.util

    def make(values=None, matrix=None, name="volume", transform=None, node_class="vtkMRMLScalarVolumeNode"):
        if values is None:
            values = np.random.default_rng(0).integers(0, 900, SHAPE).astype(np.int16)
        matrix = GEOMETRIES["oblique"] if matrix is None else matrix
        node = slicer.util.addVolumeFromArray(values, ijkToRAS=matrix, name=name, nodeClassName=node_class)
        if transform is not None:
            node.SetAndObserveTransformNodeID(transform.GetID())
        return node

    return make


@pytest.fixture
def make_transform(scene: Any) -> Callable[..., Any]:
    """``make_transform(matrix, parent)`` adds a linear transform."""
    import slicer.util

    def make(matrix, parent=None):
        node = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "transform")
        node.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(np.asarray(matrix, float)))
        if parent is not None:
            node.SetAndObserveTransformNodeID(parent.GetID())
        return node

    return make


@pytest.fixture
def make_bent(scene: Any) -> Callable[..., Any]:
    """``make_bent()`` adds a non-linear transform that moves points by up to 3 mm along R."""

    def make():
        import slicer
        import vtk

        source, target = vtk.vtkPoints(), vtk.vtkPoints()
        for x in (-60.0, 0.0, 60.0):
            for y in (-60.0, 0.0, 60.0):
                for z in (-60.0, 0.0, 60.0):
                    source.InsertNextPoint(x, y, z)
                    target.InsertNextPoint(x + (3.0 if z == 0 else 0.0), y, z)
        spline = vtk.vtkThinPlateSplineTransform()
        spline.SetSourceLandmarks(source)
        spline.SetTargetLandmarks(target)
        spline.SetBasisToR()
        node = scene.AddNewNodeByClass("vtkMRMLTransformNode", "bent")
        node.SetAndObserveTransformToParent(spline)
        assert isinstance(node, slicer.vtkMRMLTransformNode)
        return node

    return make


@pytest.fixture
def metadata() -> Metadata:
    """One channel, two labels, one of them coded."""
    return make_metadata()


@pytest.fixture
def brats() -> Metadata:
    """Four channels, regions that overlap."""
    return make_metadata(
        ("T1", "T1Gd", "T2", "FLAIR"),
        name="tumour",
        labels=(
            Label(2, "WT", (80, 200, 80), (1, 2, 3), CODES),
            Label(1, "TC", (220, 60, 60), (1, 3), CODES),
            Label(3, "ET", (240, 220, 60), (3,), CODES),
        ),
        regions=True,
    )


@pytest.fixture
def labels() -> np.ndarray:
    """A label map with two lopsided boxes."""
    values = np.zeros(SHAPE, np.uint8)
    values[1:4, 2:5, 3:8] = 1
    values[4:6, 2:7, 1:3] = 2
    return values


@pytest.fixture
def regions() -> np.ndarray:
    """A bitmask of three nested boxes."""
    values = np.zeros(SHAPE, np.uint8)
    values[1:6, 1:7, 1:8] |= 1
    values[2:5, 2:6, 2:7] |= 2
    values[3:4, 3:5, 4:6] |= 4
    return values
