"""Probabilities and uncertainty as scalar volumes beside the volume that they were computed from."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import slicer
import slicer.util
import vtk

from segmamba.metadata import Metadata

from . import exchange, geometry, hierarchy
from .provenance import Provenance
from .text import _

#: Attribute of what we computed: ``probability:<label>`` or ``uncertainty``; such volumes are never picked as input.
OUTPUT = "SegMamba.Output"
SOURCE_ROLE = "SegMamba.Source"


def place_probabilities(
    probabilities: str | os.PathLike | np.ndarray,
    metadata: Metadata,
    reference: slicer.vtkMRMLVolumeNode,
    provenance: Provenance | None = None,
    nodes: Sequence[slicer.vtkMRMLScalarVolumeNode] = (),
) -> list[slicer.vtkMRMLScalarVolumeNode]:
    """One volume for each label, 0 to 1; the background gets none.

    Args:
        probabilities: (classes, k, j, i) float32, or the .npy file with them, of which one class at a time is read.
        metadata: of the model.
        reference: the first volume of the case.
        provenance: written on each node.
        nodes: to use, one for each label; those that are no longer in the scene are made anew.

    Returns:
        Volumes in the model's order.  Those of an earlier run of the model on this volume are used again.
    """
    values = probabilities
    if not isinstance(values, np.ndarray):
        values = exchange.read_array(values, mapped=True)
    first = 0 if metadata.regions else 1
    if len(values) != len(metadata.labels) + first:
        raise ValueError(f"{len(values)} maps of probabilities for {len(metadata.labels)} labels")
    return [
        _place(
            values[first + n],
            f"probability:{label.name}",
            _("{volume} probability of {label}").format(volume=reference.GetName(), label=label.name),
            metadata,
            reference,
            provenance,
            nodes[n] if n < len(nodes) else None,
        )
        for n, label in enumerate(metadata.labels)
    ]


def place_uncertainty(
    uncertainty: str | os.PathLike | np.ndarray,
    metadata: Metadata,
    reference: slicer.vtkMRMLVolumeNode,
    provenance: Provenance | None = None,
    node: slicer.vtkMRMLScalarVolumeNode | None = None,
) -> slicer.vtkMRMLScalarVolumeNode:
    """The normalised entropy, 0 to 1; arguments as of :func:`place_probabilities`, (k, j, i)."""
    values = uncertainty
    if not isinstance(values, np.ndarray):
        values = exchange.read_array(values, mapped=True)
    title = _("{volume} uncertainty").format(volume=reference.GetName())
    return _place(values, "uncertainty", title, metadata, reference, provenance, node)


def is_output(volume: slicer.vtkMRMLNode) -> bool:
    """Whether we computed the volume."""
    return bool(volume.GetAttribute(OUTPUT))


def _place(
    values: np.ndarray,
    kind: str,
    title: str,
    metadata: Metadata,
    reference: slicer.vtkMRMLVolumeNode,
    provenance: Provenance | None,
    node: slicer.vtkMRMLScalarVolumeNode | None,
) -> slicer.vtkMRMLScalarVolumeNode:
    if values.shape != tuple(reversed(geometry.size(reference))):
        raise ValueError(f"values of shape {values.shape} do not lie on volume {reference.GetName()}")
    marks = {OUTPUT: kind, "SegMamba.Model": metadata.name}
    if node is None or node.GetScene() is None:
        node = _earlier(marks, reference)
    if node is None:
        name = slicer.mrmlScene.GenerateUniqueName(title)
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    slicer.util.updateVolumeFromArray(node, np.asarray(values, np.float32))
    matrix = vtk.vtkMatrix4x4()
    reference.GetIJKToRASMatrix(matrix)
    node.SetIJKToRASMatrix(matrix)
    node.SetAndObserveTransformNodeID(reference.GetTransformNodeID())
    node.SetNodeReferenceID(SOURCE_ROLE, reference.GetID())
    if provenance is not None:
        provenance.write(node)
    for key, value in marks.items():
        node.SetAttribute(key, value)
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetAutoWindowLevel(False)
    display.SetWindowLevelMinMax(0.0, 1.0)
    hierarchy.place_beside(node, reference)
    return node


def _earlier(marks: dict[str, str], reference: slicer.vtkMRMLVolumeNode) -> slicer.vtkMRMLScalarVolumeNode | None:
    for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode"):
        same = all(node.GetAttribute(key) == value for key, value in marks.items())
        if same and node.GetNodeReferenceID(SOURCE_ROLE) == reference.GetID():
            return node
    return None
