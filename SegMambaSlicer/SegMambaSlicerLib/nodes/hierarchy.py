"""Places in the subject hierarchy: what we make lies beside the volume that it was made from, in the same study."""

from __future__ import annotations

import slicer
import vtk


def tree() -> slicer.vtkMRMLSubjectHierarchyNode:
    """The scene's subject hierarchy."""
    return slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)


def item_of(node: slicer.vtkMRMLNode) -> int:
    """The node's item; one is made where the application has not."""
    found = tree()
    return found.GetItemByDataNode(node) or found.CreateItem(found.GetSceneItemID(), node)


def study_of(node: slicer.vtkMRMLNode) -> int:
    """The item of the study that the node lies in, or 0."""
    return study_of_item(tree().GetItemByDataNode(node))


def study_of_item(item: int) -> int:
    """The study that an item is or lies in, or 0."""
    if not item:
        return 0
    level = slicer.vtkMRMLSubjectHierarchyConstants.GetDICOMLevelStudy()
    found = tree()
    return item if found.IsItemLevel(item, level) else found.GetItemAncestorAtLevel(item, level)


def place_beside(node: slicer.vtkMRMLNode, reference: slicer.vtkMRMLNode) -> None:
    """Moves a node to where the reference lies."""
    found = tree()
    parent = found.GetItemParent(item_of(reference))
    item = item_of(node)
    if parent and found.GetItemParent(item) != parent:
        found.SetItemParent(item, parent)


def nodes_below(item: int, of_class: str) -> list[slicer.vtkMRMLNode]:
    """Nodes of a class under an item, and that of the item itself, in the tree's order."""
    found = tree()
    children = vtk.vtkIdList()
    found.GetItemChildren(item, children, True)
    items = [item, *(children.GetId(n) for n in range(children.GetNumberOfIds()))]
    nodes = [found.GetItemDataNode(i) for i in items if i != found.GetSceneItemID()]
    return [node for node in nodes if node is not None and node.IsA(of_class)]
