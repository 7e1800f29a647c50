"""Reading JSON values with checks: every wrong field of a file is found and named in one message."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from segmamba.errors import UserError

__all__ = ["REQUIRED", "Problems", "Table", "plain", "read", "read_object", "show"]

T = TypeVar("T")
Check = Callable[[Any], Any]
REQUIRED: Any = object()
MOST_SHOWN = 10
NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,99}")
AXES = {"L": 0, "R": 0, "P": 1, "A": 1, "S": 2, "I": 2}


class Problems:
    """What is wrong with one file, collected so that the user mends it in one go."""

    def __init__(self, file: str):
        self.file = file
        self.found: list[str] = []

    def add(self, path: str, text: str) -> None:
        """Notes that the field at ``path`` is wrong; ``text`` goes on from its name ("is 3, ...")."""
        self.found.append(f"{path} {text}" if path else f"the file {text}")

    def raise_if_any(self) -> None:
        """UserError with all of them in one sentence, if there is one."""
        if self.found:
            more = len(self.found) - MOST_SHOWN
            tail = f"; and {more} more" if more > 0 else ""
            raise UserError(f"{self.file}: " + "; ".join(self.found[:MOST_SHOWN]) + tail)


class Table:
    """A JSON object whose fields are taken out one by one.

    Args:
        data: the JSON value; anything but an object is noted as a problem.
        path: where it stands in the file, e.g. ``segmamba.labels[0]``.
        problems: where problems are noted.
        known: the keys it may have; None leaves unknown keys alone.
    """

    def __init__(self, data: Any, path: str, problems: Problems, known: Sequence[str] | None = None):
        self.path = path
        self.problems = problems
        self.usable = isinstance(data, dict)
        self.data: dict[str, Any] = data if self.usable else {}
        if not self.usable:
            problems.add(path, f"is {show(data)}, expected an object {{...}}")
        for key in self.data:
            if known is not None and key not in known:
                problems.add(self.at(key), f"is not a known key, known are {', '.join(known)}")

    def at(self, key: str) -> str:
        """Path of a field, for messages."""
        return f"{self.path}.{key}" if self.path else str(key)

    def take(self, key: str, check: Check, default: Any = REQUIRED) -> Any:
        """The checked value of a field; null stands for a default of None; None after a noted problem."""
        if key not in self.data:
            if default is REQUIRED and self.usable:
                self.problems.add(self.at(key), "is missing")
            return None if default is REQUIRED else default
        value = self.data[key]
        if value is None and default is None:
            return None
        try:
            return check(value)
        except ValueError as error:
            self.problems.add(self.at(key), f"is {show(value)}, {error}")
            return None

    def nested(self, key: str, parse: Callable[[Any, str, Problems], T], default: Any = REQUIRED) -> T | None:
        """A field that is an object itself."""
        if key not in self.data:
            return self.take(key, plain, default)
        return parse(self.data[key], self.at(key), self.problems)

    def nested_list(self, key: str, parse: Callable[[Any, str, Problems], T]) -> tuple[T, ...]:
        """A field that is a list of objects, at least one."""
        values = self.take(key, filled_list) or ()
        return tuple(parse(v, f"{self.at(key)}[{n}]", self.problems) for n, v in enumerate(values))


def read(parse: Callable[[Any, str, Problems], T], data: Any, path: str, file: str) -> T:
    """Runs ``parse`` and raises UserError with all that was wrong."""
    problems = Problems(file)
    result = parse(data, path, problems)
    problems.raise_if_any()
    return result


def read_object(path: str | Path, name: str | None = None) -> dict[str, Any]:
    """The JSON object that a file holds, with or without a byte order mark.

    Args:
        path: the file.
        name: how a message calls it; its path where None.

    Raises:
        UserError: the file cannot be read, or holds anything else.
    """
    name = str(path) if name is None else name
    try:
        value = json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UserError(f"{name} cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:  # ValueError: text that is not UTF-8, too
        raise UserError(f"{name} is not valid JSON ({error}); mend the file") from error
    if not isinstance(value, dict):
        raise UserError(f"{name} must hold a JSON object {{...}}, not {show(value)}")
    return value


def show(value: Any) -> str:
    """A value for a message, cut short."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def plain(value: Any) -> Any:
    """A copy in JSON's own types: tuples become lists."""
    if isinstance(value, dict):
        return {key: plain(v) for key, v in value.items()}
    return [plain(v) for v in value] if isinstance(value, (list, tuple)) else value


def is_number(value: Any) -> bool:
    """True for finite int and float; a truth value is no number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


# ---- checks: return the value to keep, or raise ValueError with what was expected


def any_text(value: Any) -> str:
    """Text, which may be empty."""
    if not isinstance(value, str):
        raise ValueError("expected text")
    return value


def text(value: Any) -> str:
    """Text that is not empty."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError("expected text that is not empty")
    return value


def flag(value: Any) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise ValueError("expected true or false")
    return value


def model_name(value: Any) -> str:
    """A name that is safe as a folder's name everywhere."""
    if not isinstance(value, str) or not NAME.fullmatch(value) or value.endswith("."):
        raise ValueError(
            "expected a name of letters, digits, '-', '_' and '.' (no dot first or last, at most 100 characters)"
        )
    return value


def one_of(allowed: Sequence[str]) -> Check:
    """One of the texts allowed."""

    def check(value: Any) -> str:
        if value not in allowed:
            raise ValueError("allowed are " + ", ".join(repr(a) for a in allowed))
        return value

    return check


def integer(low: int, high: int) -> Check:
    """A whole number from low to high."""

    def check(value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise ValueError(f"expected a whole number from {low} to {high}")
        return value

    return check


def integers(low: int, high: int, length: int | None = None, unique: bool = False) -> Check:
    """A list of whole numbers from low to high; of that length, else at least one."""

    def check(value: Any) -> tuple[int, ...]:
        count = f"{length}" if length else "one or more"
        different = " different" if unique else ""
        expected = f"expected {count}{different} whole numbers from {low} to {high}"
        if not isinstance(value, (list, tuple)) or not value or (length and len(value) != length):
            raise ValueError(expected)
        one = integer(low, high)
        try:
            checked = tuple(one(v) for v in value)
        except ValueError:
            raise ValueError(expected) from None
        if unique and len(set(checked)) != len(checked):
            raise ValueError(expected)
        return checked

    return check


def positive_numbers(length: int) -> Check:
    """A list of so many numbers above 0."""

    def check(value: Any) -> tuple[float, ...]:
        usable = isinstance(value, (list, tuple)) and len(value) == length
        if not usable or not all(is_number(v) and v > 0 for v in value):
            raise ValueError(f"expected {length} numbers above 0")
        return tuple(float(v) for v in value)

    return check


def interval(low: float | None = None, high: float | None = None, low_open: bool = False, same: bool = False) -> Check:
    """[lower, upper] within low and high; ``same`` allows lower == upper, ``low_open`` forbids lower == low."""

    def check(value: Any) -> tuple[float, float]:
        bounds = "" if low is None else f" above {low:g}" if low_open else f" from {low:g}"
        bounds += "" if high is None else f" to {high:g}"
        expected = f"expected [lower, upper], two numbers{bounds}, the lower first"
        if not isinstance(value, (list, tuple)) or len(value) != 2 or not all(is_number(v) for v in value):
            raise ValueError(expected)
        lower, upper = float(value[0]), float(value[1])
        outside = (low is not None and (lower < low or (low_open and lower == low))) or (
            high is not None and upper > high
        )
        if outside or lower > upper or (lower == upper and not same):
            raise ValueError(expected)
        return lower, upper

    return check


def number(value: Any) -> float:
    """A number."""
    if not is_number(value):
        raise ValueError("expected a number")
    return value


def named_numbers(value: Any) -> dict[str, float]:
    """An object with a number for each name."""
    if not isinstance(value, dict) or not all(isinstance(k, str) and is_number(v) for k, v in value.items()):
        raise ValueError("expected an object {name: number}")
    return value


def image_axes(value: Any) -> list[int | str]:
    """A list of axes of the image, by name or by number; it may be empty."""
    known = isinstance(value, (list, tuple)) and all(
        isinstance(v, (int, str)) and not isinstance(v, bool) and v in ("i", "j", "k", 0, 1, 2) for v in value
    )
    if not known:
        raise ValueError("expected a list of axes: 'i', 'j', 'k', or 0, 1, 2")
    return list(value)


def orientation(value: Any) -> str:
    """Three letters, one of L/R, one of P/A, one of S/I, in any order."""
    if not isinstance(value, str) or sorted(AXES.get(letter, -1) for letter in value) != [0, 1, 2]:
        raise ValueError("expected three letters, one of L or R, one of P or A, one of S or I, such as 'LPS' or 'RAS'")
    return value


def json_object(value: Any) -> dict[str, Any]:
    """An object that holds nothing but JSON values."""
    if not isinstance(value, dict):
        raise ValueError("expected an object {...}")
    odd = _not_json(value, "")
    if odd:
        raise ValueError(f"{odd}, expected JSON values (text keys; text, finite numbers, true, false, null)")
    return plain(value)


def filled_list(value: Any) -> Sequence[Any]:
    """A list with at least one element."""
    if not isinstance(value, (list, tuple)) or not value:
        raise ValueError("expected a list with at least one element")
    return value


def weights_file(value: Any) -> str:
    """A safetensors file directly or deeper in ``models/``, never outside."""
    parts = value.split("/") if isinstance(value, str) and "\\" not in value and ":" not in value else []
    if len(parts) < 2 or parts[0] != "models" or not value.endswith(".safetensors"):
        raise ValueError("expected a file such as 'models/model.safetensors'")
    if any(part in ("", ".", "..") for part in parts):
        raise ValueError("expected a file inside 'models/'")
    return value


def sha256(value: Any) -> str:
    """64 hexadecimal digits."""
    if not isinstance(value, str) or not re.fullmatch(r"[0-9a-f]{64}", value):
        raise ValueError("expected 64 hexadecimal digits in lower case")
    return value


def _not_json(value: Any, path: str) -> str:
    """What is not JSON in a value and where, or an empty text."""
    if isinstance(value, dict):
        for key, v in value.items():
            if not isinstance(key, str):
                return f"the key {key!r} is no text"
            if odd := _not_json(v, f"{path}.{key}" if path else key):
                return odd
        return ""
    if isinstance(value, (list, tuple)):
        return next((odd for n, v in enumerate(value) if (odd := _not_json(v, f"{path}[{n}]"))), "")
    if value is None or isinstance(value, (str, bool)) or is_number(value):
        return ""
    return f"its {path} is {show(value)}"
