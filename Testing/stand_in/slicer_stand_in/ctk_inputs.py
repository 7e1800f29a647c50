"""Stand-ins of CTK's widgets for numbers: slider with spin box, spin box, slider, range."""

from __future__ import annotations

from typing import Any

from PySide6 import QtCore, QtWidgets

from .stored import stored

Signal = QtCore.Signal


def _of_box(kind: type, name: str) -> tuple[QtCore.Property, Any]:
    """A property and its setter that the spin box inside, `_box`, keeps."""
    setter = "set" + name[0].upper() + name[1:]

    def put(self: Any, value: Any) -> None:
        getattr(self._box, setter)(kind(value))

    return QtCore.Property(kind, lambda self: getattr(self._box, name), put), put


class ctkDoubleSpinBox(QtWidgets.QWidget):
    """A spin box for doubles; a QWidget that holds one, not one itself, as in CTK."""

    SLOTS = ("setValue(double)", "setDecimals(int)", "setReadOnly(bool)")
    SIGNALS = ("valueChanged(double)", "editingFinished()", "decimalsChanged(int)")
    valueChanged = Signal(float)
    editingFinished = Signal()
    decimalsChanged = Signal(int)
    decimals, setDecimals = _of_box(int, "decimals")
    minimum, setMinimum = _of_box(float, "minimum")
    maximum, setMaximum = _of_box(float, "maximum")
    singleStep, setSingleStep = _of_box(float, "singleStep")
    value, setValue = _of_box(float, "value")
    prefix, setPrefix = _of_box(str, "prefix")
    suffix, setSuffix = _of_box(str, "suffix")
    readOnly, setReadOnly = _of_box(bool, "readOnly")

    def __init__(self, parent: Any = None):
        super().__init__(parent)
        self._box = QtWidgets.QDoubleSpinBox(self)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._box)
        self._box.valueChanged.connect(self.valueChanged)
        self._box.editingFinished.connect(self.editingFinished)

    def setRange(self, minimum: float, maximum: float) -> None:
        self._box.setRange(minimum, maximum)

    def stepUp(self) -> None:
        self._box.stepUp()

    def stepDown(self) -> None:
        self._box.stepDown()


class ctkDoubleSlider(QtWidgets.QWidget):
    """A slider for doubles."""

    SLOTS = ("setValue(double)",)
    SIGNALS = ("valueChanged(double)", "sliderMoved(double)", "sliderReleased()")
    valueChanged = Signal(float)
    sliderMoved = Signal(float)
    sliderReleased = Signal()
    minimum, setMinimum = stored(float, "minimum", 0.0)
    maximum, setMaximum = stored(float, "maximum", 99.0)
    singleStep, setSingleStep = stored(float, "singleStep", 1.0)
    pageStep, setPageStep = stored(float, "pageStep", 10.0)
    tracking, setTracking = stored(bool, "tracking", True)

    def setValue(self, value: float) -> None:
        value = min(max(float(value), self.minimum), self.maximum)
        if value != self.value:
            self._value = value
            self.valueChanged.emit(value)

    value = QtCore.Property(float, lambda self: getattr(self, "_value", 0.0), setValue)

    def setRange(self, minimum: float, maximum: float) -> None:
        self.minimum, self.maximum = minimum, maximum


class ctkSliderWidget(QtWidgets.QWidget):
    """A slider and a spin box that show one number."""

    SLOTS = ("setValue(double)", "setDecimals(int)", "setSpinBoxVisible(bool)")
    SIGNALS = ("valueChanged(double)", "valueIsChanging(double)", "decimalsChanged(int)")
    valueChanged = Signal(float)
    valueIsChanging = Signal(float)
    decimalsChanged = Signal(int)
    decimals, setDecimals = _of_box(int, "decimals")
    minimum, setMinimum = _of_box(float, "minimum")
    maximum, setMaximum = _of_box(float, "maximum")
    singleStep, setSingleStep = _of_box(float, "singleStep")
    value, setValue = _of_box(float, "value")
    prefix, setPrefix = _of_box(str, "prefix")
    suffix, setSuffix = _of_box(str, "suffix")
    pageStep, setPageStep = stored(float, "pageStep", 10.0)
    tickInterval, setTickInterval = stored(float, "tickInterval", 0.0)
    tracking, setTracking = stored(bool, "tracking", True)
    popupSlider, setPopupSlider = stored(bool, "popupSlider", False)
    invertedAppearance, setInvertedAppearance = stored(bool, "invertedAppearance", False)
    invertedControls, setInvertedControls = stored(bool, "invertedControls", False)

    def __init__(self, parent: Any = None):
        super().__init__(parent)
        self._slider = QtWidgets.QSlider(QtCore.Qt.Orientation.Horizontal, self)
        self._slider.setRange(0, 1000)
        self._box = QtWidgets.QDoubleSpinBox(self)
        self._box.setSingleStep(1.0)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._slider, 1)
        layout.addWidget(self._box)
        self._box.valueChanged.connect(self._changed)
        self._slider.sliderMoved.connect(lambda place: self.setValue(self._at(place)))

    def _at(self, place: int) -> float:
        return self.minimum + (self.maximum - self.minimum) * place / 1000

    def _changed(self, value: float) -> None:
        span = self.maximum - self.minimum
        self._slider.setValue(round(1000 * (value - self.minimum) / span) if span else 0)
        self.valueIsChanging.emit(value)
        self.valueChanged.emit(value)

    def setRange(self, minimum: float, maximum: float) -> None:
        self._box.setRange(minimum, maximum)
        self._changed_range()

    def _changed_range(self) -> None:
        span = self.maximum - self.minimum
        self._slider.setValue(round(1000 * (self.value - self.minimum) / span) if span else 0)

    def reset(self) -> None:
        self.setValue(self.minimum)

    def setSpinBoxVisible(self, visible: bool) -> None:
        self._box.setVisible(bool(visible))

    spinBoxVisible = QtCore.Property(bool, lambda self: not self._box.isHidden(), setSpinBoxVisible)


class ctkRangeWidget(QtWidgets.QWidget):
    """Two numbers, the lower and the upper end of a range."""

    SLOTS = ("setDecimals(int)", "setMinimumValue(double)", "setMaximumValue(double)")
    SIGNALS = (
        "valuesChanged(double,double)",
        "minimumValueChanged(double)",
        "maximumValueChanged(double)",
        "rangeChanged(double,double)",
    )
    valuesChanged = Signal(float, float)
    minimumValueChanged = Signal(float)
    maximumValueChanged = Signal(float)
    rangeChanged = Signal(float, float)
    decimals, setDecimals = stored(int, "decimals", 2)
    singleStep, setSingleStep = stored(float, "singleStep", 1.0)
    minimum, setMinimum = stored(float, "minimum", 0.0)
    maximum, setMaximum = stored(float, "maximum", 99.0)
    prefix, setPrefix = stored(str, "prefix", "")
    suffix, setSuffix = stored(str, "suffix", "")
    tracking, setTracking = stored(bool, "tracking", True)

    def _both(self) -> None:
        self.valuesChanged.emit(self.minimumValue, self.maximumValue)

    minimumValue, setMinimumValue = stored(float, "minimumValue", 0.0, _both)
    maximumValue, setMaximumValue = stored(float, "maximumValue", 99.0, _both)

    def setRange(self, minimum: float, maximum: float) -> None:
        self.minimum, self.maximum = minimum, maximum
        self.rangeChanged.emit(minimum, maximum)

    def setValues(self, minimum: float, maximum: float) -> None:
        self.setMinimumValue(minimum)
        self.setMaximumValue(maximum)
