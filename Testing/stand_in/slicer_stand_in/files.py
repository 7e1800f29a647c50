"""slicer.app.coreIOManager(): reads and writes nodes through MRML's real storage nodes, for slicer.util.loadVolume."""

from __future__ import annotations

from pathlib import Path
from typing import Any

_KINDS = {
    "VolumeFile": ("vtkMRMLScalarVolumeNode", "vtkMRMLVolumeArchetypeStorageNode"),
    "SegmentationFile": ("vtkMRMLSegmentationNode", "vtkMRMLSegmentationStorageNode"),
    "ModelFile": ("vtkMRMLModelNode", "vtkMRMLModelStorageNode"),
    "TransformFile": ("vtkMRMLTransformNode", "vtkMRMLTransformStorageNode"),
    "MarkupsFile": ("vtkMRMLMarkupsFiducialNode", "vtkMRMLMarkupsJsonStorageNode"),
    "TableFile": ("vtkMRMLTableNode", "vtkMRMLTableStorageNode"),
    "TextFile": ("vtkMRMLTextNode", "vtkMRMLTextStorageNode"),
}
_ENDINGS = {
    ".seg.nrrd": "SegmentationFile",
    ".mrb": "SceneFile",
    ".mrml": "SceneFile",
    ".vtk": "ModelFile",
    ".stl": "ModelFile",
    ".ply": "ModelFile",
    ".tfm": "TransformFile",
    ".h5": "TransformFile",
    ".mrk.json": "MarkupsFile",
    ".csv": "TableFile",
    ".tsv": "TableFile",
    ".txt": "TextFile",
}


class FileManager:
    """Stand-in of qSlicerCoreIOManager."""

    def fileType(self, path: Any) -> str:
        name = str(path).lower()
        return next((kind for ending, kind in _ENDINGS.items() if name.endswith(ending)), "VolumeFile")

    def fileWriterFileType(self, node: Any) -> str:
        return next((kind for kind, (cls, _) in _KINDS.items() if node.IsA(cls)), "NoFile")

    def loadNodes(self, kind: str, properties: dict, loaded: Any, messages: Any = None) -> bool:
        import slicer

        path = str(properties["fileName"])
        if kind == "SceneFile":
            return _load_scene(slicer.mrmlScene, path, properties.get("clear", False))
        node_class, storage_class = _KINDS[kind]
        if kind == "VolumeFile" and properties.get("labelmap"):
            node_class = "vtkMRMLLabelMapVolumeNode"
        name = properties.get("name") or Path(path).name.split(".")[0]
        node = slicer.mrmlScene.AddNewNodeByClass(node_class, slicer.mrmlScene.GenerateUniqueName(name))
        node.CreateDefaultDisplayNodes() if hasattr(node, "CreateDefaultDisplayNodes") else None
        storage = getattr(slicer, storage_class)()
        storage.SetFileName(path)
        storage = slicer.mrmlScene.AddNode(storage)
        node.SetAndObserveStorageNodeID(storage.GetID())
        if not Path(path).is_file() or not storage.ReadData(node):
            slicer.mrmlScene.RemoveNode(storage)
            slicer.mrmlScene.RemoveNode(node)
            return False
        if loaded is not None:
            loaded.AddItem(node)
        return True

    def saveNodes(self, kind: str, properties: dict, messages: Any = None) -> bool:
        import slicer

        path = str(properties["fileName"])
        if kind == "SceneFile":
            return _save_scene(slicer.mrmlScene, path)
        node = slicer.mrmlScene.GetNodeByID(properties["nodeID"])
        storage = node.GetStorageNode()
        if storage is None:
            storage = node.CreateDefaultStorageNode()
            storage.UnRegister(None)
            storage = slicer.mrmlScene.AddNode(storage)
            node.SetAndObserveStorageNodeID(storage.GetID())
        storage.SetFileName(path)
        return bool(storage.WriteData(node))


def _load_scene(scene: Any, path: str, clear: bool) -> bool:
    if path.lower().endswith(".mrb"):
        return bool(scene.ReadFromMRB(path, clear))
    if clear:
        scene.Clear(0)
    scene.SetURL(path)
    return bool(scene.Import() if not clear else scene.Connect())


def _save_scene(scene: Any, path: str) -> bool:
    if path.lower().endswith(".mrb"):
        return bool(scene.WriteToMRB(path))
    scene.SetURL(path)
    scene.SetRootDirectory(str(Path(path).parent))
    return bool(scene.Commit())
