"""Modules as the application keeps them: the C++ side of a scripted module, its widget's, and the module manager."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

from PySide6 import QtCore, QtGui, QtWidgets

from .mrml_widgets import qMRMLWidget
from .stored import stored

Signal = QtCore.Signal


class qSlicerScriptedLoadableModule(QtCore.QObject):
    """The `parent` that a scripted module's class gets; it holds the texts and makes the widget when asked first."""

    title, setTitle = stored(str, "title", "")
    categories, setCategories = stored("QStringList", "categories", [])
    dependencies, setDependencies = stored("QStringList", "dependencies", [])
    contributors, setContributors = stored("QStringList", "contributors", [])
    helpText, setHelpText = stored(str, "helpText", "")
    acknowledgementText, setAcknowledgementText = stored(str, "acknowledgementText", "")
    associatedNodeTypes, setAssociatedNodeTypes = stored("QStringList", "associatedNodeTypes", [])
    hidden, setHidden = stored(bool, "hidden", False)
    icon, setIcon = stored(QtGui.QIcon, "icon", None)
    index, setIndex = stored(int, "index", -1)
    path, setPath = stored(str, "path", "")

    def __init__(self, path: Path):
        super().__init__()
        self._name = path.stem
        self.setPath(str(path))
        self._widget: Any = None
        self._logic: Any = None

    name = QtCore.Property(str, lambda self: self._name)

    def isWidgetRepresentationCreationEnabled(self) -> bool:
        return hasattr(sys.modules[self._name], self._name + "Widget")

    def widgetRepresentation(self) -> Any:
        """The module's panel, made at the first call: a module that is never opened never has one."""
        if self._widget is None and self.isWidgetRepresentationCreationEnabled():
            self._widget = qSlicerScriptedLoadableModuleWidget(self)
            self._widget.reload()
        return self._widget

    def createNewWidgetRepresentation(self) -> Any:
        widget = qSlicerScriptedLoadableModuleWidget(self)
        widget.reload()
        return widget

    def logic(self) -> Any:
        import slicer

        if self._logic is None:
            self._logic = slicer.vtkSlicerScriptedLoadableModuleLogic()
            self._logic.SetMRMLScene(slicer.mrmlScene)
        return self._logic


class qSlicerScriptedLoadableModuleWidget(qMRMLWidget):
    """The widget around a scripted module's panel; `self()` is the Python object."""

    def __init__(self, module: qSlicerScriptedLoadableModule):
        super().__init__()
        self._module = module
        self._python: Any = None
        self._entered = False
        self.setObjectName(module.name + "ModuleWidget")
        QtWidgets.QVBoxLayout(self)

    def self(self) -> Any:
        return self._python

    def reload(self) -> None:
        """Makes the Python object from what is in sys.modules now and sets it up, as Slicer does."""
        import slicer

        name = self._module.name + "Widget"
        self._python = getattr(sys.modules[self._module.name], name)(self)
        setattr(slicer.modules, name, self._python)
        self._python.setup()
        self.setMRMLScene(slicer.mrmlScene)

    def enter(self) -> None:
        self._entered = True
        if hasattr(self._python, "enter"):
            self._python.enter()

    def exit(self) -> None:
        self._entered = False
        if hasattr(self._python, "exit"):
            self._python.exit()

    def isEntered(self) -> bool:
        return self._entered


class ModuleManager(QtCore.QObject):
    """slicer.app.moduleManager(): modules by their names, and word of those that go."""

    SIGNALS = ("moduleAboutToBeUnloaded(QString)", "moduleLoaded(QString)", "moduleUnloaded(QString)")
    moduleLoaded = Signal(str)
    moduleAboutToBeUnloaded = Signal(str)
    moduleUnloaded = Signal(str)

    def module(self, name: str) -> Any:
        import slicer

        found = getattr(slicer.modules, name.lower(), None)
        return found if getattr(found, "name", None) == name else None

    def modulesNames(self) -> list[str]:
        import slicer

        return [entry.name for entry in vars(slicer.modules).values() if self._is_module(entry)]

    @staticmethod
    def _is_module(entry: Any) -> bool:
        return isinstance(getattr(entry, "name", None), str) and hasattr(entry, "logic")

    def loadedModuleNames(self) -> list[str]:
        return self.modulesNames()

    def factoryManager(self) -> ModuleManager:
        return self

    def isLoaded(self, name: str) -> bool:
        return self.module(name) is not None


def load(path: str | Path) -> qSlicerScriptedLoadableModule:
    """Loads a scripted module from its file, as the application does at its start.

    Afterwards `slicer.modules.<name in small letters>` is the module and `slicer.modules.<name>Instance` its Python
    object; the panel is made by `widgetRepresentation()`, `slicer.util.getModuleWidget` or `selectModule`.
    """
    import slicer

    path = Path(path).resolve()
    name = path.stem
    unload(name)
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(name, path)
    source = importlib.util.module_from_spec(spec)
    sys.modules[name] = source
    try:
        spec.loader.exec_module(source)
    except BaseException:
        del sys.modules[name]
        raise
    module = qSlicerScriptedLoadableModule(path)
    setattr(slicer.modules, name.lower(), module)
    python = getattr(source, name)(module)
    setattr(slicer.modules, name + "Instance", python)
    if hasattr(python, "setup"):
        python.setup()
    slicer.app.moduleManager().moduleLoaded.emit(name)
    return module


def unload(name: str) -> None:
    """Takes a scripted module out again, with the word that lets its panel clean up."""
    import slicer

    module = getattr(slicer.modules, name.lower(), None)
    if not isinstance(module, qSlicerScriptedLoadableModule):
        return
    manager = slicer.app.moduleManager()
    window = slicer.util.mainWindow()
    if window is not None and window.moduleSelector().selectedModule == name:
        window.moduleSelector().selectModule("")
    manager.moduleAboutToBeUnloaded.emit(name)
    widget = module._widget
    for attribute in (name.lower(), name + "Instance", name + "Widget"):
        if hasattr(slicer.modules, attribute):
            delattr(slicer.modules, attribute)
    if widget is not None:
        widget.setMRMLScene(None)
        widget.deleteLater()
    manager.moduleUnloaded.emit(name)
    sys.modules.pop(name, None)
