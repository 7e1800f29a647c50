"""The fields of ``dataset.json``: channels, labels and regions, as MSD and nnU-Net write them."""

import json
import re
from pathlib import Path
from typing import Any

from segmamba.data.description import LabelEntry
from segmamba.errors import UserError

_MR = re.compile(r"(?i)^(mri?$|mri?[-_ ]|t1|t2|flair|dwi|adc|swi|pdw?$|tof|gre|fa$|md$)")


def read_labels(folder: str | Path) -> tuple[LabelEntry, ...]:
    """The labels that a folder's ``dataset.json`` names, whatever else of the data set is there.

    Raises:
        UserError: ``dataset.json`` is missing or invalid, or its labels are.
    """
    path = Path(folder) / "dataset.json"
    return labels_of(read_description(path), path)[0]


def read_description(path: Path) -> dict[str, Any]:
    """The object that a ``dataset.json`` holds; UserError where there is none."""
    if not path.is_file():
        raise UserError(f"{path} is missing; a data set is described by a dataset.json as MSD or nnU-Net have it")
    try:
        about = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise UserError(f"{path} is not valid JSON: {error}") from None
    if not isinstance(about, dict):
        raise UserError(f"{path} holds no JSON object; a dataset.json begins with '{{'")
    return about


def text_of(about: dict, key: str, path: Path) -> str:
    """A field of text; a list of texts is joined, as nnU-Net's converters write references."""
    value = about.get(key, "")
    if isinstance(value, list) and all(isinstance(v, str) for v in value):
        return "; ".join(value)
    if value is not None and not isinstance(value, str):
        raise UserError(f"{path}: {key} is {value!r}; it must be text")
    return value or ""


def channels_of(about: dict, path: Path) -> tuple[str, ...]:
    """Names of the channels, in order; UserError where the field is missing or wrong."""
    key = "channel_names" if "channel_names" in about else "modality"
    value = about.get(key)
    if value is None:
        raise UserError(f"{path}: channel_names (nnU-Net) or modality (MSD) is missing; it names the image channels")
    if isinstance(value, list):
        value = {str(n): name for n, name in enumerate(value)}
    if not isinstance(value, dict) or not value or not all(isinstance(v, str) and v.strip() for v in value.values()):
        raise UserError(f'{path}: {key} is {value!r}; it must name each channel, as {{"0": "T1", "1": "T2"}}')
    if sorted(value) != sorted(str(n) for n in range(len(value))):
        raise UserError(f"{path}: {key} has the keys {', '.join(value)}; they must count from 0 without a gap")
    return tuple(value[str(n)].strip() for n in range(len(value)))


def modality_of(channel: str) -> str:
    """DICOM's word for the kind of scanner, as far as a channel's name tells."""
    upper = channel.upper()
    if upper in ("CT", "PET", "US"):
        return upper
    return "MR" if _MR.match(channel) else "OT"


def labels_of(about: dict, path: Path) -> tuple[tuple[LabelEntry, ...], bool]:
    """Labels without the background, and whether they are regions; UserError where the field is missing or wrong."""
    value = about.get("labels")
    if not isinstance(value, dict) or not value:
        what = "missing" if value is None else f"{value!r}"
        raise UserError(f'{path}: labels is {what}; it must be an object as {{"background": 0, "tumour": 1}}')
    if all(isinstance(v, str) for v in value.values()):
        # As MSD has it: value -> name.
        if not all(key.strip().isdecimal() for key in value):
            raise UserError(f'{path}: labels is {value!r}; give {{"0": "background", ...}} or {{"background": 0, ...}}')
        table: dict[str, Any] = {}
        for key, name in value.items():
            if name in table:
                raise UserError(f"{path}: labels names {name!r} twice; give each label a name of its own")
            table[name] = int(key)
    else:
        table = dict(value)
    for name, members in table.items():
        several = members if isinstance(members, list) else [members]
        if not name.strip() or not several or not all(type(v) is int and 0 <= v < 65536 for v in several):
            raise UserError(
                f"{path}: label {name!r} is {members!r}; it must be a whole number from 0, or a list of them"
            )
    if "ignore" in table:
        raise UserError(f"{path}: the label 'ignore' of nnU-Net is not supported; remove it and the cases that need it")
    table = {name: members for name, members in table.items() if members not in (0, [0])}
    if not table:
        raise UserError(f"{path}: labels holds nothing but background; name at least one label")
    if any(isinstance(members, list) for members in table.values()):
        return _regions(table, about.get("regions_class_order"), path), True
    entries = sorted((LabelEntry(name, v, (v,)) for name, v in table.items()), key=lambda entry: entry.value)
    found = [entry.value for entry in entries]
    if found != list(range(1, len(entries) + 1)):
        raise UserError(
            f"{path}: labels have the values {found}; without the background they must count from 1, each once"
        )
    return tuple(entries), False


def _regions(table: dict[str, Any], order: Any, path: Path) -> tuple[LabelEntry, ...]:
    painted = isinstance(order, list) and all(type(v) is int and 0 < v < 65536 for v in order)
    if not painted or len(order) != len(table) or len(set(order)) != len(order):
        raise UserError(
            f"{path}: regions_class_order is {order!r}; it must give each of the {len(table)} regions "
            f"({', '.join(table)}) a value of its own, from 1"
        )
    entries = []
    for (name, members), value in zip(table.items(), order, strict=True):
        members = tuple(sorted(set(members if isinstance(members, list) else [members])))
        if 0 in members:
            raise UserError(f"{path}: the region {name!r} holds 0, the background; give the values of tissue alone")
        entries.append(LabelEntry(name, value, members))
    return tuple(entries)
