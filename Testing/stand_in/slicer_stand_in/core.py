"""The part without Qt: scene, application logic and modules' logics, all from slicer-core's real libraries."""

from __future__ import annotations

import atexit
import importlib.util
import shutil
import tempfile
import types
from typing import Any

from . import hierarchy_items

MISSING = "slicer-core is not installed (it exists for Python 3.10 to 3.13 on Linux and Windows)"

# Modules whose logic runs without the application: name in Slicer -> class. Those named here twice in Slicer's
# history keep the newer name. Order matters: a logic may ask for an earlier one while the scene is given to it.
_LOGICS = {
    "Terminologies": "vtkSlicerTerminologiesModuleLogic",
    "Units": "vtkSlicerUnitsLogic",
    "SubjectHierarchy": "vtkSlicerSubjectHierarchyModuleLogic",
    "Volumes": "vtkSlicerVolumesLogic",
    "Models": "vtkSlicerModelsLogic",
    "Tables": "vtkSlicerTablesLogic",
    "Texts": "vtkSlicerTextsLogic",
    "Transforms": "vtkSlicerTransformLogic",
    "Markups": "vtkSlicerMarkupsLogic",
    "Segmentations": "vtkSlicerSegmentationsModuleLogic",
    "Sequences": "vtkSlicerSequencesLogic",
    "CropVolume": "vtkSlicerCropVolumeLogic",
    "VolumeRendering": "vtkSlicerVolumeRenderingLogic",
    "Plots": "vtkSlicerPlotsLogic",
    "Cameras": "vtkSlicerCamerasModuleLogic",
}

_logics: dict[str, Any] = {}
_application_logic: Any = None


class Module:
    """What `slicer.modules.<name>` is for a module that brings a logic only: name, path and `logic()`."""

    def __init__(self, name: str, logic: Any = None, path: str = ""):
        self.name = name
        self.path = path
        self._logic = logic

    def logic(self) -> Any:
        return self._logic

    def widgetRepresentation(self) -> Any:
        return None


def available() -> bool:
    """Whether slicer-core is installed."""
    return importlib.util.find_spec("slicer_core") is not None


def start() -> types.ModuleType:
    """Makes `import slicer` usable: scene, application logic, modules' logics. Only the first call does anything.

    Returns:
        The module `slicer`.

    Raises:
        ModuleNotFoundError: if slicer-core is not installed.
    """
    global _application_logic
    if not available():
        raise ModuleNotFoundError(MISSING)
    import slicer

    if _application_logic is not None:
        return slicer
    import vtk

    # Slicer's share folder (terminologies, region contexts) is not in slicer-core: what is said about it is no news.
    vtk.vtkObject.GlobalWarningDisplayOff()
    slicer.mrmlScene = scene = slicer.vtkMRMLScene()
    slicer.modules = types.SimpleNamespace()
    _give_cache(scene)
    application_logic = slicer.vtkSlicerApplicationLogic()
    application_logic.SetMRMLScene(scene)
    application_logic.GetColorLogic().SetMRMLScene(scene)
    application_logic.GetColorLogic().AddDefaultColorNodes()
    # Without these, logics that ask for the views' logics crash.
    slice_logics, view_logics = vtk.vtkCollection(), vtk.vtkCollection()
    application_logic.SetSliceLogics(slice_logics)
    application_logic.SetViewLogics(view_logics)
    _logics["_sliceLogics"], _logics["_viewLogics"] = slice_logics, view_logics
    application_logic.SetModuleLogic("Colors", application_logic.GetColorLogic())
    _add_module("Colors", application_logic.GetColorLogic())
    for name, class_name in _LOGICS.items():
        logic = getattr(slicer, class_name)()
        logic.SetMRMLApplicationLogic(application_logic)
        application_logic.SetModuleLogic(name, logic)
        logic.SetMRMLScene(scene)
        _add_module(name, logic)
    vtk.vtkObject.GlobalWarningDisplayOn()
    _application_logic = application_logic
    hierarchy_items.follow(scene)
    _plain_scene()
    return slicer


def application_logic() -> Any:
    """The vtkSlicerApplicationLogic made by `start`."""
    start()
    return _application_logic


def reset() -> None:
    """An empty scene, as after File > Close scene; colour tables and other singletons that Slicer keeps stay."""
    import slicer

    start()
    slicer.mrmlScene.Clear(0)
    # Closing a scene keeps singletons; a module's parameters must not reach the next test.
    for node in slicer.util.getNodesByClass("vtkMRMLScriptedModuleNode"):
        slicer.mrmlScene.RemoveNode(node)
    slicer.mrmlScene.SetUndoOff()
    slicer.mrmlScene.ClearUndoStack()
    slicer.mrmlScene.ClearRedoStack()
    slicer.mrmlScene.SetRootDirectory("")
    slicer.mrmlScene.SetURL("")
    _plain_scene()


def _give_cache(scene: Any) -> None:
    """Reading .mrb files unpacks them in the cache's folder."""
    import slicer

    folder = tempfile.mkdtemp(prefix="slicer-stand-in-cache-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    cache = slicer.vtkCacheManager()
    cache.SetRemoteCacheDirectory(folder)
    manager = slicer.vtkDataIOManager()
    manager.SetCacheManager(cache)
    scene.SetCacheManager(cache)
    scene.SetDataIOManager(manager)
    _logics["_cache"], _logics["_dataIOManager"] = cache, manager


def _add_module(name: str, logic: Any) -> None:
    import slicer

    _logics[name] = logic
    setattr(slicer.modules, name.lower(), Module(name, logic))


def _plain_scene() -> None:
    """The nodes that the application itself makes when a scene is empty, as far as logics ask for them."""
    import slicer

    scene = slicer.mrmlScene
    for name in ("vtkMRMLSelectionNode", "vtkMRMLInteractionNode"):
        if scene.GetSingletonNode("Singleton", name) is None and scene.GetNumberOfNodesByClass(name) == 0:
            node = getattr(slicer, name)()
            node.SetSingletonTag("Singleton")
            scene.AddNode(node)
    slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
