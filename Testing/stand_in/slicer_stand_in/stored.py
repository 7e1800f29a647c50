"""Qt properties of the stand-ins that are nothing more than a stored value with its setter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from PySide6 import QtCore


def stored(
    kind: Any, name: str, default: Any, then: Callable[[Any], None] | None = None
) -> tuple[QtCore.Property, Callable[[Any, Any], None]]:
    """A real Qt property (so that .ui files set it) and its setter, for `flat, setFlat = stored(bool, "flat", False)`.

    Args:
        kind: the property's type, for Qt's meta-object ("QStringList" or a Python type).
        name: the property's name.
        default: its value until something else is set.
        then: called with the object when the value has changed.
    """
    place = "_stored_" + name

    def get(self: Any) -> Any:
        return getattr(self, place, default)

    def put(self: Any, value: Any) -> None:
        if kind in (bool, int, float, str):
            value = kind(value)
        if value != get(self):
            setattr(self, place, value)
            if then is not None:
                then(self)

    return QtCore.Property(kind, get, put), put


class _NotInPython:
    """In the place of a method that C++ alone can call."""

    def __init__(self, setter: str, name: str):
        self._sentence = f"has no '{setter}' in Python, where it is neither a slot nor invokable: assign to '{name}'"

    def __get__(self, _instance: Any, owner: type) -> Any:
        raise AttributeError(f"{owner.__name__} {self._sentence}")


def hide_plain_setters(classes: list[type]) -> None:
    """Takes the setters of properties away that PythonQt does not see: those that no class lists in SLOTS.

    Of CTK's and Slicer's own widgets PythonQt knows what Qt's meta-objects tell, properties, slots and Q_INVOKABLE;
    of Qt's own classes it has wrappers with every method.
    """
    for cls in {base for one in classes for base in one.__mro__ if not base.__module__.startswith("PySide6")}:
        slots = {signature.partition("(")[0] for signature in cls.__dict__.get("SLOTS", ())}
        for name, item in list(vars(cls).items()):
            setter = "set" + name[0].upper() + name[1:]
            if isinstance(item, QtCore.Property) and setter in vars(cls) and setter not in slots:
                setattr(cls, setter, _NotInPython(setter, name))
