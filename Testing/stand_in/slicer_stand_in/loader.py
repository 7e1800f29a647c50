"""A QUiLoader that knows the stand-ins of ctk* and qMRML* classes; it is what `slicer.util.loadUI` uses."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any, ClassVar

from PySide6 import QtCore, QtUiTools


class QUiLoader(QtUiTools.QUiLoader):
    """Loads .ui files; `mrmlSceneChanged` is wired where the file says so only: a forgotten connection shows."""

    widget_classes: ClassVar[dict[str, type]] = {}

    def __init__(self, parent: Any = None):
        super().__init__(parent)
        self._problems: list[str] = []

    def createWidget(self, class_name: str, parent: Any = None, name: str = "") -> Any:
        cls = self.widget_classes.get(class_name)
        if cls is None and class_name not in self.availableWidgets():
            self._problems.append(f"widget class {class_name} is not known to the stand-in")
            class_name = "QWidget"
        if cls is None:
            return super().createWidget(class_name, parent, name)
        widget = cls(parent)
        widget.setObjectName(name)
        return widget

    def load(self, device: Any, parent: Any = None) -> Any:
        """The widget of the .ui file in `device` (a QFile, opened or not).

        Raises:
            RuntimeError: if the file names a class, signal or slot that the stand-in does not know.
        """
        if not device.isOpen():
            device.open(QtCore.QIODevice.OpenModeFlag.ReadOnly)
        tree = ET.fromstring(bytes(device.readAll()))
        connections = tree.find("connections")
        ours = []
        for connection in list(connections if connections is not None else ()):
            parts = {part.tag: part.text or "" for part in connection if part.tag != "hints"}
            ours.append(parts)
            connections.remove(connection)
        device = QtCore.QBuffer()
        device.setData(ET.tostring(tree))
        device.open(QtCore.QIODevice.OpenModeFlag.ReadOnly)
        self._problems = []
        widget = super().load(device, parent)
        if widget is None:
            self._problems.append(self.errorString())
        for parts in ours if widget is not None else ():
            _wire(widget, parts, self._problems)
        if self._problems:
            raise RuntimeError("; ".join(self._problems))
        return widget


def _wire(root: Any, parts: dict[str, str], problems: list[str]) -> None:
    """Connects as a .ui file's <connection> says: signal and slot by their signatures."""
    from . import connections

    ends = []
    for end in ("sender", "receiver"):
        name = parts[end]
        found = root if root.objectName == name else root.findChild(QtCore.QObject, name)
        if found is None:
            problems.append(f"connection to {name}, which is not in the file")
        ends.append(found)
    if None in ends:
        return
    sender, receiver = ends
    slot_name, slot = parts["slot"].split("(")[0], connections.normalised(parts["slot"])
    if slot not in getattr(receiver, "SLOTS", ()) and receiver.metaObject().indexOfMethod(slot) < 0:
        problems.append(f"{receiver.className()} has no slot {parts['slot']}")
        return
    try:
        sender.connect(parts["signal"], getattr(receiver, slot_name))
    except AttributeError as error:
        problems.append(str(error))
