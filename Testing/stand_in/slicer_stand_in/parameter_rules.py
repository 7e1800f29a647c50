"""Stand-ins of parameterNodeWrapper's annotations: the default value, and rules that a value must obey."""

from __future__ import annotations

import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any


class Default:
    """Annotated[int, Default(3)]: the value until something else is set; `generator` makes a new one each time."""

    def __init__(self, value: Any = None, *, generator: Callable[[], Any] | None = None):
        self._value, self._generator = value, generator

    @property
    def value(self) -> Any:
        return self._generator() if self._generator is not None else self._value


@dataclass
class Decimals:
    """Annotation for the widget: decimals shown."""

    value: int


@dataclass
class SingleStep:
    """Annotation for the widget: how far one step goes."""

    value: float


class Validator:
    """A rule; `validate` raises ValueError where the value breaks it."""

    def validate(self, value: Any) -> None:
        raise NotImplementedError


class NotNone(Validator):
    """The value must not be None."""

    def validate(self, value: Any) -> None:
        if value is None:
            raise ValueError("Value must not be None")


class WithinRange(Validator):
    """The value lies between two numbers, both included."""

    def __init__(self, minimum: float, maximum: float):
        self.minimum, self.maximum = minimum, maximum

    def validate(self, value: Any) -> None:
        if not self.minimum <= value <= self.maximum:
            raise ValueError(f"Value must be within range [{self.minimum}, {self.maximum}], is {value}")


class Minimum(Validator):
    """The value is not less than a number."""

    def __init__(self, minimum: float):
        self.minimum = minimum

    def validate(self, value: Any) -> None:
        if value < self.minimum:
            raise ValueError(f"Value must not be less than {self.minimum}, is {value}")


class Maximum(Validator):
    """The value is not greater than a number."""

    def __init__(self, maximum: float):
        self.maximum = maximum

    def validate(self, value: Any) -> None:
        if value > self.maximum:
            raise ValueError(f"Value must not be greater than {self.maximum}, is {value}")


class Choice(Validator):
    """The value is one of those listed."""

    def __init__(self, choices: list[Any]):
        self.choices = choices

    def validate(self, value: Any) -> None:
        if value not in self.choices:
            raise ValueError(f"Value is {value!r}, but must be one of {self.choices}")


class Exclude(Validator):
    """The value is none of those listed."""

    def __init__(self, excludedValues: list[Any]):
        self.excludedValues = excludedValues

    def validate(self, value: Any) -> None:
        if value in self.excludedValues:
            raise ValueError(f"Value is {value!r}, which is excluded")


def split_annotations(hint: Any) -> tuple[Any, list[Any]]:
    """Annotated[int, a, b] -> (int, [a, b]); a plain type has no annotations."""
    if typing.get_origin(hint) is Annotated:
        kind, *annotations = typing.get_args(hint)
        return kind, annotations
    return hint, []


def first(annotations: list[Any], kind: type) -> Any:
    """The first annotation of a kind, or None."""
    return next((one for one in annotations if isinstance(one, kind)), None)
