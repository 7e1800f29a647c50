"""Starts the part with Qt: PySide6 dressed as PythonQt, the modules `qt` and `ctk`, and `slicer.app`."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import types
from typing import Any

from . import core

MISSING = "PySide6 is not installed (pip install PySide6-Essentials)"

_NAMESPACES = ("QtCore", "QtGui", "QtWidgets", "QtNetwork", "QtSvg", "QtSvgWidgets", "QtUiTools")
_started = False


def available() -> bool:
    """Whether PySide6 and slicer-core are installed."""
    return core.available() and importlib.util.find_spec("PySide6") is not None


def start(slicer_source: str | os.PathLike | None = None) -> Any:
    """Makes `qt`, `ctk`, `slicer.app` and the rest of the application's Python importable; once for a process.

    Args:
        slicer_source: folder of a checkout of Slicer's sources: its Python files are used in place of the stand-ins.

    Returns:
        `slicer.app`.

    Raises:
        ModuleNotFoundError: if PySide6 or slicer-core is missing.
    """
    global _started
    slicer = core.start()
    if _started:
        return slicer.app
    if not available():
        raise ModuleNotFoundError(MISSING)
    os.environ["QT_QPA_PLATFORM"] = "offscreen"
    _make_modules()
    from . import application

    application.start(slicer_source)
    _started = True
    return slicer.app


def _make_modules() -> None:
    """`qt`: PySide6's namespaces in one, names that begin with Q only, as in PythonQt; `ctk`: our stand-ins."""
    from . import connections, properties

    qt = types.ModuleType("qt", "PySide6, dressed as PythonQt by a stand-in for the Slicer application.")
    for namespace in _NAMESPACES:
        try:
            module = importlib.import_module("PySide6." + namespace)
        except ImportError:  # QtSvg and others are not in each build
            continue
        for name in dir(module):
            if name.startswith("Q"):
                setattr(qt, name, getattr(module, name))
    classes = [item for item in vars(qt).values() if isinstance(item, type)]
    properties.install(classes)
    connections.install(classes)
    _add_pythonqt_names(qt)
    sys.modules["qt"] = qt

    from . import ctk_widgets, dialogs, loader

    dialogs.install(qt)
    qt.QUiLoader = loader.QUiLoader
    ctk = types.ModuleType("ctk", "Stand-ins of CTK's widgets, written from its documentation.")
    for cls in ctk_widgets.CLASSES:
        setattr(ctk, cls.__name__, cls)
        loader.QUiLoader.widget_classes[cls.__name__] = cls
    sys.modules["ctk"] = ctk


def _add_pythonqt_names(qt: types.ModuleType) -> None:
    """What PythonQt has on every object and PySide6 has not."""
    cls = qt.QObject
    cls.name = property(lambda self: self.objectName, lambda self, value: self.setObjectName(value))
    cls.className = lambda self: type(self).__name__
    cls.delete = lambda self: self.deleteLater()
