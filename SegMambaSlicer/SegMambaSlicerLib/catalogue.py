"""The models that can be chosen in the panel: reading them, and finding one by words.

Standard library alone: the models are listed and described before anything is installed.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from segmamba import models
from segmamba.errors import UserError

__all__ = ["install", "matching", "package_of", "title", "usable"]


def usable() -> tuple[list[models.Entry], list[str]]:
    """The models that can be used, in the catalogue's order, and a sentence for each that cannot.

    A damaged settings file hides no model without a word: it is among the sentences.
    """
    try:
        found = models.entries()
    except UserError as error:
        return [], [str(error)]
    return [e for e in found if e.problem is None], [e.problem for e in found if e.problem is not None]


def matching(entries: Iterable[models.Entry], words: str) -> list[models.Entry]:
    """Those in which every word occurs: in the name, the description, a label, a channel, its modality or the network.

    Upper and lower case are one.

    Example:
        >>> [e.name for e in matching(usable()[0], "mr hippo")]
        ['hippocampus-lightmunet']
    """
    wanted = words.lower().split()
    return [entry for entry in entries if all(word in _haystack(entry) for word in wanted)]


def title(entry: models.Entry) -> str:
    """One line for the list: name and what it finds."""
    names = [label.name for label in entry.metadata.labels]
    shown = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
    return f"{entry.name}  ({shown})"


def install(file: str | Path) -> models.Installation:
    """Installs a model package for this user.

    Args:
        file: its zip, or the ``metadata.json`` of an unpacked one (a dialogue that opens files cannot choose folders).

    Raises:
        UserError: the package is damaged, or another model has its name.
    """
    return models.install(package_of(file))


def package_of(file: str | Path) -> Path:
    """The package that is meant by a file in it: the folder above ``configs/metadata.json``, or the file itself."""
    file = Path(file)
    return file.parents[1] if file.name == "metadata.json" and file.parent.name == "configs" else file


def _haystack(entry: models.Entry) -> str:
    metadata = entry.metadata
    words = [metadata.name, metadata.description, metadata.network]
    for label in metadata.labels:
        words.append(label.name)
        words += _meanings(label.terminology)
    for channel in metadata.channels:
        words += [channel.name, channel.modality]
    return "\n".join(words).lower()


def _meanings(terminology: object) -> list[str]:
    """The words of a label's coded names: "brain" finds a model whose labels are named WT, TC and ET."""
    values = terminology.values() if isinstance(terminology, dict) else ()
    return [str(value["CodeMeaning"]) for value in values if isinstance(value, dict) and "CodeMeaning" in value]
