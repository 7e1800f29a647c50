"""Stand-ins of CTK's widgets: their documented properties, signals and slots, as far as a panel uses them."""

from __future__ import annotations

from typing import Any

from PySide6 import QtCore, QtGui, QtWidgets

from .ctk_inputs import ctkDoubleSlider, ctkDoubleSpinBox, ctkRangeWidget, ctkSliderWidget
from .ctk_paths import ctkDirectoryButton, ctkPathLineEdit
from .stored import hide_plain_setters, stored

Signal = QtCore.Signal


class ctkCollapsibleButton(QtWidgets.QAbstractButton):
    """A section with a header: a click on the header hides or shows what is in it."""

    SIGNALS = ("contentsCollapsed(bool)",)
    contentsCollapsed = Signal(bool)
    collapsedHeight, setCollapsedHeight = stored(int, "collapsedHeight", 10)
    flat, setFlat = stored(bool, "flat", False)
    contentsFrameShape, setContentsFrameShape = stored("QVariant", "contentsFrameShape", QtWidgets.QFrame.Shape.NoFrame)
    contentsLineWidth, setContentsLineWidth = stored(int, "contentsLineWidth", 1)

    def __init__(self, text: Any = None, parent: Any = None):
        parent, text = (text, "") if not isinstance(text, str) else (parent, text)
        super().__init__(parent)
        self._collapsed = False
        self._hidden_by_us: list[Any] = []
        self.setText(text)
        self.setCheckable(True)
        self.setChecked(True)
        self.setContentsMargins(2, self._header() + 2, 2, 2)
        self.toggled.connect(lambda on: setattr(self, "collapsed", not on))

    def _header(self) -> int:
        return self.fontMetrics().height() + 8

    def _get_collapsed(self) -> bool:
        return self._collapsed

    def setCollapsed(self, collapsed: bool) -> None:
        collapsed = bool(collapsed)
        if collapsed == self._collapsed:
            return
        self._collapsed = collapsed
        if collapsed:
            found = self.findChildren(QtWidgets.QWidget, options=QtCore.Qt.FindChildOption.FindDirectChildrenOnly)
            self._hidden_by_us = [child for child in found if not child.isHidden()]
        for child in self._hidden_by_us:
            child.setVisible(not collapsed)
        self.setMaximumHeight(self._header() + 4 if collapsed else 16777215)
        self.setChecked(not collapsed)
        self.contentsCollapsed.emit(collapsed)

    collapsed = QtCore.Property(bool, _get_collapsed, setCollapsed, notify=contentsCollapsed)

    def sizeHint(self) -> QtCore.QSize:
        if self.layout() is None or self._collapsed:
            return QtCore.QSize(100, self._header() + 4)
        return self.layout().totalSizeHint()

    def minimumSizeHint(self) -> QtCore.QSize:
        if self.layout() is None or self._collapsed:
            return QtCore.QSize(100, self._header() + 4)
        return self.layout().totalMinimumSize()

    def hitButton(self, position: QtCore.QPoint) -> bool:
        return position.y() <= self._header()

    def paintEvent(self, _event: Any) -> None:
        painter = QtWidgets.QStylePainter(self)
        option = QtWidgets.QStyleOptionButton()
        option.initFrom(self)
        option.rect = QtCore.QRect(0, 0, self.width, self._header())
        style = QtWidgets.QStyle
        option.state |= style.StateFlag.State_Raised
        painter.drawControl(style.ControlElement.CE_PushButtonBevel, option)
        arrow = QtWidgets.QStyleOption()
        arrow.initFrom(self)
        arrow.rect = QtCore.QRect(6, (self._header() - 10) // 2, 10, 10)
        element = style.PrimitiveElement
        down, right = element.PE_IndicatorArrowDown, element.PE_IndicatorArrowRight
        painter.drawPrimitive(right if self._collapsed else down, arrow)
        place = option.rect.adjusted(24, 0, 0, 0)
        vertical = QtCore.Qt.AlignmentFlag.AlignVCenter | QtCore.Qt.TextFlag.TextShowMnemonic
        painter.drawText(place, int(vertical), self.text)


class ctkCollapsibleGroupBox(QtWidgets.QGroupBox):
    """A checkable group box that hides its contents when it is not checked."""

    collapsedHeight, setCollapsedHeight = stored(int, "collapsedHeight", 14)

    def __init__(self, title: Any = None, parent: Any = None):
        parent, title = (title, "") if not isinstance(title, str) else (parent, title)
        super().__init__(title, parent)
        self.setCheckable(True)
        self.setChecked(True)
        self._hidden_by_us: list[Any] = []
        self.toggled.connect(self._expand)

    def _expand(self, on: bool) -> None:
        if not on:
            found = self.findChildren(QtWidgets.QWidget, options=QtCore.Qt.FindChildOption.FindDirectChildrenOnly)
            self._hidden_by_us = [child for child in found if not child.isHidden()]
        for child in self._hidden_by_us:
            child.setVisible(on)

    def setCollapsed(self, collapsed: bool) -> None:
        self.setChecked(not collapsed)

    collapsed = QtCore.Property(bool, lambda self: not self.isChecked(), setCollapsed)


class ctkSearchBox(QtWidgets.QLineEdit):
    """A line edit with a magnifier and a cross that clears it."""

    showSearchIcon, setShowSearchIcon = stored(bool, "showSearchIcon", False)

    def __init__(self, parent: Any = None):
        super().__init__(parent)
        self.setPlaceholderText("Search...")
        self.setClearButtonEnabled(True)

    def setAlwaysShowClearIcon(self, show: bool) -> None:
        self.setClearButtonEnabled(bool(show))


class ctkComboBox(QtWidgets.QComboBox):
    """A combo box with a text for "nothing chosen"."""

    SLOTS = ("setCurrentUserDataAsString(QString)",)

    def setDefaultText(self, text: str) -> None:
        self.setPlaceholderText(text)

    def setCurrentUserDataAsString(self, data: str) -> None:
        self.setCurrentIndex(self.findData(data))

    defaultText = QtCore.Property(str, lambda self: self.placeholderText, setDefaultText)
    currentUserDataAsString = QtCore.Property(
        str, lambda self: str(self.currentData() or ""), setCurrentUserDataAsString
    )


class ctkCheckableComboBox(QtWidgets.QComboBox):
    """A combo box whose entries have check boxes."""

    SIGNALS = ("checkedIndexesChanged()",)
    checkedIndexesChanged = Signal()

    def __init__(self, parent: Any = None):
        super().__init__(parent)
        self.model().rowsInserted.connect(self._make_checkable)
        self.model().dataChanged.connect(lambda *_: self.checkedIndexesChanged.emit())

    def _make_checkable(self, _parent: Any, first: int, last: int) -> None:
        for row in range(first, last + 1):
            item = self.model().item(row)
            item.setCheckable(True)
            if item.data(QtCore.Qt.ItemDataRole.CheckStateRole) is None:
                item.setCheckState(QtCore.Qt.CheckState.Unchecked)

    def checkableModel(self) -> Any:
        return self.model()

    def checkState(self, index: Any) -> Any:
        return self.model().itemFromIndex(index).checkState()

    def setCheckState(self, index: Any, state: Any) -> None:
        self.model().itemFromIndex(index).setCheckState(state)

    def checkedIndexes(self) -> list[Any]:
        indexes = [self.model().index(row, 0) for row in range(self.count)]
        return [index for index in indexes if self.checkState(index) == QtCore.Qt.CheckState.Checked]

    def allChecked(self) -> bool:
        return len(self.checkedIndexes()) == self.count

    def noneChecked(self) -> bool:
        return not self.checkedIndexes()


class ctkCheckBox(QtWidgets.QCheckBox):
    """A check box that may show icons."""

    indicatorIcon, setIndicatorIcon = stored(QtGui.QIcon, "indicatorIcon", None)


class ctkPushButton(QtWidgets.QPushButton):
    """A push button whose text may wrap."""

    elideMode, setElideMode = stored("QVariant", "elideMode", QtCore.Qt.TextElideMode.ElideNone)


class ctkCheckablePushButton(ctkPushButton):
    """A push button with a check box in it."""

    SIGNALS = ("checkBoxToggled(bool)",)
    checkBoxToggled = Signal(bool)
    checkBoxControlsButton, setCheckBoxControlsButton = stored(bool, "checkBoxControlsButton", True)
    checkBoxControlsButtonToggleState, setCheckBoxControlsButtonToggleState = stored(
        bool, "checkBoxControlsButtonToggleState", True
    )
    checkBoxUserCheckable, setCheckBoxUserCheckable = stored(bool, "checkBoxUserCheckable", True)


class ctkMenuButton(QtWidgets.QPushButton):
    """A push button with a separate arrow that opens its menu."""


class ctkExpandButton(QtWidgets.QToolButton):
    """A tool button with a double arrow."""

    mirrorOnExpand, setMirrorOnExpand = stored(bool, "mirrorOnExpand", False)

    def __init__(self, parent: Any = None):
        super().__init__(parent)
        self.setCheckable(True)


class ctkColorPickerButton(QtWidgets.QPushButton):
    """A button that shows a colour and asks for another one."""

    SLOTS = ("setColor(QColor)", "setDisplayColorName(bool)")
    SIGNALS = ("colorChanged(QColor)",)
    colorChanged = Signal(QtGui.QColor)
    displayColorName, setDisplayColorName = stored(bool, "displayColorName", True)
    color, setColor = stored(
        QtGui.QColor, "color", QtGui.QColor(0, 0, 0), lambda self: self.colorChanged.emit(self.color)
    )


class ctkFittedTextBrowser(QtWidgets.QTextBrowser):
    """A text browser as high as its text."""

    collapsed, setCollapsed = stored(bool, "collapsed", True)
    disableMouseScroll, setDisableMouseScroll = stored(bool, "disableMouseScroll", True)
    showDetailsText, setShowDetailsText = stored(str, "showDetailsText", "Show details...")
    hideDetailsText, setHideDetailsText = stored(str, "hideDetailsText", "Hide details.")

    def setCollapsibleText(self, text: str) -> None:
        self.setText(text)

    def sizeHint(self) -> QtCore.QSize:
        document = self.document().clone()
        document.setTextWidth(max(100, self.viewport().width))
        return QtCore.QSize(100, int(document.size().height()) + 4)


class ctkMessageBox(QtWidgets.QMessageBox):
    """A message box with "Don't show again"."""

    SLOTS = ("setDontShowAgain(bool)",)

    dontShowAgain, setDontShowAgain = stored(bool, "dontShowAgain", False)
    dontShowAgainSettingsKey, setDontShowAgainSettingsKey = stored(str, "dontShowAgainSettingsKey", "")
    dontShowAgainVisible, setDontShowAgainVisible = stored(bool, "dontShowAgainVisible", False)


class ctkDoubleRangeSlider(ctkRangeWidget):
    """A slider with two handles."""


CLASSES = [
    ctkCheckBox,
    ctkCheckableComboBox,
    ctkCheckablePushButton,
    ctkCollapsibleButton,
    ctkCollapsibleGroupBox,
    ctkColorPickerButton,
    ctkComboBox,
    ctkDirectoryButton,
    ctkDoubleRangeSlider,
    ctkDoubleSlider,
    ctkDoubleSpinBox,
    ctkExpandButton,
    ctkFittedTextBrowser,
    ctkMenuButton,
    ctkMessageBox,
    ctkPathLineEdit,
    ctkPushButton,
    ctkRangeWidget,
    ctkSearchBox,
    ctkSliderWidget,
]

hide_plain_setters(CLASSES)
