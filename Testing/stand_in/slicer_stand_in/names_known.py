"""What `names` knows of the classes: where they are, what methods return, which names are properties or signals."""

from __future__ import annotations

import enum
import functools
import re
import sys
from pathlib import Path
from typing import Any

from . import connections, properties

MODULES = {"qt": "qt", "ctk": "ctk", "vtk": "vtk", "slicer": "slicer", "slicer.util": "slicer.util"}
VALUES = {"slicer.mrmlScene": "vtkMRMLScene", "slicer.app": "Application"}
NODE_MAKERS = ("AddNewNodeByClass", "CreateNodeByClass")

# Modules that have more in Slicer than in slicer-core and the stand-in.
OPEN_MODULES = ("slicer.modules",)

# Methods of the stand-in that Slicer has not.
STAND_IN_ONLY = {"set_testing", "exit_requests", "restart_requests", "history", "renders"}

# Qt's names that only one of Qt 5.15 (Slicer 5.10) and Qt 6 (PythonQt and PySide6) has.
NOT_IN_BOTH_QTS = {
    "checkStateChanged",  # QCheckBox, 6.7
    "QTextCodec",
    "QRegExp",
    "QDesktopWidget",
    "QMatrix",
    "QStringRef",
    "QColorSpace",
    "globalPosition",  # mouse events, 6.0
    "horizontalAdvanceF",
    "setDefaultColor",
}

# Documented names of what neither slicer-core nor the stand-in has, or that the stand-in adds at run time.
ELSEWHERE = {
    # slicer.ScriptedLoadableModule, slicer.parameterNodeWrapper
    *("resourcePath", "moduleName", "developerMode", "getDefaultModuleDocumentationLink", "delayDisplay"),
    *(
        "connectGui",
        "disconnectGui",
        "connectParametersToGui",
        "parameterNode",
        "allParameters",
        "isCached",
        "dataType",
    ),
    # unittest.TestCase
    "skipTest",
    # the extension PyTorch
    *("PyTorchUtilsLogic", "torchInstalled", "installTorch", "uninstallTorch", "torchVersion"),
    # slicer.dicomDatabase (ctkDICOMDatabase)
    *("fileForInstance", "filesForSeries", "seriesForStudy", "studiesForPatient", "fileValue", "instanceValue"),
    *("instancesForSeries", "descriptionForSeries"),
    # qMRMLSegmentEditorWidget
    *("setSegmentationNode", "setSourceVolumeNode", "setMRMLSegmentEditorNode"),
    # Windows, through ctypes
    *("WinDLL", "OpenProcess", "CloseHandle", "WaitForSingleObject", "GetExitCodeProcess"),
}

# Python methods on Qt objects that do take keywords.
PYTHON_METHODS = {"connectGui"}


@functools.cache
def class_named(name: str | None) -> Any:
    """A class of Qt, CTK, Slicer or VTK by its plain name, or None."""
    if name == "Application":
        return type(sys.modules["slicer"].app)
    for module in ("qt", "ctk", "slicer", "vtk"):
        found = getattr(sys.modules[module], name or "", None)
        if isinstance(found, type):
            return found
    return None


def is_qt(thing: Any) -> bool:
    """Whether a class is Qt's, CTK's or one of Slicer's widgets."""
    return isinstance(thing, type) and any(cls.__module__.startswith("PySide6") for cls in thing.__mro__)


def is_vtk(thing: Any) -> bool:
    """Whether a class is VTK's or one of Slicer's on top of it."""
    return isinstance(thing, type) and any(cls.__name__ == "vtkObjectBase" for cls in thing.__mro__)


def is_foreign(thing: Any) -> bool:
    """Whether a class's names can be checked."""
    return is_qt(thing) or is_vtk(thing)


def is_qt_enum(thing: Any) -> bool:
    return isinstance(thing, enum.EnumMeta) and thing.__module__.startswith("PySide6")


def is_property(cls: type, name: str) -> bool:
    """Whether Qt's meta-object has the property; `name` stands for objectName."""
    return name == "name" or properties.property_type(cls, name) is not None


def has_signal(cls: type, signature: str) -> bool:
    """Whether a class has a signal with this signature, from Qt's meta-object or the stand-in's own list."""
    return properties.has_signal(cls, connections.normalised(signature))


def property_type(cls: type, name: str) -> Any:
    """The class of a property's value where it is one with names of its own (QSize, ...)."""
    kind = properties.property_type(cls, name) if is_qt(cls) else None
    return class_named(kind.rstrip("*")) if kind else None


def return_type(owner: Any, name: str) -> Any:
    """The class that a method returns, as VTK's docstring or PySide6's .pyi file says; None: not one class."""
    if is_qt(owner):
        for cls in owner.__mro__:
            found = _qt_returns().get((cls.__name__, name))
            if found is not None:
                return class_named(found)
        return None
    document = getattr(getattr(owner, name, None), "__doc__", None) or ""
    returned = set(re.findall(r"^\w+\(.*?\) -> (\w+)$", document, re.MULTILINE))
    return class_named(returned.pop()) if len(returned) == 1 else None


@functools.cache
def _qt_returns() -> dict[tuple[str, str], str]:
    """(class, method) -> the class that it returns, from the .pyi files beside PySide6's libraries."""
    import PySide6

    found: dict[tuple[str, str], str] = {}
    for module in ("QtCore", "QtGui", "QtWidgets"):
        path = Path(PySide6.__file__).parent / f"{module}.pyi"
        cls = ""
        for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
            head = re.match(r"class (\w+)", line)
            method = re.match(r"    def (\w+)\(.*\) -> ([\w.]+)(?: \| None)?: \.\.\.", line)
            if head:
                cls = head[1]
            elif method:
                name, returned = method[1], method[2].split(".")[-1]
                found[cls, name] = returned if found.get((cls, name), returned) == returned else ""
    return found


@functools.cache
def in_family(cls: type, name: str) -> bool:
    """Whether a class of VTK, or one derived from it, has the name: what a method returns may be a derived one."""
    if hasattr(cls, name) or not is_vtk(cls):
        return hasattr(cls, name)
    derived = cls.__subclasses__()
    return any(in_family(one, name) for one in derived)


@functools.cache
def all_names() -> set[str]:
    """Every attribute of every class and module of Qt, CTK, Slicer, slicer.util and VTK."""
    found: set[str] = set()
    for module_name in ("qt", "ctk", "slicer", "slicer.util", "vtk"):
        module = sys.modules[module_name]
        for name in dir(module):
            found.add(name)
            item = getattr(module, name, None)
            if isinstance(item, type):
                found.update(dir(item))
    found.update(vars(sys.modules["slicer"].modules))
    return (found | ELSEWHERE) - STAND_IN_ONLY
