"""Stand-in of slicer.parameterNodeWrapper: typed, saved parameters of a module, and their binding to widgets.

Parameter packs and serializers of one's own are not in it; the real file is used with `--slicer-source`.
"""

from __future__ import annotations

import typing
from typing import Any

import qt
import slicer
import vtk

from . import parameter_values as values
from .parameter_rules import (
    Choice,
    Decimals,
    Default,
    Exclude,
    Maximum,
    Minimum,
    NotNone,
    SingleStep,
    Validator,
    WithinRange,
    first,
    split_annotations,
)
from .parameter_widgets import Bound, bind

__all__ = [
    "Choice",
    "Decimals",
    "Default",
    "Exclude",
    "Maximum",
    "Minimum",
    "NotNone",
    "SingleStep",
    "SlicerParameterNamePropertyName",
    "Validator",
    "WithinRange",
    "findChildWidgetForParameter",
    "isParameterNodeWrapper",
    "parameterNodeWrapper",
]

SlicerParameterNamePropertyName = "SlicerParameterName"


class _Parameter:
    """One typed field of a wrapper class: a property that reads and writes the node."""

    def __init__(self, owner: type, name: str, hint: Any):
        self.name, self.hint = name, hint
        self.kind, annotations = split_annotations(hint)
        self.rules = [one() if isinstance(one, type) else one for one in annotations if _is_rule(one)]
        try:
            fallback = Default(values.default_of(self.kind))
        except TypeError as error:
            raise TypeError(f"Unable to create serializer for {owner} member {name}") from error
        self.default = Default(owner.__dict__[name]) if name in owner.__dict__ else first(annotations, Default)
        self.default = self.default or fallback

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        node = instance.parameterNode
        if not node.HasParameter(self.name):  # closing the scene empties the node
            self.write(node, self.default.value)
        value = values.read(node, self.name, self.kind)
        save = lambda changed: self.__set__(instance, changed)  # noqa: E731
        if isinstance(value, list):
            return values.WrittenList(value, save)
        if isinstance(value, dict):
            return values.WrittenDict(value, save)
        return value

    def __set__(self, instance: Any, value: Any) -> None:
        self.write(instance.parameterNode, value)

    def write(self, node: Any, value: Any) -> None:
        values.check(self.kind, value)
        for rule in self.rules:
            rule.validate(value)
        with slicer.util.NodeModify(node):
            values.write(node, self.name, self.kind, value)


def _is_rule(annotation: Any) -> bool:
    return isinstance(annotation, Validator) or (isinstance(annotation, type) and issubclass(annotation, Validator))


class _Wrapper:
    """What the decorator adds to a class of typed fields."""

    allParameters: dict[str, _Parameter]
    _is_parameter_node_wrapper = True

    def __init__(self, parameterNode: Any, prefix: str | None = None):
        self.parameterNode = parameterNode
        self._bindings: dict[int, dict[str, Bound]] = {}
        self._observers: dict[int, int] = {}
        self._showing = False
        for parameter in self.allParameters.values():
            if not parameterNode.HasParameter(parameter.name):
                parameter.write(parameterNode, parameter.default.value)

    def _parameter(self, name: str) -> _Parameter:
        if name not in self.allParameters:
            raise ValueError(f"Cannot find a param with the given name: {name}; there are {list(self.allParameters)}")
        return self.allParameters[name]

    def default(self, name: str) -> Default:
        return self._parameter(name).default

    def dataType(self, name: str) -> Any:
        return self._parameter(name).hint

    def getValue(self, name: str) -> Any:
        return self._parameter(name).__get__(self)

    def setValue(self, name: str, value: Any) -> None:
        self._parameter(name).__set__(self, value)

    # Widgets

    def connectGui(self, gui: Any) -> int:
        """Binds the widgets whose dynamic property SlicerParameterName names a parameter.

        Args:
            gui: a widget with them as children, or what `slicer.util.childWidgetVariables` gives.
        """
        widgets = gui.findChildren(qt.QWidget) if hasattr(gui, "isWidgetType") else vars(gui).values()
        named = ((widget.property(SlicerParameterNamePropertyName), widget) for widget in widgets)
        return self.connectParametersToGui({name: widget for name, widget in named if name})

    def connectParametersToGui(self, mapping: dict[str, Any]) -> int:
        for name in mapping:
            self._parameter(name)
        bound = {name: bind(widget, self.dataType(name)) for name, widget in mapping.items()}
        tag = max(self._bindings, default=-1) + 1
        self._bindings[tag] = bound
        for name, one in bound.items():
            one.write(self.getValue(name))
            one.listen(lambda name=name, one=one: self._from_widget(name, one))
        self._observers[tag] = self.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: self._to_widgets())
        return tag

    def disconnectGui(self, tag: int) -> None:
        for one in self._bindings.pop(tag, {}).values():
            one.release()
        if tag in self._observers:
            self.RemoveObserver(self._observers.pop(tag))

    def _from_widget(self, name: str, one: Bound) -> None:
        if not self._showing:
            with slicer.util.NodeModify(self):
                self.setValue(name, one.read())

    def _to_widgets(self) -> None:
        if self._showing:
            return
        self._showing = True
        try:
            for bound in self._bindings.values():
                for name, one in bound.items():
                    one.write(self.getValue(name))
        finally:
            self._showing = False

    # The node

    def StartModify(self) -> Any:
        return self.parameterNode.StartModify()

    def EndModify(self, before: Any) -> Any:
        return self.parameterNode.EndModify(before)

    def AddObserver(self, event: Any, callback: Any, priority: float = 0.0) -> int:
        return self.parameterNode.AddObserver(event, callback, priority)

    def RemoveObserver(self, tag: int) -> None:
        self.parameterNode.RemoveObserver(tag)

    def Modified(self) -> None:
        self.parameterNode.Modified()


def parameterNodeWrapper(cls: type | None = None) -> Any:
    """Class decorator: each annotated field of the class is a parameter, saved in the node given to the constructor."""
    if cls is None:
        return parameterNodeWrapper
    hints = typing.get_type_hints(cls, include_extras=True)
    parameters = {name: _Parameter(cls, name, hint) for name, hint in hints.items()}
    added = {name: item for name, item in vars(_Wrapper).items() if not (name.startswith("__") and name != "__init__")}
    for name in added:
        if name != "__init__" and name in cls.__dict__:
            raise ValueError(f"Cannot use reserved name '{name}' in a parameterNodeWrapper")
    for name, item in added.items():
        setattr(cls, name, item)
    for name, parameter in parameters.items():
        setattr(cls, name, parameter)
    cls.allParameters = parameters
    return cls


def isParameterNodeWrapper(thing: Any) -> bool:
    return getattr(thing, "_is_parameter_node_wrapper", False)


def findChildWidgetForParameter(widget: Any, parameter: str) -> Any:
    """The child widget that is bound to a parameter by its SlicerParameterName, or None."""
    for child in widget.findChildren(qt.QWidget):
        if child.property(SlicerParameterNamePropertyName) == parameter:
            return child
    return None
