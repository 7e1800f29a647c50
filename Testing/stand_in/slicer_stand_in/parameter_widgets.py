"""Which widget shows which type of parameter: the table of parameterNodeWrapper, of exact classes as there."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ctk
import qt
import slicer

from .parameter_rules import Choice, Decimals, Maximum, Minimum, SingleStep, WithinRange, first, split_annotations
from .parameter_values import PATHS, is_node_type, node_classes


@dataclass
class Bound:
    """One widget bound to one parameter: how it is read and written, and its signal."""

    widget: Any
    read: Callable[[], Any]
    write: Callable[[Any], None]
    signal: Any = None
    listener: Any = None

    def listen(self, function: Callable[[], None]) -> None:
        if self.signal is not None:
            self.listener = lambda *_: function()
            self.signal.connect(self.listener)

    def release(self) -> None:
        if self.listener is not None:
            self.signal.disconnect(self.listener)
            self.listener = None


def bind(widget: Any, hint: Any) -> Bound:
    """Binds `widget` to a parameter of the (annotated) type `hint`.

    Raises:
        RuntimeError: if a widget of this class cannot show this type, or an annotation that it needs is missing.
    """
    kind, annotations = split_annotations(hint)
    cls = type(widget)
    if kind is bool and cls in (qt.QCheckBox, ctk.ctkCheckBox):
        return Bound(widget, lambda: widget.checked, widget.setChecked, widget.stateChanged)
    if kind is bool and cls in (qt.QPushButton, ctk.ctkCheckablePushButton):
        widget.setCheckable(True)
        return Bound(widget, lambda: widget.checked, widget.setChecked, widget.toggled)
    if kind is int and cls in (qt.QSlider, qt.QSpinBox):
        _set_limits(widget, annotations, cls is qt.QSlider, -(2**31), 2**31 - 1)
        return Bound(widget, lambda: widget.value, widget.setValue, widget.valueChanged)
    numbers = (qt.QDoubleSpinBox, ctk.ctkSliderWidget, slicer.qMRMLSliderWidget, ctk.ctkDoubleSlider)
    if kind in (int, float) and cls in (*numbers, ctk.ctkDoubleSpinBox, slicer.qMRMLSpinBox):
        decimals = first(annotations, Decimals)
        if kind is int or decimals is not None:
            widget.setDecimals(0 if kind is int else decimals.value)
        _set_limits(widget, annotations, cls in (ctk.ctkSliderWidget, slicer.qMRMLSliderWidget), -1e300, 1e300)
        return Bound(widget, lambda: kind(widget.value), widget.setValue, widget.valueChanged)
    if cls in (qt.QComboBox, ctk.ctkComboBox) and isinstance(kind, type):
        if issubclass(kind, enum.Enum):
            label = getattr(kind, "label", lambda member: member.name)
            return _combo(widget, [(label(member), member) for member in kind])
        if kind in (int, float, str, bool):
            choice = first(annotations, Choice)
            if choice is None:
                raise RuntimeError("a QComboBox shows a parameter only with the annotation Choice")
            return _combo(widget, [(str(one), one) for one in choice.choices])
    if kind is str and cls is qt.QLineEdit:
        keep_cursor = lambda text: widget.setText(text) if text != widget.text else None  # noqa: E731
        return Bound(widget, lambda: widget.text, keep_cursor, widget.textChanged)
    if kind is str and cls is qt.QTextEdit:
        return Bound(widget, widget.toPlainText, widget.setPlainText, widget.textChanged)
    if kind is str and cls is qt.QLabel:
        return Bound(widget, lambda: widget.text, widget.setText)
    if kind in PATHS and cls is ctk.ctkPathLineEdit:
        write = lambda path: widget.setCurrentPath(str(path))  # noqa: E731
        return Bound(widget, lambda: kind(widget.currentPath), write, widget.currentPathChanged)
    if kind in PATHS and cls is ctk.ctkDirectoryButton:
        write = lambda path: setattr(widget, "directory", str(path))  # noqa: E731
        return Bound(widget, lambda: kind(widget.directory), write, widget.directoryChanged)
    if is_node_type(kind) and cls is slicer.qMRMLNodeComboBox:
        widget.nodeTypes = [one.__name__ for one in node_classes(kind)]
        return Bound(widget, widget.currentNode, widget.setCurrentNode, widget.currentNodeChanged)
    raise RuntimeError(f"Unable to create GUI connector from datatype '{hint}' to widget type '{cls}'.")


def _set_limits(widget: Any, annotations: list[Any], must: bool, lowest: float, highest: float) -> None:
    step = first(annotations, SingleStep)
    if step is not None:
        widget.singleStep = step.value
    within = first(annotations, WithinRange)
    low, high = first(annotations, Minimum), first(annotations, Maximum)
    if must and within is None and (low is None or high is None):
        raise RuntimeError(f"a {type(widget).__name__} needs the annotation WithinRange")
    if within is not None:
        lowest, highest = within.minimum, within.maximum
    else:
        lowest = low.minimum if low is not None else lowest
        highest = high.maximum if high is not None else highest
    widget.minimum, widget.maximum = lowest, highest


def _combo(widget: Any, entries: list[tuple[str, Any]]) -> Bound:
    widget.clear()
    for text, _ in entries:
        widget.addItem(text)
    values = [value for _, value in entries]

    def write(value: Any) -> None:
        if value in values:
            widget.setCurrentIndex(values.index(value))

    return Bound(widget, lambda: values[widget.currentIndex], write, widget.currentIndexChanged)
