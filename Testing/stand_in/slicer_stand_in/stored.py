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
