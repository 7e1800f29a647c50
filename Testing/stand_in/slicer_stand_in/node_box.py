"""Stand-in of qMRMLNodeComboBox: the scene's real nodes in a combo box, kept in step with the scene."""

from __future__ import annotations

from typing import Any

from PySide6 import QtCore, QtWidgets

from .stored import stored

Signal = QtCore.Signal


def _filters(kind: Any, name: str, default: Any) -> tuple[Any, Any]:
    return stored(kind, name, default, lambda self: self._refill())


class qMRMLNodeComboBox(QtWidgets.QWidget):
    """Chooses a node of the scene. Without `setMRMLScene` it stays empty, as the real one does."""

    SLOTS = ("setMRMLScene(vtkMRMLScene*)", "setCurrentNode(vtkMRMLNode*)", "setCurrentNodeID(QString)")
    SIGNALS = (
        "currentNodeChanged(vtkMRMLNode*)",
        "currentNodeChanged(bool)",
        "currentNodeIDChanged(QString)",
        "nodeActivated(vtkMRMLNode*)",
        "nodeAdded(vtkMRMLNode*)",
        "nodeAddedByUser(vtkMRMLNode*)",
        "nodeAddedByUserAction(vtkMRMLNode*)",
        "nodeAboutToBeRemoved(vtkMRMLNode*)",
        "currentNodeRenamed(QString)",
    )
    currentNodeChanged = Signal(object)
    currentNodeIDChanged = Signal(str)
    nodeActivated = Signal(object)
    nodeAdded = Signal(object)
    nodeAddedByUser = Signal(object)
    nodeAddedByUserAction = Signal(object)
    nodeAboutToBeRemoved = Signal(object)
    currentNodeRenamed = Signal(str)

    nodeTypes, setNodeTypes = _filters("QStringList", "nodeTypes", [])
    showHidden, setShowHidden = _filters(bool, "showHidden", False)
    showChildNodeTypes, setShowChildNodeTypes = _filters(bool, "showChildNodeTypes", True)
    hideChildNodeTypes, setHideChildNodeTypes = _filters("QStringList", "hideChildNodeTypes", [])
    noneEnabled, setNoneEnabled = _filters(bool, "noneEnabled", False)
    noneDisplay, setNoneDisplay = _filters(str, "noneDisplay", "None")
    addEnabled, setAddEnabled = _filters(bool, "addEnabled", True)
    removeEnabled, setRemoveEnabled = _filters(bool, "removeEnabled", True)
    editEnabled, setEditEnabled = _filters(bool, "editEnabled", False)
    renameEnabled, setRenameEnabled = _filters(bool, "renameEnabled", False)
    selectNodeUponCreation, setSelectNodeUponCreation = stored(bool, "selectNodeUponCreation", True)
    interactionNodeSingletonTag, setInteractionNodeSingletonTag = stored(str, "interactionNodeSingletonTag", "")

    def __init__(self, parent: Any = None):
        super().__init__(parent)
        self._scene: Any = None
        self._observers: list[int] = []
        self._attributes: list[tuple[str, str, Any]] = []
        self._labels: dict[str, str] = {}
        self._base = ""
        self._nodes: list[Any] = []
        self._current: Any = None
        self._filling = False
        self._box = QtWidgets.QComboBox(self)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._box)
        self._box.activated.connect(self._activated)

    # The scene

    def mrmlScene(self) -> Any:
        return self._scene

    def setMRMLScene(self, scene: Any) -> None:
        import slicer

        if scene is self._scene:
            return
        for tag in self._observers:
            self._scene.RemoveObserver(tag)
        self._observers = []
        self._scene = scene
        if scene is not None:
            import vtk

            kept = slicer.vtkMRMLScene

            @vtk.calldata_type(vtk.VTK_OBJECT)
            def added(_scene: Any, _event: str, node: Any) -> None:
                if self._fits(node):
                    self._refill()
                    self.nodeAdded.emit(node)
                    # In spite of its name, whoever added it.
                    self.nodeAddedByUser.emit(node)

            @vtk.calldata_type(vtk.VTK_OBJECT)
            def leaves(_scene: Any, _event: str, node: Any) -> None:
                if any(node is one for one in self._nodes):
                    self.nodeAboutToBeRemoved.emit(node)

            def refill(*_: Any) -> None:
                if not scene.IsBatchProcessing():
                    self._refill()

            for event, call in (
                (kept.NodeAddedEvent, added),
                (kept.NodeAboutToBeRemovedEvent, leaves),
                (kept.NodeRemovedEvent, refill),
                (kept.EndBatchProcessEvent, refill),
                (kept.EndCloseEvent, refill),
                (kept.EndImportEvent, refill),
            ):
                self._observers.append(scene.AddObserver(event, call))
            self.destroyed.connect(lambda *_, tags=list(self._observers): [scene.RemoveObserver(tag) for tag in tags])
        self._refill()

    # What is listed

    def addAttribute(self, node_type: str, name: str, value: Any = None) -> None:
        self._attributes.append((node_type, name, value))
        self._refill()

    def removeAttribute(self, node_type: str, name: str) -> None:
        self._attributes = [entry for entry in self._attributes if entry[:2] != (node_type, name)]
        self._refill()

    def _fits(self, node: Any) -> bool:
        if node is None or (node.GetHideFromEditors() and not self.showHidden):
            return False
        kinds, own = self.nodeTypes, node.GetClassName()
        if not (any(node.IsA(kind) for kind in kinds) if self.showChildNodeTypes else own in kinds):
            return False
        if own in self.hideChildNodeTypes:
            return False
        for kind, name, value in self._attributes:
            if node.IsA(kind):
                found = node.GetAttribute(name)
                if found is None or (value is not None and found != str(value)):
                    return False
        return True

    def _refill(self) -> None:
        if self._filling or not hasattr(self, "_box"):
            return
        self._filling = True
        try:
            listed = []
            for index in range(self._scene.GetNumberOfNodes() if self._scene is not None else 0):
                node = self._scene.GetNthNode(index)
                if self._fits(node):
                    listed.append(node)
            self._nodes = listed
            self._box.clear()
            if self.noneEnabled:
                self._box.addItem(self.noneDisplay, None)
            for node in listed:
                self._box.addItem(node.GetName() or "", node.GetID())
            kept = next((node for node in listed if node is self._current), None)
        finally:
            self._filling = False
        # As the real one: with no "None" to choose, the first node is chosen by itself.
        if kept is None and not self.noneEnabled and listed:
            kept = listed[0]
        self._choose(kept)

    def _choose(self, node: Any) -> None:
        index = self._box.findData(node.GetID()) if node is not None else (0 if self.noneEnabled else -1)
        self._box.setCurrentIndex(index)
        if node is self._current:
            return
        self._current = node
        self.currentNodeChanged.emit(node)
        self.currentNodeIDChanged.emit(node.GetID() if node is not None else "")

    def _activated(self, index: int) -> None:
        node_id = self._box.itemData(index)
        node = self._scene.GetNodeByID(node_id) if node_id else None
        self._choose(node)
        self.nodeActivated.emit(node)

    def nodeCount(self) -> int:
        return len(self._nodes)

    def nodeFromIndex(self, index: int) -> Any:
        return self._nodes[index] if 0 <= index < len(self._nodes) else None

    # The chosen node

    def currentNode(self) -> Any:
        return self._current

    def setCurrentNode(self, node: Any) -> None:
        """A node or its ID; a node that is not listed counts as none."""
        if isinstance(node, str):
            node = self._scene.GetNodeByID(node) if self._scene is not None and node else None
        if not self._fits(node) or not any(node is one for one in self._nodes):
            node = None
        self._choose(node)

    def setCurrentNodeID(self, node_id: str) -> None:
        self.setCurrentNode(str(node_id or ""))

    def setCurrentNodeIndex(self, index: int) -> None:
        self.setCurrentNode(self.nodeFromIndex(index))

    currentNodeID = QtCore.Property(
        str,
        lambda self: self._current.GetID() if self._current is not None else "",
        setCurrentNodeID,
        notify=currentNodeIDChanged,
    )

    # What the menu's entries do

    def setBaseName(self, name: str, _node_type: str = "") -> None:
        self._base = name

    baseName = QtCore.Property(str, lambda self: self._base, setBaseName)

    def setNodeTypeLabel(self, label: str, node_type: str) -> None:
        self._labels[node_type] = label

    def nodeTypeLabel(self, node_type: str) -> str:
        return self._labels.get(node_type, "")

    def addNode(self, node_type: str | None = None) -> Any:
        """The menu's "Create new ..."; what the user made is chosen and told by nodeAddedByUserAction."""
        kind = node_type or self.nodeTypes[0]
        node = self._scene.CreateNodeByClass(kind)
        node.UnRegister(None)
        base = self._base or kind.removeprefix("vtkMRML").removesuffix("Node")
        node.SetName(self._scene.GenerateUniqueName(base))
        for for_kind, name, value in self._attributes:
            if node.IsA(for_kind) and value is not None:
                node.SetAttribute(name, str(value))
        node = self._scene.AddNode(node)
        if self.selectNodeUponCreation:
            self.setCurrentNode(node)
        self.nodeAddedByUserAction.emit(node)
        return node

    def removeCurrentNode(self) -> None:
        if self._current is not None:
            self._scene.RemoveNode(self._current)

    def renameCurrentNode(self) -> None:
        """The menu's "Rename current ..."; the name comes from the dialog that a test answers."""
        name = QtWidgets.QInputDialog.getText(self, f"Rename {self._current.GetName()}", "New name:")
        if name:
            self._current.SetName(name)
            self._refill()
            self.currentNodeRenamed.emit(name)

    def addMenuAction(self, action: Any) -> None:
        self._box.addAction(action)
