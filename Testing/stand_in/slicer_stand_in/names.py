"""Checks the names that sources use on Qt, CTK, Slicer and VTK classes, without running them.

What an expression is, is followed through the sources as far as it goes: constructors, annotations, widgets of the .ui
file, nodes made by class name, and what a known method returns (VTK's docstrings and Qt's signatures say so). What
stays unknown is checked more loosely: a name in the manner of VTK (`GetSomething`) or Qt (`setSomething`) must exist on
some class at all. It is a net, not a proof.
"""

from __future__ import annotations

import ast
import builtins
import enum
import importlib
import re
import sys
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import names_known as known


@dataclass
class Checker:
    """Follows one file's expressions; `problems` says what was found, "file:line: sentence"."""

    path: str
    widgets: dict[str, type]
    own: set[str]
    everywhere: set[str]
    problems: list[str] = field(default_factory=list)
    types: dict[str, Any] = field(default_factory=dict)
    local: dict[str, Any] = field(default_factory=dict)

    def check(self, tree: ast.Module) -> None:
        """Checks the file: what `self.x` is holds for all of it, what plain names are for their function."""
        for node in ast.walk(tree):
            for target, value in _assignments(node):
                if "." in target:
                    self._learn(self.types, target, value)
        self._scope(tree, {})

    def _scope(self, scope: ast.AST, outer: dict[str, Any]) -> None:
        inside, functions = _inside(scope)
        here: dict[str, Any] = {}
        self.local = outer
        for node in inside:
            for target, value in _assignments(node):
                if "." not in target:
                    self._learn(here, target, value)
                    self.local = {**outer, **here}
        for node in inside:
            if isinstance(node, ast.Attribute):
                self._attribute(node)
            elif isinstance(node, ast.Call):
                self._call(node)
        known_here = self.local
        for function in functions:
            self._scope(function, known_here)

    def _say(self, node: ast.AST, sentence: str) -> None:
        self.problems.append(f"{self.path}:{node.lineno}: {sentence}")

    # What things are

    def _learn(self, types: dict[str, Any], target: str, value: ast.AST | None) -> None:
        """A name that is two things is neither."""
        found = self.type_of(value) if value is not None else None
        types[target] = found if types.get(target, found) is found else None

    def type_of(self, node: ast.AST) -> Any:
        """The class of an expression's value; for a module or a class itself, `_Itself`; None: not known."""
        text = _dotted(node)
        if text is not None:
            if text in known.MODULES:
                return _Itself(sys.modules.get(known.MODULES[text]))
            if text in known.VALUES:
                return known.class_named(known.VALUES[text])
            parts = text.split(".")
            if len(parts) >= 2 and parts[-2] == "ui" and parts[-1] in self.widgets:
                return self.widgets[parts[-1]]
            for types in (self.local, self.types):
                if text in types:
                    return types[text]
        if isinstance(node, ast.Attribute):
            owner = self.type_of(node.value)
            if isinstance(owner, _Itself):
                item = getattr(owner.thing, node.attr, None)
                return _Itself(item) if item is not None else None
            return known.property_type(owner, node.attr) if isinstance(owner, type) else None
        if isinstance(node, ast.Call):
            return self._returned(node)
        return None

    def _returned(self, node: ast.Call) -> Any:
        function = node.func
        if isinstance(function, ast.Attribute):
            if function.attr in known.NODE_MAKERS and node.args and isinstance(node.args[0], ast.Constant):
                return known.class_named(str(node.args[0].value))
            owner = self.type_of(function.value)
            if isinstance(owner, _Itself):
                item = getattr(owner.thing, function.attr, None)
                if isinstance(item, type):
                    return item if known.is_foreign(item) else None
                return known.return_type(owner.thing, function.attr)
            if isinstance(owner, type):
                return known.return_type(owner, function.attr)
        return None

    # What is wrong

    def _attribute(self, node: ast.Attribute) -> None:
        owner = self.type_of(node.value)
        name = node.attr
        if isinstance(owner, _Itself):
            self._of_itself(node, owner.thing, name)
        elif isinstance(owner, type) and known.is_foreign(owner):
            self._of_instance(node, owner, name)
        elif _looks_foreign(name) and name not in self.everywhere and name not in self.own:
            self._say(node, f"no class of Qt, CTK, Slicer or VTK and nothing of ours has '{name}'")

    def _of_itself(self, node: ast.Attribute, thing: Any, name: str) -> None:
        if isinstance(thing, enum.EnumMeta) and known.is_qt_enum(thing):
            self._say(node, f"write the enumeration's value without its type: '{_dotted(node)}' is PySide6's spelling")
        elif thing is None or (not isinstance(thing, type) and not hasattr(thing, "__spec__")):
            return
        elif not hasattr(thing, name):
            if getattr(thing, "__name__", "") in known.OPEN_MODULES:
                return
            self._say(node, f"{getattr(thing, '__name__', thing)} has no '{name}'")
        elif name in known.NOT_IN_BOTH_QTS:
            self._say(node, f"'{name}' is not in both Qt 5.15 and Qt 6")

    def _of_instance(self, node: ast.Attribute, owner: type, name: str) -> None:
        if name.startswith("__"):
            return
        if not known.in_family(owner, name) or name in known.STAND_IN_ONLY or name.startswith("_"):
            self._say(node, f"{owner.__name__} has no '{name}'")
        elif name in known.NOT_IN_BOTH_QTS:
            self._say(node, f"{owner.__name__}.{name} is not in both Qt 5.15 and Qt 6")
        elif isinstance(node.ctx, ast.Store) and known.is_qt(owner) and not known.is_property(owner, name):
            self._say(node, f"'{name}' is no property of {owner.__name__}: it cannot be assigned")

    def _call(self, node: ast.Call) -> None:
        function = node.func
        if not isinstance(function, ast.Attribute):
            return
        owner = self.type_of(function.value)
        of_qt = isinstance(owner, type) and known.is_qt(owner)
        if of_qt and known.is_property(owner, function.attr):
            self._say(node, f"{owner.__name__}.{function.attr} is a property in PythonQt: read it without brackets")
        made = isinstance(owner, _Itself) and known.is_qt(getattr(owner.thing, function.attr, None))
        if node.keywords and (of_qt or made) and function.attr not in known.PYTHON_METHODS:
            self._say(node, f"PythonQt takes no keyword arguments: {function.attr}(...)")
        if of_qt and function.attr in ("connect", "disconnect") and node.args:
            self._signature(node, owner)

    def _signature(self, node: ast.Call, owner: type) -> None:
        signature = node.args[0]
        text = signature.value if isinstance(signature, ast.Constant) else None
        if isinstance(text, str) and not known.has_signal(owner, text):
            self._say(node, f"{owner.__name__} has no signal {text}")


@dataclass(frozen=True)
class _Itself:
    """A module, class or function as such, not an object of it."""

    thing: Any


_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


def _inside(scope: ast.AST) -> tuple[list[ast.AST], list[ast.AST]]:
    """The nodes of a function (or file) without those of functions in it, and the functions in it."""
    inside, functions, waiting = [scope], [], list(ast.iter_child_nodes(scope))
    while waiting:
        node = waiting.pop(0)
        if isinstance(node, _FUNCTIONS):
            functions.append(node)
        else:
            inside.append(node)
            waiting[:0] = ast.iter_child_nodes(node)
    return inside, functions


def _dotted(node: ast.AST) -> str | None:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        owner = _dotted(node.value)
        return f"{owner}.{node.attr}" if owner is not None else None
    return None


def _assignments(node: ast.AST) -> list[tuple[str, ast.AST | None]]:
    """(name, what it is made of) of everything that binds a name; None where that is nothing that can be followed."""
    pairs: list[tuple[ast.AST, ast.AST | None]] = []
    if isinstance(node, ast.Assign):
        for target in node.targets:
            if isinstance(target, (ast.Tuple, ast.List)):
                pairs += [(part, None) for part in target.elts]
            else:
                pairs.append((target, node.value))
    elif isinstance(node, ast.AnnAssign):
        pairs.append((node.target, node.value))
    elif isinstance(node, (ast.For, ast.comprehension)):
        parts = node.target.elts if isinstance(node.target, ast.Tuple) else [node.target]
        pairs += [(part, None) for part in parts]
    elif isinstance(node, ast.withitem) and node.optional_vars is not None:
        pairs.append((node.optional_vars, None))
    elif isinstance(node, ast.NamedExpr):
        pairs.append((node.target, node.value))
    found = [(_dotted(target), value) for target, value in pairs]
    if isinstance(node, _FUNCTIONS):
        for one in [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]:
            hint = getattr(one, "annotation", None)
            value = ast.Call(func=hint, args=[], keywords=[]) if isinstance(hint, ast.Attribute) else None
            found.append((one.arg, value))
    return [(name, value) for name, value in found if name not in (None, "self", "cls")]


def _looks_foreign(name: str) -> bool:
    """`GetSomething` as VTK's methods, `setSomething` as Qt's: two words or more, with capitals, no underscore."""
    return bool(re.fullmatch(r"[A-Z][a-z0-9]+([A-Z][A-Za-z0-9]*)+|[a-z][a-z0-9]+([A-Z][A-Za-z0-9]*)+", name))


def _names_of(tree: ast.Module) -> set[str]:
    """Every name that a source itself defines: functions, classes, variables, attributes, arguments, texts as names."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef)):
            found.add(node.name)
        elif isinstance(node, ast.arg):
            found.add(node.arg)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and _dotted(node.value) == "self":
            found.add(node.attr)
        elif isinstance(node, ast.Import):
            found.update((one.asname or one.name).split(".")[0] for one in node.names)
        elif isinstance(node, ast.ImportFrom):
            found.update(one.asname or one.name for one in node.names)
    return found


def widget_classes(ui_file: Path) -> dict[str, type]:
    """The widgets of a .ui file by name, with their classes.

    Raises:
        LookupError: if the file names a class that neither Qt nor the stand-in has.
    """
    found = {}
    for widget in ET.parse(ui_file).iter("widget"):
        cls = known.class_named(widget.get("class"))
        if cls is None:
            raise LookupError(f"{ui_file.name}: class {widget.get('class')} is not known")
        found[widget.get("name")] = cls
    return found


def check_ui(ui_file: Path) -> list[str]:
    """Properties in a .ui file that its classes do not have; those with stdset="0" are dynamic on purpose."""
    problems = []
    for widget in ET.parse(ui_file).iter("widget"):
        cls = known.class_named(widget.get("class"))
        if cls is None:
            problems.append(f"{ui_file.name}: class {widget.get('class')} of {widget.get('name')} is not known")
            continue
        for one in widget.findall("property"):
            name = one.get("name")
            if one.get("stdset") != "0" and not known.is_property(cls, name):
                problems.append(f"{ui_file.name}: {cls.__name__} {widget.get('name')} has no property '{name}'")
    return problems


def check_folder(folder: Path, *, library: str = "SegMambaSlicerLib") -> list[str]:
    """Checks all .py and .ui files under a module's folder; `qt.start()` must have been called.

    Args:
        folder: folder with the module's .py, its library and Resources.
        library: package whose names count as the module's own.

    Returns:
        What is wrong, one sentence each with file and line; empty when nothing is.
    """
    sources = {path: ast.parse(path.read_text(encoding="utf-8"), str(path)) for path in sorted(folder.rglob("*.py"))}
    problems: list[str] = []
    widgets: dict[str, type] = {}
    for ui_file in sorted(folder.rglob("*.ui")):
        problems += check_ui(ui_file)
        widgets.update(widget_classes(ui_file))
    own = set(widgets).union(*(_names_of(tree) for tree in sources.values())) if sources else set(widgets)
    own |= set(dir(builtins)) | _of_modules(sources.values(), library)
    everywhere = known.all_names()
    for path, tree in sources.items():
        checker = Checker(str(path.relative_to(folder)), widgets, own, everywhere)
        checker.check(tree)
        problems += checker.problems
    return problems


def _of_modules(trees: Any, library: str) -> set[str]:
    """Names of the other Python modules that the sources import (logging.getLogger, json.JSONDecodeError, ...)."""
    found: set[str] = set()
    for tree in trees:
        for node in ast.walk(tree):
            modules = [one.name for one in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                modules = [node.module]
            for name in modules:
                if name.split(".")[0] in ("qt", "ctk", "vtk", "slicer", library, "torch", "numba"):
                    continue
                try:
                    module = importlib.import_module(name)
                except ImportError:
                    continue
                for item_name, item in list(vars(module).items()):
                    found.add(item_name)
                    if isinstance(item, type):
                        found.update(dir(item))
    return found
