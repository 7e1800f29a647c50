"""Stand-ins of CTK's widgets for files and folders."""

from __future__ import annotations

from typing import Any

from PySide6 import QtCore, QtWidgets

from .stored import stored

Signal = QtCore.Signal


class ctkPathLineEdit(QtWidgets.QWidget):
    """A path in a combo box with history, and a button that asks for one."""

    # ctkPathLineEdit::Filter, as QDir's
    Dirs, Files, Drives, NoSymLinks, AllDirs = 0x001, 0x002, 0x004, 0x008, 0x400
    Readable, Writable, Executable, Hidden = 0x010, 0x020, 0x040, 0x100

    SLOTS = ("setCurrentPath(QString)",)
    SIGNALS = ("currentPathChanged(QString)", "validInputChanged(bool)")
    currentPathChanged = Signal(str)
    validInputChanged = Signal(bool)
    label, setLabel = stored(str, "label", "")
    settingKey, setSettingKey = stored(str, "settingKey", "")
    filters, setFilters = stored("QVariant", "filters", 0x002)
    nameFilters, setNameFilters = stored("QStringList", "nameFilters", [])
    showHistoryButton, setShowHistoryButton = stored(bool, "showHistoryButton", True)
    minimumContentsLength, setMinimumContentsLength = stored(int, "minimumContentsLength", 0)

    def __init__(self, *arguments: Any):
        parent = arguments[-1] if arguments and not isinstance(arguments[-1], (str, list)) else None
        super().__init__(parent)
        self._box = QtWidgets.QComboBox(self)
        self._box.setEditable(True)
        self._browse = QtWidgets.QToolButton(self)
        self._browse.setText("...")
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._box, 1)
        layout.addWidget(self._browse)
        self._box.editTextChanged.connect(self.currentPathChanged)
        self._browse.clicked.connect(lambda *_: self.browse())

    def setCurrentPath(self, path: str) -> None:
        self._box.setEditText(path)

    currentPath = QtCore.Property(str, lambda self: self._box.currentText, setCurrentPath)

    def setShowBrowseButton(self, visible: bool) -> None:
        self._browse.setVisible(bool(visible))

    showBrowseButton = QtCore.Property(bool, lambda self: not self._browse.isHidden(), setShowBrowseButton)

    def browse(self) -> None:
        dialog = QtWidgets.QFileDialog
        folder = int(self.filters) & (self.Dirs | self.AllDirs) and not int(self.filters) & self.Files
        ask = dialog.getExistingDirectory if folder else dialog.getOpenFileName
        path = ask(self, self.label or "Select a path")
        if path:
            self.setCurrentPath(path)

    def addCurrentPathToHistory(self) -> None:
        if self._box.findText(self.currentPath) < 0:
            self._box.insertItem(0, self.currentPath)

    def retrieveHistory(self) -> None:
        """The history is not kept between sessions here."""

    def comboBox(self) -> Any:
        return self._box


class ctkDirectoryButton(QtWidgets.QWidget):
    """A button that shows a folder and asks for another one."""

    SIGNALS = ("directoryChanged(QString)", "directorySelected(QString)")
    directoryChanged = Signal(str)
    directorySelected = Signal(str)
    caption, setCaption = stored(str, "caption", "")
    text, setText = stored(str, "text", "")

    def __init__(self, *arguments: Any):
        parent = arguments[-1] if arguments and not isinstance(arguments[-1], str) else None
        super().__init__(parent)
        self._button = QtWidgets.QPushButton(".", self)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._button)
        self._button.clicked.connect(lambda *_: self.browse())

    def setDirectory(self, path: str) -> None:
        path = QtCore.QDir(path).absolutePath()
        if path != self.directory:
            self._directory = path
            self._button.setText(path)
            self.directoryChanged.emit(path)

    directory = QtCore.Property(
        str, lambda self: getattr(self, "_directory", QtCore.QDir.currentPath()), setDirectory, notify=directoryChanged
    )

    def browse(self) -> str:
        path = QtWidgets.QFileDialog.getExistingDirectory(self, self.caption or "Select a folder")
        if path:
            self.directory = path
            self.directorySelected.emit(path)
        return self.directory
