"""A JSON or CSV file that lists a data set's images and labels, with folds and subjects where it knows them.

CSV: a line a case, with the columns ``image``, or ``image:NAME`` for each of several channels, and ``label``; and,
where they are known, ``case``, ``subject`` and ``fold``.  Other columns (``site``) are kept for ``data split``.

JSON: ``{"channels": ["T1", "FLAIR"], "labels": {"background": 0, "lesion": 1}, "cases": [{"image": ["a_t1.nii.gz",
"a_flair.nii.gz"], "label": "a.nii.gz", "case": "a", "subject": "s1", "fold": 0}]}``; an image may also be an object of
channels and files.  A bare list of cases, and ``training`` for ``cases`` as in MONAI's lists, are read as well.

Files are relative to the list.  ``labels`` are as in ``dataset.json``, regions included; a CSV finds them in a file of
its own name that ends with ``.labels.json``.  Without them labels are the segments' names of ``.seg.nrrd`` files, or
the values that the label maps hold.
"""

import csv
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from segmamba.data.decathlon import stem_of
from segmamba.data.description import Case, Dataset, LabelEntry
from segmamba.data.fields import labels_of, modality_of, read_description, text_of
from segmamba.data.reading import read_label
from segmamba.data.segments import name_segments
from segmamba.errors import UserError
from segmamba.images import array

_KNOWN = ("case", "subject", "fold", "label", "image")


def is_file_list(path: Path) -> bool:
    """Whether a path is a file that may list others."""
    return path.is_file() and path.suffix.lower() in (".csv", ".json")


def read_file_list(path: Path) -> Dataset:
    """Read a list of files.

    Raises:
        UserError: the list is damaged, a field is missing or wrong, a file is missing, or there are no cases.
    """
    about, entries = _csv(path) if path.suffix.lower() == ".csv" else _json(path)
    channels = about.get("channels")
    cases = []
    for where, entry in entries:
        case, names = _case(path, where, entry)
        if channels is None:
            channels = names
        if len(names) != len(channels) or (isinstance(entry.get("image"), dict) and set(names) != set(channels)):
            raise UserError(
                f"{path}: {where} has the images {', '.join(names)} where the data set has the channels "
                f"{', '.join(channels)}; give every case the same"
            )
        if isinstance(entry.get("image"), dict):
            case = replace(case, images=tuple(case.images[names.index(name)] for name in channels))
        cases.append(case)
    if not cases:
        raise UserError(f"{path} lists no cases; a data set needs at least one")
    cases = _named_apart(cases, path)
    labels, regions, codes = _labels(path, about, cases)
    return Dataset(
        folder=path.parent,
        name=text_of(about, "name", path) or path.stem,
        description=text_of(about, "description", path),
        licence=text_of(about, "licence", path) or text_of(about, "license", path),
        reference=text_of(about, "reference", path),
        channels=tuple(channels),
        modalities=tuple(modality_of(name) for name in channels),
        labels=labels,
        regions=regions,
        cases=tuple(replace(case, segments=codes) for case in sorted(cases, key=lambda case: case.name)),
        source=path,
        layout="list of files",
    )


def _csv(path: Path) -> tuple[dict, list[tuple[str, dict]]]:
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            file.seek(0)
            reader = csv.DictReader(file, delimiter=max(",;\t", key=first.count), skipinitialspace=True)
            columns = [column.strip() for column in reader.fieldnames or ()]
            reader.fieldnames = columns
            rows = [
                (f"line {reader.line_num}", {k: (v or "").strip() for k, v in row.items() if k is not None})
                for row in reader
            ]
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not a CSV file of UTF-8: {error}") from None
    images = [column for column in columns if column == "image" or column.startswith("image:")]
    if not images or "label" not in columns:
        raise UserError(
            f"{path}: the first line names the columns {', '.join(columns)}; it must name label, and image or "
            "image:NAME for each channel"
        )
    twice = [name for name, count in Counter(columns).items() if count > 1]
    if twice:
        raise UserError(f"{path}: the first line names {twice[0]!r} twice; give each column a name of its own")
    entries = []
    for where, row in rows:
        entry: dict[str, Any] = {k: v for k, v in row.items() if k not in images and v}
        missing = [column for column in images if not row.get(column)]
        if missing:
            raise UserError(f"{path}: {where} has no {missing[0]}; name a file for each channel of each case")
        entry["image"] = {c.partition(":")[2].strip() or "image": row[c] for c in images}
        entries.append((where, entry))
    about = path.with_name(f"{path.stem}.labels.json")
    return (_with_labels(about) if about.is_file() else {}), entries


def _with_labels(path: Path) -> dict:
    """``{"labels": {...}}`` with all that belongs to it, or the labels alone."""
    value = read_description(path)
    return value if "labels" in value else {"labels": value}


def _json(path: Path) -> tuple[dict, list[tuple[str, dict]]]:
    try:
        about = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise UserError(f"{path} is not valid JSON: {error}") from None
    about = {"cases": about} if isinstance(about, list) else about
    key = "cases" if isinstance(about, dict) and "cases" in about else "training"
    listed = about.get(key) if isinstance(about, dict) else None
    if not isinstance(listed, list):
        raise UserError(f'{path} lists no cases; give {{"cases": [{{"image": FILE, "label": FILE}}, ...]}}')
    channels = about.get("channels")
    good = channels is None or (
        isinstance(channels, list) and channels and all(isinstance(c, str) and c.strip() for c in channels)
    )
    if not good or (channels and len(set(channels)) < len(channels)):
        raise UserError(f'{path}: channels is {channels!r}; it must name each once, as ["T1", "FLAIR"]')
    return about, [(f"{key}[{n}]", entry) for n, entry in enumerate(listed)]


def _case(path: Path, where: str, entry: Any) -> tuple[Case, tuple[str, ...]]:
    """A case and its channels' names."""
    value = entry.get("image") if isinstance(entry, dict) else None
    if isinstance(value, str) and value:
        value = {"image": value}
    elif isinstance(value, list):
        value = {f"channel {n}": file for n, file in enumerate(value)}
    if not isinstance(value, dict) or not value or not all(isinstance(v, str) and v for v in value.values()):
        raise UserError(f'{path}: {where} is {entry!r}; it must be {{"image": FILE, "label": FILE}}')
    images = tuple(_file(path, f"{where}.image", text) for text in value.values())
    text = entry.get("label")
    if not isinstance(text, str) or not text:
        raise UserError(f"image {images[0]} has no label: {where} of {path} names none")
    label = _file(path, f"{where}.label", text)
    fold = entry.get("fold")
    if isinstance(fold, str):
        fold = int(fold) if fold.isdecimal() else fold
    if fold is not None and not (type(fold) is int and fold >= 0):
        raise UserError(f"{path}: {where}.fold is {fold!r}; it must be a whole number from 0, or missing")
    for key in ("case", "subject"):
        if not isinstance(entry.get(key, ""), str | int) or isinstance(entry.get(key), bool):
            raise UserError(f"{path}: {where}.{key} is {entry[key]!r}; it must be text")
    name = str(entry.get("case", "")) or stem_of(images[0])[0]
    if "/" in name or "\\" in name or name in (".", ".."):
        raise UserError(f"{path}: {where}.case is {name!r}; a case's name is part of file names: leave out slashes")
    columns = tuple((k, str(v)) for k, v in entry.items() if k not in _KNOWN and isinstance(v, str | int | float))
    subject = str(entry["subject"]) if entry.get("subject") not in (None, "") else None
    return Case(name, images, label, len(images), subject, fold, columns), tuple(value)


def _file(path: Path, where: str, text: str) -> Path:
    file = path.parent / Path(text.replace("\\", "/"))
    if not file.is_file():
        raise UserError(f"{file}, which {path} names in {where}, is missing")
    return file


def _named_apart(cases: list[Case], path: Path) -> list[Case]:
    """Cases without a name of their own are called as their image; where those are alike, as the image's folder."""
    count = Counter(case.name for case in cases)
    return [
        replace(case, name=case.images[0].parent.name)
        if count[case.name] > 1 and case.name == stem_of(case.images[0])[0] and case.images[0].parent != path.parent
        else case
        for case in cases
    ]


def _labels(path: Path, about: dict, cases: list[Case]) -> tuple[tuple[LabelEntry, ...], bool, tuple]:
    """Labels as named, else as the segments are called, else as the label maps' values are."""
    segmentations = [case.label.name.lower().endswith(".seg.nrrd") for case in cases]
    if all(segmentations):
        labels, regions, codes = name_segments([case.label for case in cases])
        if not labels:
            raise UserError(f"{cases[0].label} and the other segmentations hold no segments; draw at least one")
        return labels, regions, codes
    if any(segmentations):
        one, other = cases[segmentations.index(True)].label, cases[segmentations.index(False)].label
        raise UserError(f"{path} lists {one}, with segments, and {other}, a label map; give one kind of label")
    if "labels" in about:
        return (*labels_of(about, path), ())
    values: set[int] = set()
    for case in cases:
        values |= set(np.unique(array(read_label(case.label, []))).tolist())
    values -= {0}
    if not values:
        raise UserError(f"{path}: no label map holds anything but 0; name the labels under labels, or draw them")
    return tuple(LabelEntry(f"label {v}", v, (v,)) for v in sorted(values)), False, ()
