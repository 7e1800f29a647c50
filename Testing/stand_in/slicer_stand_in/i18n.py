"""Stand-in of slicer.i18n: `tr` and `translate`. A test may install a translation to see that texts go through it."""

from __future__ import annotations

from collections.abc import Callable

_translation: Callable[[str], str] | None = None


def set_translation(function: Callable[[str], str] | None) -> None:
    """Not in Slicer: texts become `function(text)` from now on; None takes it away."""
    global _translation
    _translation = function


def translate(context: str, text: str) -> str:
    """`text` in the application's language."""
    return _translation(text) if _translation is not None else text


def tr(text: str) -> str:
    """As `translate`, with the source file's name as context."""
    return translate("", text)
