"""Model cards: JSON files in which somebody says of a model what neither its weights nor its data can say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from segmamba import reading
from segmamba.errors import UserError
from segmamba.metadata import FORMAT


def read_card(path: str | Path, option: str, keys: Sequence[str]) -> dict[str, Any]:
    """The card in a file.

    Args:
        path: the file.
        option: of the command line that names it, for messages.
        keys: those that it may have.

    Raises:
        UserError: the file cannot be read, is no JSON object, or has other keys.
    """
    card = reading.read_object(path, f"{option} {path}")
    check_keys(card, keys, f"{option} {path}")
    return card


def check_keys(values: Mapping[str, Any], allowed: Sequence[str], where: str) -> None:
    """UserError that begins with ``where`` if there are keys that are not allowed."""
    if unknown := sorted(set(values) - set(allowed)):
        raise UserError(f"{where}: unknown key {', '.join(unknown)}; allowed are {', '.join(allowed)}")


def document(
    card: Mapping[str, Any], output: Path, own: Mapping[str, Any], base: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The whole of a package's ``configs/metadata.json``, unchecked.

    Args:
        card: its words win.
        output: the package to be written: a model that nobody has named is named after it.
        own: what stands under the key ``segmamba``.
        base: description, authors and copyright where the card has none.
    """
    base = base or {}
    return {
        "name": card.get("name", output.stem if output.suffix.lower() == ".zip" else output.name),
        "version": card.get("version", "1.0.0"),
        **{key: card.get(key, base.get(key, "")) for key in ("description", "authors", "copyright")},
        "segmamba": {"format": FORMAT, **own},
    }
