"""PythonQt's `sender.connect("clicked(bool)", function)` and `disconnect`, on top of PySide6's signals."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from typing import Any

from . import properties

_made: dict[tuple[int, str], list[tuple[Any, Any]]] = {}


def install(classes: list[type]) -> None:
    """Gives QObject's descendants `connect(signature, function)`, `disconnect(signature, function)`.

    PySide6 answers `connect` in `__getattribute__` itself, before a class's dictionary is asked; so that is where
    the two names are caught.
    """
    from PySide6 import QtCore

    for cls in classes:
        if issubclass(cls, QtCore.QObject) and "__getattribute__" in cls.__dict__:
            cls.__getattribute__ = _catching(cls.__getattribute__)


def _catching(original: Callable) -> Callable:
    def getattribute(self: Any, name: str) -> Any:
        if name == "connect":
            return _connect.__get__(self)
        if name == "disconnect":
            return _disconnect.__get__(self)
        return original(self, name)

    return getattribute


def normalised(signature: str) -> str:
    """`signature` without spaces, const and references, as Qt compares them."""
    return re.sub(r"const |[\s&]", "", signature)


def signal_of(sender: Any, signature: str) -> tuple[Any, int]:
    """The bound signal of `sender` and how many arguments a listener gets.

    Raises:
        AttributeError: if the class has no such signal; PythonQt prints an error and connects nothing.
    """
    wanted = normalised(signature)
    if "(" not in wanted:
        raise AttributeError(f"'{signature}' is no signature: name the arguments, too, as in 'clicked(bool)'")
    name, arguments = wanted[:-1].split("(", 1)
    count = len([part for part in arguments.split(",") if part])
    if not properties.has_signal(type(sender), wanted):
        raise AttributeError(f"{type(sender).__name__} has no signal {signature}")
    signal = getattr(sender, name)
    if count:
        with contextlib.suppress(IndexError, KeyError, TypeError):  # not overloaded
            signal = signal[arguments]
    return signal, count


def _connect(self: Any, signature: Any, function: Any = None, *rest: Any) -> bool:
    if not isinstance(signature, str) or rest:
        # connect(sender, signal, receiver, slot) and the like: ask for the plain form instead of guessing.
        raise TypeError("use sender.connect('signal(arguments)', function)")
    signal, count = signal_of(self, signature)
    if not callable(function):
        raise TypeError(f"{function!r} cannot be called")

    told_as_bool = normalised(signature) == "currentNodeChanged(bool)"

    def listener(*arguments: Any) -> None:
        if told_as_bool:
            arguments = (arguments[0] is not None,)
        function(*_as_many_as_fit(function, arguments[:count]))

    signal.connect(listener)
    key = (_address(self), normalised(signature))
    if key not in _made:
        self.destroyed.connect(lambda *_, key=key: _made.pop(key, None))
    _made.setdefault(key, []).append((function, listener))
    return True


def _disconnect(self: Any, signature: Any = None, function: Any = None) -> bool:
    if not isinstance(signature, str):
        raise TypeError("use sender.disconnect('signal(arguments)', function)")
    signal, _ = signal_of(self, signature)
    made = _made.get((_address(self), normalised(signature)), [])
    found = [pair for pair in made if function is None or pair[0] == function]
    for pair in found:
        signal.disconnect(pair[1])
        made.remove(pair)
    return bool(found)


def disconnect_all(sender: Any) -> None:
    """Takes every listener off `sender` that came through `connect(signature, function)`."""
    for key in [key for key in _made if key[0] == _address(sender)]:
        signal, _ = signal_of(sender, key[1])
        for _function, listener in _made.pop(key):
            signal.disconnect(listener)


def _as_many_as_fit(function: Callable, arguments: tuple) -> tuple:
    """As PythonQt does: a function that takes fewer arguments gets the first ones."""
    import inspect

    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return arguments
    if any(one.kind is one.VAR_POSITIONAL for one in parameters):
        return arguments
    places = [one for one in parameters if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
    return arguments[: len(places)]


def _address(qobject: Any) -> int:
    import shiboken6

    return shiboken6.getCppPointer(qobject)[0]
