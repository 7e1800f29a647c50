"""slicer.app.layoutManager(): three slice views and a 3D view with real MRML nodes and slice logics, no windows."""

from __future__ import annotations

from typing import Any

from PySide6 import QtCore

from . import core

Signal = QtCore.Signal

_ORIENTATIONS = {"Red": "Axial", "Yellow": "Sagittal", "Green": "Coronal"}


class _View:
    """A view without a window: rendering is recorded only; pictures come from `slicer_stand_in.render`."""

    def __init__(self, node: Any):
        self._node = node
        self.renders = 0

    def forceRender(self) -> None:
        self.renders += 1

    scheduleRender = forceRender

    def resetFocalPoint(self) -> None:
        self.renders += 1

    resetCamera = resetFocalPoint

    def mrmlViewNode(self) -> Any:
        return self._node


class _SliceWidget:
    """One slice view's widget."""

    def __init__(self, logic: Any):
        self._logic = logic
        self._view = _View(logic.GetSliceNode())

    def sliceLogic(self) -> Any:
        return self._logic

    def mrmlSliceNode(self) -> Any:
        return self._logic.GetSliceNode()

    def mrmlSliceCompositeNode(self) -> Any:
        return self._logic.GetSliceCompositeNode()

    def sliceView(self) -> _View:
        return self._view

    def fitSliceToBackground(self) -> None:
        self._logic.FitSliceToBackground()


class _ThreeDWidget:
    """The 3D view's widget."""

    def __init__(self, node: Any):
        self._view = _View(node)

    def threeDView(self) -> _View:
        return self._view

    def mrmlViewNode(self) -> Any:
        return self._view.mrmlViewNode()


class LayoutManager(QtCore.QObject):
    """Stand-in of qSlicerLayoutManager."""

    SIGNALS = ("layoutChanged(int)",)
    layoutChanged = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        import slicer
        import vtk

        self._layout = 3  # vtkMRMLLayoutNode.SlicerLayoutFourUpView
        self._slices: dict[str, _SliceWidget] = {}
        self._logics = vtk.vtkCollection()
        for name, orientation in _ORIENTATIONS.items():
            logic = slicer.vtkMRMLSliceLogic()
            logic.SetMRMLApplicationLogic(core.application_logic())
            logic.SetMRMLScene(slicer.mrmlScene)
            node = logic.AddSliceNode(name)
            node.SetOrientation(orientation)
            node.SetMappedInLayout(1)
            self._slices[name] = _SliceWidget(logic)
            self._logics.AddItem(logic)
        core.application_logic().SetSliceLogics(self._logics)
        view = slicer.vtkMRMLViewNode()
        view.SetLayoutName("1")
        view.SetSingletonTag("1")
        view.SetMappedInLayout(1)
        self._three_d = _ThreeDWidget(slicer.mrmlScene.AddNode(view))

    threeDViewCount = QtCore.Property(int, lambda self: 1)
    tableViewCount = QtCore.Property(int, lambda self: 0)
    plotViewCount = QtCore.Property(int, lambda self: 0)

    def setLayout(self, layout: int) -> None:
        self._layout = int(layout)
        self.layoutChanged.emit(self._layout)

    layout = QtCore.Property(int, lambda self: self._layout, setLayout)

    def sliceViewNames(self) -> tuple[str, ...]:
        return tuple(self._slices)

    def sliceWidget(self, name: str) -> Any:
        return self._slices.get(name)

    def mrmlSliceLogics(self) -> Any:
        return self._logics

    def threeDWidget(self, index: int) -> Any:
        return self._three_d if index == 0 else None

    def resetThreeDViews(self) -> None:
        self._three_d.threeDView().resetFocalPoint()

    def resetSliceViews(self) -> None:
        for widget in self._slices.values():
            widget.fitSliceToBackground()
