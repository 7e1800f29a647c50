"""Subject-hierarchy items: the application makes them as nodes come and removes them as nodes go; so does this."""

from __future__ import annotations

from typing import Any

# Class -> the plugin that would own the item in Slicer; the first that fits is taken.
_OWNERS = {
    "vtkMRMLSegmentationNode": "Segmentations",
    "vtkMRMLLabelMapVolumeNode": "LabelMaps",
    "vtkMRMLVolumeNode": "Volumes",
    "vtkMRMLMarkupsNode": "Markups",
    "vtkMRMLModelNode": "Models",
    "vtkMRMLTransformNode": "Transforms",
    "vtkMRMLTableNode": "Tables",
    "vtkMRMLTextNode": "Texts",
    "vtkMRMLSequenceBrowserNode": "Default",
    "vtkMRMLSequenceNode": "Default",
}


def follow(scene: Any) -> None:
    """Keeps items in step with the nodes of `scene` from now on."""
    import slicer
    import vtk

    def add(node: Any) -> None:
        owner = next((owner for name, owner in _OWNERS.items() if node.IsA(name)), None)
        # Hidden nodes get none; while a scene is read, its own hierarchy node brings the items.
        if owner is None or node.GetHideFromEditors() or scene.IsImporting() or scene.IsRestoring():
            return
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
        if hierarchy is not None and not hierarchy.GetItemByDataNode(node):
            item = hierarchy.CreateItem(hierarchy.GetSceneItemID(), node)
            hierarchy.SetItemOwnerPluginName(item, owner)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def added(_scene: Any, _event: str, node: Any) -> None:
        add(node)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def leaves(_scene: Any, _event: str, node: Any) -> None:
        if scene.IsClosing() or not any(node.IsA(name) for name in _OWNERS):
            return
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
        item = hierarchy.GetItemByDataNode(node) if hierarchy is not None else 0
        if item:
            hierarchy.RemoveItem(item, False, False)

    def imported(*_arguments: Any) -> None:
        # A scene whose file has no hierarchy, or not of all nodes.
        for index in range(scene.GetNumberOfNodes()):
            add(scene.GetNthNode(index))

    scene.AddObserver(slicer.vtkMRMLScene.NodeAddedEvent, added)
    scene.AddObserver(slicer.vtkMRMLScene.EndImportEvent, imported, -10.0)
    scene.AddObserver(slicer.vtkMRMLScene.NodeAboutToBeRemovedEvent, leaves)
