"""Qt's properties as PythonQt gives them: `button.checked` is a bool and `lineEdit.text` a str, beside the setters.

PySide6's own `true_property` is no mimic: it takes `setText` away. So a descriptor is put on each class for each of its
Q_PROPERTYs, taken from Qt's meta-objects; every other method stays as it is.
"""

from __future__ import annotations

import types
from typing import Any

# Class -> its own properties' names and types, and its own signals' signatures; read once, while the meta-objects are
# safe: PySide6 invalidates a class's meta-object together with an object that was asked for it.
PROPERTIES: dict[type, dict[str, str]] = {}
SIGNALS: dict[type, set[str]] = {}


class _Property:
    """One Q_PROPERTY; on the class itself the original method remains (`QCoreApplication.applicationName()`)."""

    def __init__(self, name: str, original: Any, getter: Any, setter: str | None, writable: bool):
        self._name, self._original, self._getter = name, original, getter
        self._setter, self._writable = setter, writable

    def with_getter(self, getter: Any) -> _Property:
        """The same property, read through another method."""
        return _Property(self._name, getter, getter, self._setter, self._writable)

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self._original if self._original is not None else self
        return self._getter(instance)

    def __set__(self, instance: Any, value: Any) -> None:
        if not self._writable:
            raise AttributeError(f"property '{self._name}' of {type(instance).__name__} is read-only")
        if self._setter is not None:
            getattr(instance, self._setter)(value)
        else:
            instance.setProperty(self._name, value)


def install(classes: list[type]) -> None:
    """Puts the descriptors on QObject's descendants among `classes`, parents before children."""
    for cls in sorted(classes, key=lambda cls: len(cls.__mro__)):
        meta = getattr(cls, "staticMetaObject", None)
        if meta is None or meta.className() != cls.__name__:
            continue
        own = [meta.property(index) for index in range(meta.propertyOffset(), meta.propertyCount())]
        described = [(prop.name(), prop.typeName(), prop.isWritable()) for prop in own]
        PROPERTIES[cls] = {name: kind for name, kind, _ in described}
        methods = [meta.method(index) for index in range(meta.methodOffset(), meta.methodCount())]
        signals = [method for method in methods if method.methodType() == method.MethodType.Signal]
        SIGNALS[cls] = {bytes(method.methodSignature()).decode() for method in signals}
        for name, _, writable in described:
            _install_one(cls, name, writable)
        # A class that has its own sizeHint() hides the property of its parent.
        for name, item in list(vars(cls).items()):
            inherited = next((vars(base)[name] for base in cls.__mro__[1:] if name in vars(base)), None)
            if isinstance(inherited, _Property) and isinstance(item, types.MethodDescriptorType):
                setattr(cls, name, inherited.with_getter(item))


def property_type(cls: type, name: str) -> str | None:
    """The type's name of a property of a Qt class or of a stand-in; None: it has no such property."""
    for base in cls.__mro__:
        if name in PROPERTIES.get(base, {}):
            return PROPERTIES[base][name]
        if type(base.__dict__.get(name)).__name__ == "Property":
            return "QVariant"
    return None


def has_signal(cls: type, signature: str) -> bool:
    """Whether a class has a signal; stand-ins say in SIGNALS what theirs are called in C++."""
    return any(
        signature in SIGNALS.get(base, ()) or signature in base.__dict__.get("SIGNALS", ()) for base in cls.__mro__
    )


def _install_one(cls: type, name: str, writable: bool) -> None:
    capital = name[0].upper() + name[1:]
    original = getattr(cls, name, None)
    if isinstance(original, _Property):  # the same property, declared again by a derived class
        return
    getter = None
    for candidate in (original, getattr(cls, "is" + capital, None)):
        if isinstance(candidate, types.BuiltinFunctionType):  # static
            getter = lambda _instance, call=candidate: call()  # noqa: E731
            break
        if callable(candidate):
            getter = candidate
            break
    if getter is None:
        getter = lambda instance, name=name: instance.property(name)  # noqa: E731
    setter = "set" + capital
    setattr(cls, name, _Property(name, original, getter, setter if hasattr(cls, setter) else None, writable))
