"""Stand-ins of Slicer's own widgets (qMRML*, qSlicer*), written from their documentation."""

from __future__ import annotations

from typing import Any

from PySide6 import QtCore, QtWidgets

from .ctk_inputs import ctkDoubleSpinBox, ctkRangeWidget, ctkSliderWidget
from .ctk_widgets import ctkMenuButton
from .node_box import qMRMLNodeComboBox
from .stored import hide_plain_setters, stored

Signal = QtCore.Signal


class _WithScene:
    """mrmlScene() and setMRMLScene(), with the signal."""

    def mrmlScene(self) -> Any:
        return getattr(self, "_scene", None)

    def setMRMLScene(self, scene: Any) -> None:
        if scene is not self.mrmlScene():
            self._scene = scene
            self.mrmlSceneChanged.emit(scene)


class qMRMLWidget(_WithScene, QtWidgets.QWidget):
    """The root of a panel: whoever is connected to mrmlSceneChanged hears of the scene, nobody else."""

    SLOTS = ("setMRMLScene(vtkMRMLScene*)",)
    SIGNALS = ("mrmlSceneChanged(vtkMRMLScene*)",)
    mrmlSceneChanged = Signal(object)

    def __init__(self, parent: Any = None):
        super().__init__(parent)


class qSlicerWidget(qMRMLWidget):
    """As qMRMLWidget, for the application's widgets."""


class qMRMLSegmentationShow3DButton(ctkMenuButton):
    """Shows a segmentation in 3D: pressed, it makes the closed surface and turns 3D visibility on."""

    SLOTS = ("setSegmentationNode(vtkMRMLSegmentationNode*)", "setLocked(bool)")
    locked, setLocked = stored(bool, "locked", False)

    def __init__(self, parent: Any = None):
        super().__init__(parent)
        self._node: Any = None
        self.setText("Show 3D")
        self.setCheckable(True)
        self.setEnabled(False)
        self.toggled.connect(self._show)

    def segmentationNode(self) -> Any:
        return self._node

    def setSegmentationNode(self, node: Any) -> None:
        self._node = node
        self.setEnabled(node is not None)
        shown = node is not None and node.GetSegmentation().ContainsRepresentation("Closed surface")
        self.blockSignals(True)
        self.setChecked(bool(shown))
        self.blockSignals(False)

    def _show(self, on: bool) -> None:
        if self._node is None or self.locked:
            return
        if on:
            self._node.CreateClosedSurfaceRepresentation()
        else:
            self._node.RemoveClosedSurfaceRepresentation()
        display = self._node.GetDisplayNode()
        if display is not None:
            display.SetVisibility3D(bool(on))


class qMRMLTableView(_WithScene, QtWidgets.QTableView):
    """Shows a table node."""

    SLOTS = (
        *("setMRMLScene(vtkMRMLScene*)", "setMRMLTableNode(vtkMRMLNode*)", "setMRMLTableNode(vtkMRMLTableNode*)"),
        *("setTransposed(bool)", "setFirstRowLocked(bool)", "setFirstColumnLocked(bool)"),
    )
    SIGNALS = ("mrmlSceneChanged(vtkMRMLScene*)",)
    mrmlSceneChanged = Signal(object)
    transposed, setTransposed = stored(bool, "transposed", False)
    firstRowLocked, setFirstRowLocked = stored(bool, "firstRowLocked", False)
    firstColumnLocked, setFirstColumnLocked = stored(bool, "firstColumnLocked", False)

    def __init__(self, parent: Any = None):
        super().__init__(parent)
        self._table: Any = None
        self._tag: int | None = None
        from PySide6 import QtGui

        self._cells = QtGui.QStandardItemModel(self)
        self.setModel(self._cells)

    def mrmlTableNode(self) -> Any:
        return self._table

    def setMRMLTableNode(self, node: Any) -> None:
        if self._tag is not None:
            self._table.RemoveObserver(self._tag)
            self._tag = None
        self._table = node
        if node is not None:
            self._tag = node.AddObserver("ModifiedEvent", lambda *_: self._fill())
        self._fill()

    def _fill(self) -> None:
        from PySide6 import QtGui

        self._cells.clear()
        table = self._table.GetTable() if self._table is not None else None
        if table is None:
            return
        columns = range(table.GetNumberOfColumns())
        self._cells.setHorizontalHeaderLabels([table.GetColumnName(column) or "" for column in columns])
        for row in range(table.GetNumberOfRows()):
            cells = [table.GetValue(row, column).ToString() for column in columns]
            self._cells.appendRow([QtGui.QStandardItem(cell) for cell in cells])


class qMRMLSliderWidget(ctkSliderWidget):
    """ctkSliderWidget with the scene's units."""

    quantity, setQuantity = stored(str, "quantity", "")


class qMRMLSpinBox(ctkDoubleSpinBox):
    """ctkDoubleSpinBox with the scene's units."""

    quantity, setQuantity = stored(str, "quantity", "")


class qMRMLRangeWidget(ctkRangeWidget):
    """ctkRangeWidget with the scene's units."""

    quantity, setQuantity = stored(str, "quantity", "")


for _cls in (qMRMLSliderWidget, qMRMLSpinBox, qMRMLRangeWidget):
    _cls.mrmlScene = _WithScene.mrmlScene
    _cls.setMRMLScene = lambda self, scene: setattr(self, "_scene", scene)

CLASSES = [
    qMRMLNodeComboBox,
    qMRMLRangeWidget,
    qMRMLSegmentationShow3DButton,
    qMRMLSliderWidget,
    qMRMLSpinBox,
    qMRMLTableView,
    qMRMLWidget,
    qSlicerWidget,
]

hide_plain_setters(CLASSES)
