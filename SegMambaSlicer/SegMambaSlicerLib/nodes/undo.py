"""Taking back the last result, and bringing it again: by the scene's undo where it is on (Slicer has it off), else by a
copy kept here."""

from __future__ import annotations

from dataclasses import dataclass, field

import slicer
import vtk

from segmamba.errors import UserError

from . import edited, labelmaps
from .looks import Looks, looks_of
from .text import _

_kept: dict[str, _Kept] = {}


class ChangedSince(UserError):
    """Somebody worked on the segmentation since the state that would be left."""

    def __init__(self, node: slicer.vtkMRMLSegmentationNode):
        super().__init__(
            _("Segmentation {node} was changed since its last result, and these changes would be lost.").format(
                node=node.GetName())
        )  # fmt: skip


@dataclass
class _State:
    """What a segmentation node holds."""

    segmentation: slicer.vtkSegmentation
    transform: str | None
    reference: str | None
    attributes: dict[str, str]
    looks: dict[str, Looks]

    @classmethod
    def of(cls, node: slicer.vtkMRMLSegmentationNode) -> _State:
        segmentation = slicer.vtkSegmentation()
        segmentation.DeepCopy(node.GetSegmentation())
        reference = node.GetNodeReferenceID(node.GetReferenceImageGeometryReferenceRole())
        return cls(segmentation, node.GetTransformNodeID(), reference, attributes(node), looks_of(node))

    def restore(self, node: slicer.vtkMRMLSegmentationNode) -> None:
        """Names, colours and display of segments that were there and are there stay as the user has them now."""
        looks = {**self.looks, **looks_of(node)}
        modified = node.StartModify()
        node.GetSegmentation().DeepCopy(self.segmentation)
        node.SetAndObserveTransformNodeID(self.transform)
        node.SetNodeReferenceID(node.GetReferenceImageGeometryReferenceRole(), self.reference)
        for name in attributes(node):
            if name not in self.attributes:
                node.RemoveAttribute(name)
        for name, value in self.attributes.items():
            node.SetAttribute(name, value)
        node.EndModify(modified)
        for segment_id in node.GetSegmentation().GetSegmentIDs():
            looks[segment_id].give_names(node.GetSegmentation().GetSegment(segment_id))
            looks[segment_id].give_display(node, segment_id)


@dataclass
class _Kept:
    """The state to go to (None: there was no node), what the node held when it was left to the user, and the way."""

    node: vtk.vtkWeakReference
    state: _State | None
    left: tuple = field(default=())
    again: bool = False


def scene_keeps(node: slicer.vtkMRMLNode | None) -> bool:
    """Saves the scene's state as one step, if its undo is on; to be called before anything changes."""
    scene = slicer.mrmlScene
    if not scene.GetUndoFlag():
        return False
    if node is not None:
        forget(node)  # the scene's own steps count from now on
        _enable(node)
    scene.SaveStateForUndo()
    return True


def remember(node: slicer.vtkMRMLSegmentationNode, is_new: bool = False) -> None:
    """Keeps the node as it is, as the state that :func:`undo` goes back to; one state a node."""
    weak = vtk.vtkWeakReference()
    weak.Set(node)
    forget_gone()
    _kept[node.GetID()] = _Kept(weak, None if is_new else _State.of(node))


def leave(node: slicer.vtkMRMLSegmentationNode) -> None:
    """The result is in the node: what changes from now on is the user's work."""
    kept = _of(node)
    if kept is not None:
        kept.left = _content(node)


def can_undo(node: slicer.vtkMRMLSegmentationNode | None) -> bool:
    """Whether :func:`undo` would do something."""
    kept = _of(node)
    return kept is not None and not kept.again


def can_redo(node: slicer.vtkMRMLSegmentationNode | None) -> bool:
    """Whether :func:`redo` would do something."""
    kept = _of(node)
    return kept is not None and kept.again


def undo(node: slicer.vtkMRMLSegmentationNode, force: bool = False) -> bool:
    """Puts the node back as it was before the last result; a node made for that result goes.

    Args:
        node: a segmentation.
        force: also where the user has worked on it since; that is lost.

    Returns:
        Whether there was something to take back.

    Raises:
        ChangedSince: the user has; nothing was changed.
    """
    return can_undo(node) and _swap(node, force)


def redo(node: slicer.vtkMRMLSegmentationNode, force: bool = False) -> bool:
    """Brings the result again that :func:`undo` took back; the same arguments and errors."""
    return can_redo(node) and _swap(node, force)


def _swap(node: slicer.vtkMRMLSegmentationNode, force: bool) -> bool:
    kept = _of(node)
    if not force and kept.left and kept.left != _content(node):
        raise ChangedSince(node)
    if kept.state is None:
        forget(node)
        slicer.mrmlScene.RemoveNode(node)
        return True
    now = _State.of(node)
    kept.state.restore(node)
    kept.state, kept.again = now, not kept.again
    leave(node)
    return True


def forget(node: slicer.vtkMRMLSegmentationNode) -> None:
    """Lets go of what was kept of a node."""
    _kept.pop(node.GetID(), None)


def forget_gone() -> None:
    """Lets go of the states of nodes that are no more."""
    for key in [key for key, kept in _kept.items() if kept.node.Get() is None]:
        del _kept[key]


def attributes(node: slicer.vtkMRMLNode) -> dict[str, str]:
    """All attributes of a node."""
    return {name: node.GetAttribute(name) for name in node.GetAttributeNames()}


def _of(node: slicer.vtkMRMLSegmentationNode | None) -> _Kept | None:
    kept = _kept.get(node.GetID()) if node is not None else None
    return kept if kept is not None and kept.node.Get() is node else None


def _content(node: slicer.vtkMRMLSegmentationNode) -> tuple:
    """The transform, and each segment's id and voxels, or when the surface changed of one that has no voxels."""
    found: list = [node.GetTransformNodeID()]
    for segment_id in node.GetSegmentation().GetSegmentIDs():
        segment = node.GetSegmentation().GetSegment(segment_id)
        surface = segment.GetRepresentation(labelmaps.closed_surface())
        if surface is not None and segment.GetRepresentation(labelmaps.binary_labelmap()) is None:
            found.append((segment_id, surface.GetMTime()))
        else:
            found.append((segment_id, edited.fingerprint(segment)))
    return tuple(found)


def _enable(node: slicer.vtkMRMLNode) -> None:
    node.SetUndoEnabled(True)
    display = node.GetDisplayNode() if hasattr(node, "GetDisplayNode") else None
    if display is not None:
        display.SetUndoEnabled(True)
