"""Taking back the last result: by the scene's undo where it is on (Slicer has it off), else by a copy kept here."""

from __future__ import annotations

from dataclasses import dataclass, field

import slicer
import vtk

_kept: dict[str, _Before] = {}


@dataclass
class _Before:
    """A segmentation node before the last result; ``segmentation`` None: there was no node."""

    node: vtk.vtkWeakReference
    segmentation: slicer.vtkSegmentation | None
    transform: str | None = None
    attributes: dict[str, str] = field(default_factory=dict)


def scene_keeps(node: slicer.vtkMRMLNode | None) -> bool:
    """Saves the scene's state as one step, if its undo is on; to be called before anything changes."""
    scene = slicer.mrmlScene
    if not scene.GetUndoFlag():
        return False
    if node is not None:
        _kept.pop(node.GetID(), None)  # the scene's own steps count from now on
        _enable(node)
    scene.SaveStateForUndo()
    return True


def remember(node: slicer.vtkMRMLSegmentationNode, is_new: bool = False) -> None:
    """Keeps the node as it is, as the state that :func:`undo` goes back to; one state a node."""
    weak = vtk.vtkWeakReference()
    weak.Set(node)
    before = _Before(weak, None)
    if not is_new:
        before.segmentation = slicer.vtkSegmentation()
        before.segmentation.DeepCopy(node.GetSegmentation())
        before.transform = node.GetTransformNodeID()
        before.attributes = attributes(node)
    forget_gone()
    _kept[node.GetID()] = before


def can_undo(node: slicer.vtkMRMLSegmentationNode | None) -> bool:
    """Whether :func:`undo` would do something."""
    before = _kept.get(node.GetID()) if node is not None else None
    return before is not None and before.node.Get() is node


def undo(node: slicer.vtkMRMLSegmentationNode) -> bool:
    """Puts the node back as it was before the last result; a node made for that result goes.

    Returns:
        Whether there was something to take back.
    """
    if not can_undo(node):
        return False
    before = _kept.pop(node.GetID())
    if before.segmentation is None:
        slicer.mrmlScene.RemoveNode(node)
        return True
    modified = node.StartModify()
    node.GetSegmentation().DeepCopy(before.segmentation)
    node.SetAndObserveTransformNodeID(before.transform)
    for name in attributes(node):
        if name not in before.attributes:
            node.RemoveAttribute(name)
    for name, value in before.attributes.items():
        node.SetAttribute(name, value)
    node.EndModify(modified)
    return True


def forget_gone() -> None:
    """Lets go of the states of nodes that are no more."""
    for key in [key for key, before in _kept.items() if before.node.Get() is None]:
        del _kept[key]


def attributes(node: slicer.vtkMRMLNode) -> dict[str, str]:
    """All attributes of a node."""
    return {name: node.GetAttribute(name) for name in node.GetAttributeNames()}


def _enable(node: slicer.vtkMRMLNode) -> None:
    node.SetUndoEnabled(True)
    display = node.GetDisplayNode() if hasattr(node, "GetDisplayNode") else None
    if display is not None:
        display.SetUndoEnabled(True)
