"""Which cases a cohort has: a folder in nnU-Net's naming, or a JSON or CSV list of files."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from segmamba.errors import UserError
from segmamba.images import IMAGE_SUFFIXES, suffix_of
from segmamba.reading import Problems, show

_FILE = re.compile(r"(?P<case>.+)_(?P<channel>\d{4})(?:\.nii\.gz|\.nii|\.nrrd|\.mha)", re.IGNORECASE)
# What no file's name may hold on one system or another; a name that begins with a dot would be hidden.
_UNSAFE = re.compile(r'[\x00-\x1f<>:"/\\|?*]|^\.|^\s|[\s.]$')
_LONGEST = 200
_NAME_COLUMNS = ("case", "name")


@dataclass(frozen=True)
class CohortCase:
    """One case.

    Attributes:
        name: Of its results, too.
        images: Absolute paths, one a channel in the model's order; files, or DICOM folders.
        problem: What makes it unusable, a sentence; empty where nothing is known to.
    """

    name: str
    images: tuple[Path, ...]
    problem: str = ""


@dataclass(frozen=True)
class Cohort:
    """All cases, by name, and what the user should know."""

    path: Path
    cases: tuple[CohortCase, ...]
    warnings: list[str] = field(default_factory=list)


def read_cohort(path: str | Path, channels: Sequence[str]) -> Cohort:
    """Finds the cases of a cohort.

    A folder holds ``CASE_0000.nii.gz``, ``CASE_0001.nii.gz``, ...: one file for each channel, in the model's order
    (.nii, .nrrd and .mha, too).  A CSV list has a column ``case`` and one for each channel, named as the model's
    channel or ``0000``, ``0001``, ...; ``image`` does where there is one channel.  A JSON list is a list of
    ``{"case": NAME, "images": [FILE, ...]}``, or an object that has it as ``cases``; ``images`` may be an object
    ``{CHANNEL: FILE}``, too.  Paths in a list are relative to the list's folder.  Other columns and keys are ignored.

    Args:
        path: Folder or list.
        channels: Names of the model's channels, in its order.

    Returns:
        The cohort.  Where some of its cases lack a channel, these have a ``problem``; the others can be segmented.

    Raises:
        UserError: There is no such folder or list, it is malformed, two cases have one name, or no case is complete.
    """
    path = Path(path)
    if os.path.isdir(path):
        cohort = _from_folder(path, channels)
    elif not os.path.exists(path):
        raise UserError(f"--cohort {path}: there is no such folder or list; name one that exists")
    elif path.suffix.lower() == ".json":
        cohort = Cohort(path, _from_json(path, channels))
    elif path.suffix.lower() in (".csv", ".tsv"):
        cohort = Cohort(path, _from_csv(path, channels))
    else:
        raise UserError(f"--cohort {path}: this is no folder, .json or .csv list; name one of these")
    _check_names(cohort)
    if all(case.problem for case in cohort.cases):
        more = f" (and so for all {len(cohort.cases)} cases)" if len(cohort.cases) > 1 else ""
        raise UserError(f"--cohort {path}: {cohort.cases[0].problem}{more}")
    return cohort


def _from_folder(folder: Path, channels: Sequence[str]) -> Cohort:
    found: dict[str, dict[int, list[Path]]] = defaultdict(lambda: defaultdict(list))
    strays: list[str] = []
    try:
        files = sorted(os.listdir(folder))
    except OSError as error:
        raise UserError(f"--cohort {folder} cannot be read: {error.strerror or error}") from error
    for name in files:
        match = _FILE.fullmatch(name)
        if name.startswith("."):
            continue
        if match:
            found[match["case"]][int(match["channel"])].append(Path(os.path.abspath(folder / name)))
        elif suffix_of(name, IMAGE_SUFFIXES):
            strays.append(name)
    if not found:
        inside = [name for name in ("imagesTs", "imagesTr") if os.path.isdir(folder / name)]
        advice = f"name {folder / inside[0]}" if inside else "rename the images, or give a JSON or CSV list of them"
        raise UserError(f"--cohort {folder} holds no images named CASE_0000.nii.gz, CASE_0001.nii.gz, ...; {advice}")
    warnings = []
    if strays:
        shown = ", ".join(strays[:3]) + (", ..." if len(strays) > 3 else "")
        warnings.append(f"{folder}: not named CASE_0000.nii.gz and so left out: {shown} ({len(strays)} in all)")
    cases = []
    for name, numbers in sorted(found.items()):
        problem = ""
        if twice := [f"{n:04d}" for n, paths in numbers.items() if len(paths) > 1]:
            problem = f"case {name} has two files for channel {twice[0]}; keep one"
        elif sorted(numbers) != list(range(len(channels))):
            has = ", ".join(f"{n:04d}" for n in sorted(numbers))
            problem = f"case {name} has {has} where the model needs {_needed(channels)}; give these files"
        cases.append(CohortCase(name, tuple(numbers[n][0] for n in sorted(numbers)), problem))
    return Cohort(folder, tuple(cases), warnings)


def _from_json(path: Path, channels: Sequence[str]) -> tuple[CohortCase, ...]:
    try:
        value = json.loads(_text(path))
    except (ValueError, RecursionError) as error:
        raise UserError(f"--cohort {path} is not valid JSON ({error}); mend the file") from error
    at = ""
    if isinstance(value, dict):
        if "cases" not in value:
            raise UserError(f'--cohort {path} has no "cases"; give a list of {{"case": NAME, "images": [FILE, ...]}}')
        value, at = value["cases"], "cases"
    if not isinstance(value, list) or not value:
        where = "its cases are" if at else "it is"
        raise UserError(
            f'--cohort {path}: {where} {show(value)}; a list of {{"case": NAME, "images": [FILE, ...]}} is needed'
        )
    problems = Problems(f"--cohort {path}")
    cases = [_json_case(entry, f"{at}[{n}]", path, channels, problems) for n, entry in enumerate(value)]
    problems.raise_if_any()
    return tuple(case for case in cases if case is not None)


def _json_case(entry: Any, at: str, path: Path, channels: Sequence[str], problems: Problems) -> CohortCase | None:
    if not isinstance(entry, dict):
        problems.add(at, f'is {show(entry)}, expected {{"case": NAME, "images": [FILE, ...]}}')
        return None
    name = next((entry[key] for key in _NAME_COLUMNS if key in entry), None)
    if not isinstance(name, str) or not name:
        problems.add(f"{at}.case", "is missing" if name is None else f"is {show(name)}, expected the case's name")
        return None
    images = entry.get("images", entry.get("image"))
    if isinstance(images, str):
        images = [images]
    if isinstance(images, dict):
        columns = _columns(list(images), channels)
        if columns is None:
            problems.add(f"{at}.images", f"has {', '.join(map(str, images))}, expected {', '.join(channels)}")
            return None
        images = [images[column] for column in columns]
    if not isinstance(images, list) or not all(isinstance(image, str) for image in images):
        told = "is missing" if images is None else f"is {show(images)}"
        problems.add(f"{at}.images", f"{told}, expected a list of files, one for each channel")
        return None
    return _listed(name, images, path, channels)


def _from_csv(path: Path, channels: Sequence[str]) -> tuple[CohortCase, ...]:
    text = _text(path)
    header = text.partition("\n")[0]
    # Spreadsheets in half of Europe write semicolons.
    delimiter = max(",;\t", key=header.count)
    try:
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) if any(row)]
    except csv.Error as error:
        raise UserError(f"--cohort {path} is not valid CSV ({error}); mend the file") from error
    names = [cell.strip() for cell in rows[0]] if rows else []
    lower = [name.lower() for name in names]
    column = next((lower.index(key) for key in _NAME_COLUMNS if key in lower), None)
    images = _columns(names, channels)
    if column is None or images is None:
        raise UserError(
            f"--cohort {path}: its first line is {show(','.join(names))}; it must name the column case and one for "
            f"each channel of the model: case,{','.join(channels)}"
        )
    if len(rows) == 1:
        raise UserError(f"--cohort {path} lists no cases; add a line for each")
    problems = Problems(f"--cohort {path}")
    cases = []
    for n, row in enumerate(rows[1:], 2):
        if len(row) != len(names):
            problems.add(f"row {n}", f"has {len(row)} cells where the first line has {len(names)}")
        elif not row[column].strip():
            problems.add(f"row {n}", "names no case")
        else:
            files = [row[names.index(name)].strip() for name in images]
            cases.append(_listed(row[column].strip(), files, path, channels))
    problems.raise_if_any()
    return tuple(cases)


def _columns(names: Sequence[str], channels: Sequence[str]) -> list[str] | None:
    """The names of the columns that hold the channels, in the model's order; None where there are no such columns."""
    by_lower = {str(name).strip().lower(): name for name in names}
    wanted = [[channel.lower() for channel in channels], [f"{n:04d}" for n in range(len(channels))]]
    if len(channels) == 1:
        wanted += [["image"], ["images"]]
    for columns in wanted:
        if all(column in by_lower for column in columns):
            return [by_lower[column] for column in columns]
    return None


def _listed(name: str, files: Sequence[str], path: Path, channels: Sequence[str]) -> CohortCase:
    folder = path.parent
    given = [file for file in files if file.strip()]
    images = tuple(Path(os.path.abspath(folder / os.path.expanduser(file.strip()))) for file in given)
    problem = ""
    if len(given) != len(channels):
        count = f"{len(given)} image{'' if len(given) == 1 else 's'}"
        problem = f"case {name} has {count} where the model needs {_needed(channels)}; give these files"
    return CohortCase(name, images, problem)


def _check_names(cohort: Cohort) -> None:
    """Every name must be a file's name on every system, and no other case's."""
    seen: dict[str, str] = {}
    for case in cohort.cases:
        if _UNSAFE.search(case.name) or len(case.name) > _LONGEST:
            raise UserError(
                f"--cohort {cohort.path}: {show(case.name)} cannot be the name of a mask's file; rename the case with "
                "letters, digits, '-', '_' and '.'"
            )
        other = seen.get(case.name.casefold())
        if other is not None:
            both = (
                f"case {case.name} is there twice"
                if other == case.name
                else f"cases {other} and {case.name} are one file's name"
            )
            raise UserError(f"--cohort {cohort.path}: {both}; give every case a name of its own")
        seen[case.name.casefold()] = case.name


def _needed(channels: Sequence[str]) -> str:
    return ", ".join(f"{n:04d} ({name})" for n, name in enumerate(channels))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(f"--cohort {path} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"--cohort {path} is not text in UTF-8; save it as UTF-8") from error
