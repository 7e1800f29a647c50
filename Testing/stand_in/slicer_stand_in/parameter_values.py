"""How parameterNodeWrapper's stand-in keeps typed values in a vtkMRMLScriptedModuleNode: texts and node references."""

from __future__ import annotations

import enum
import json
import pathlib
import types
import typing
from collections.abc import Callable, Iterator, MutableMapping, MutableSequence
from typing import Any

import slicer

PATHS = (
    pathlib.Path,
    pathlib.PosixPath,
    pathlib.WindowsPath,
    pathlib.PurePath,
    pathlib.PurePosixPath,
    pathlib.PureWindowsPath,
)


def is_node_type(kind: Any) -> bool:
    """Whether a type hint is a MRML node class, or a union of some and None."""
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        kinds = [one for one in typing.get_args(kind) if one is not type(None)]
        return bool(kinds) and all(is_node_type(one) for one in kinds)
    return isinstance(kind, type) and issubclass(kind, slicer.vtkMRMLNode)


def node_classes(kind: Any) -> tuple[type, ...]:
    """The node classes of a hint for which `is_node_type` holds."""
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return tuple(one for one in typing.get_args(kind) if one is not type(None))
    return (kind,)


def default_of(kind: Any) -> Any:
    """The value of a parameter whose hint names no default."""
    origin = typing.get_origin(kind)
    if is_node_type(kind):
        return None
    if origin in (typing.Union, types.UnionType):
        return None if type(None) in typing.get_args(kind) else default_of(typing.get_args(kind)[0])
    if origin in (list, dict):
        return origin()
    if origin is tuple:
        return tuple(default_of(one) for one in typing.get_args(kind))
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return next(iter(kind))
    if kind in (int, float, str, bool, *PATHS):
        return kind()
    raise TypeError(f"Unable to create serializer for type: {kind}")


def check(kind: Any, value: Any) -> None:
    """Raises TypeError or ValueError where `value` is not of the hint's type."""
    origin = typing.get_origin(kind)
    if is_node_type(kind):
        wanted = (*node_classes(kind), type(None))
    elif origin in (typing.Union, types.UnionType):
        for one in typing.get_args(kind):
            try:
                return check(one, value)
            except (TypeError, ValueError):
                continue
        raise TypeError(f"Value must be of type '{kind}', is '{value!r}'")
    elif origin in (list, tuple, dict):
        wanted = (list, WrittenList) if origin is list else (dict, WrittenDict) if origin is dict else (tuple,)
    elif kind is type(None):
        wanted = (type(None),)
    else:
        if value is None:
            raise ValueError("Value must not be None")
        wanted = (int, float) if kind is float else (kind,)
    if not isinstance(value, wanted):
        raise TypeError(f"Value must be of type '{kind}', is type '{type(value)}' value '{value}'")
    parts: list[tuple[Any, Any]] = []
    if origin is list:
        parts = [(typing.get_args(kind)[0], one) for one in value]
    elif origin is tuple:
        parts = list(zip(typing.get_args(kind), value, strict=True))
    elif origin is dict:
        of_key, of_value = typing.get_args(kind)
        parts = [pair for key, one in value.items() for pair in ((of_key, key), (of_value, one))]
    for part_kind, part in parts:
        check(part_kind, part)
    return None


def write(node: Any, name: str, kind: Any, value: Any) -> None:
    """Keeps `value` under `name`: nodes as references, everything else as text."""
    if is_node_type(kind):
        node.SetParameter(name, "")
        node.SetNodeReferenceID(name, value.GetID() if value is not None else None)
        return
    references: list[Any] = []
    text = _encode(kind, value, references)
    node.RemoveNodeReferenceIDs(name)
    for reference in references:
        node.AddNodeReferenceID(name, reference)
    plain = kind in (int, float, str, bool, *PATHS) or (isinstance(kind, type) and issubclass(kind, enum.Enum))
    node.SetParameter(name, str(text) if plain else json.dumps(text))


def read(node: Any, name: str, kind: Any) -> Any:
    """What `write` kept."""
    if is_node_type(kind):
        return node.GetNodeReference(name)
    text = node.GetParameter(name)
    plain = kind in (int, float, str, bool, *PATHS) or (isinstance(kind, type) and issubclass(kind, enum.Enum))
    return _decode(node, name, kind, text if plain else json.loads(text))


def _encode(kind: Any, value: Any, references: list[Any]) -> Any:
    origin = typing.get_origin(kind)
    if is_node_type(kind):
        if value is None:
            return None
        references.append(value.GetID())
        return len(references) - 1
    if origin in (typing.Union, types.UnionType):
        for index, one in enumerate(typing.get_args(kind)):
            try:
                check(one, value)
            except (TypeError, ValueError):
                continue
            return [index, None if value is None else _encode(one, value, references)]
    if origin is list:
        return [_encode(typing.get_args(kind)[0], one, references) for one in value]
    if origin is tuple:
        return [_encode(one, part, references) for one, part in zip(typing.get_args(kind), value, strict=True)]
    if origin is dict:
        of_key, of_value = typing.get_args(kind)
        return [[_encode(of_key, key, references), _encode(of_value, one, references)] for key, one in value.items()]
    if isinstance(value, enum.Enum):
        return value.name
    return str(value)


def _decode(node: Any, name: str, kind: Any, kept: Any) -> Any:
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if is_node_type(kind):
        return None if kept is None else node.GetNthNodeReference(name, kept)
    if origin in (typing.Union, types.UnionType):
        chosen = parts[kept[0]]
        return None if chosen is type(None) else _decode(node, name, chosen, kept[1])
    if origin is list:
        return [_decode(node, name, parts[0], one) for one in kept]
    if origin is tuple:
        return tuple(_decode(node, name, one, part) for one, part in zip(parts, kept, strict=True))
    if origin is dict:
        return {_decode(node, name, parts[0], key): _decode(node, name, parts[1], one) for key, one in kept}
    if kind is bool:
        return kept == "True"
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        if kept not in kind.__members__:
            raise ValueError(f"Found {kept!r} in parameter node but it is not a name in {kind!r}")
        return kind[kept]
    return kind(kept)


class WrittenList(MutableSequence):
    """A list from a parameter node: changes are written back. As with Slicer's, `+` and `*` are not offered."""

    def __init__(self, values: list[Any], save: Callable[[list[Any]], None]):
        self._values, self._save = values, save

    def __getitem__(self, index: Any) -> Any:
        return self._values[index]

    def __len__(self) -> int:
        return len(self._values)

    def __setitem__(self, index: Any, value: Any) -> None:
        self._values[index] = value
        self._save(self._values)

    def __delitem__(self, index: Any) -> None:
        del self._values[index]
        self._save(self._values)

    def insert(self, index: int, value: Any) -> None:
        self._values.insert(index, value)
        self._save(self._values)

    def __eq__(self, other: object) -> bool:
        return self._values == (other._values if isinstance(other, WrittenList) else other)

    def __repr__(self) -> str:
        return f"WrittenList({self._values})"


class WrittenDict(MutableMapping):
    """A dict from a parameter node: changes are written back."""

    def __init__(self, values: dict[Any, Any], save: Callable[[dict[Any, Any]], None]):
        self._values, self._save = values, save

    def __getitem__(self, key: Any) -> Any:
        return self._values[key]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __setitem__(self, key: Any, value: Any) -> None:
        self._values[key] = value
        self._save(self._values)

    def __delitem__(self, key: Any) -> None:
        del self._values[key]
        self._save(self._values)

    def __eq__(self, other: object) -> bool:
        return self._values == (other._values if isinstance(other, WrittenDict) else other)

    def __repr__(self) -> str:
        return f"WrittenDict({self._values})"
