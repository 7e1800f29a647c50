"""The catalogue of models: what is installed where, found by name.

Looked up in this order, the first of a name wins: what ships with the package, the extra folders of the settings
(only ever read), the user's own folder.  Standard library only.
"""

from __future__ import annotations

import difflib
import json
import shutil
import uuid
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from segmamba import reading
from segmamba.bundle import METADATA_FILE, Bundle, Metadata, write_files
from segmamba.errors import UserError
from segmamba.settings import read_settings, user_models_folder

__all__ = ["Entry", "Installation", "entries", "find", "install", "remove", "shipped_folder"]


@dataclass(frozen=True)
class Entry:
    """One line of the catalogue.

    Attributes:
        metadata: what the model says about itself; None if that cannot be read.
        path: its folder or zip.
        source: ``shipped``, ``folder`` (an extra folder of the settings) or ``user``.
        problem: why it cannot be used, or None.
    """

    metadata: Metadata | None
    path: Path
    source: str
    problem: str | None = None

    @property
    def name(self) -> str:
        """The model's name; of an unreadable package that of its file."""
        if self.metadata is not None:
            return self.metadata.name
        return self.path.stem if self.path.suffix.lower() == ".zip" else self.path.name


@dataclass(frozen=True)
class Installation:
    """What ``install`` did: ``already`` is True if the same model was there before and nothing was done."""

    entry: Entry
    already: bool

    @property
    def message(self) -> str:
        """One sentence for the user."""
        done = "was installed already, unchanged" if self.already else "is installed"
        return f"model {self.entry.name!r} {done}: {self.entry.path}"


def shipped_folder() -> Path:
    """Models that come with the package: ``shipped`` in a wheel, ``Resources/Models`` in a checkout."""
    package = Path(__file__).resolve().parent
    in_wheel = package / "shipped"
    if not in_wheel.is_dir() and package.parent.name == "Training":
        return package.parents[1] / "Resources" / "Models"
    return in_wheel


def entries() -> list[Entry]:
    """All models in lookup order, by path within a folder; damaged packages too, with their ``problem``.

    A model that an earlier one of the same name hides is left out; a damaged one hides nothing.  Only metadata are
    read; the weights' hash is checked on use and by ``Bundle.verify``.

    Raises:
        UserError: the settings file is damaged.
    """
    folders = [(shipped_folder(), "shipped")]
    folders += [(folder, "folder") for folder in read_settings().model_folders]
    folders.append((user_models_folder(), "user"))
    found: list[Entry] = []
    names: set[str] = set()
    for folder, source in folders:
        for entry in _entries_in(folder, source):
            if entry.problem is None and entry.name in names:
                continue
            if entry.problem is None:
                names.add(entry.name)
            found.append(entry)
    return found


def find(name_or_path: str | Path) -> Bundle:
    """Opens a model by its name in the catalogue, or by the path of its folder or zip.

    A bare word is a path only if a package (or, for want of a model of that name, anything) lies there: a folder of
    results that happens to have a model's name does not hide the model.

    Raises:
        UserError: there is no such model (the models there are, and those of a similar name, are listed), or it
            is damaged.
    """
    name = str(name_or_path)
    path = Path(name).expanduser()
    if isinstance(name_or_path, Path) or "/" in name or "\\" in name or name.startswith("~") or _is_package(path):
        return Bundle(path)
    known = entries()
    damaged = None
    for entry in known:
        if entry.name == name and entry.problem is None:
            return Bundle(entry.path)
        if entry.name == name:
            damaged = damaged or entry
    if damaged is not None:
        raise UserError(f"model {name!r} cannot be used: {damaged.problem}")
    if path.suffix.lower() == ".zip" or _exists(path):  # meant as a file: say what is wrong with the file
        return Bundle(path)
    raise UserError(_unknown(name, known))


def install(path: str | Path, name: str | None = None, overwrite: bool = False) -> Installation:
    """Copies a package into the user's folder, verified first, whole or not at all.

    Args:
        path: a folder or zip.
        name: name to install it under, instead of its own.
        overwrite: replaces an installed model of that name that differs.

    Raises:
        UserError: the package is damaged, or another model has the name.
    """
    bundle = Bundle(Path(path).expanduser())
    if problems := bundle.verify():
        raise UserError("; ".join(problems))
    document = bundle.document()
    if name is not None:
        try:
            document["name"] = reading.model_name(name)
        except ValueError as error:
            raise UserError(f"--name is {name!r}, {error}") from error
    metadata = Metadata.from_dict(document)
    for entry in entries():
        if entry.name != metadata.name or entry.problem is not None or entry.source == "user":
            continue
        if entry.metadata == metadata:
            return Installation(entry, already=True)
        raise UserError(
            f"{path}: another model named {metadata.name!r} comes first ({entry.path}) and would hide this one; "
            "install it under another name with --name"
        )
    target = user_models_folder() / metadata.name
    # Its folder has its name, unless somebody copied it there by hand under another one.
    present = next((e for e in _entries_in(target.parent, "user") if e.name == metadata.name), None)
    target = present.path if present else target
    # A damaged copy is mended without being asked.
    if present is not None and present.problem is None and not Bundle(target).verify():
        if present.metadata == metadata:
            return Installation(present, already=True)
        if not overwrite:
            raise UserError(
                f"{path}: another model named {metadata.name!r} is installed in {target}; install this one under "
                "another name with --name, or replace that one with --overwrite"
            )
    files = {file: partial(bundle.read, file) for file in bundle.files}
    if name is not None:
        files[METADATA_FILE] = (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{target.parent} cannot be made: {error.strerror or error}") from error
    write_files(target, files, metadata.name, overwrite=True)
    return Installation(_entry(target, "user"), already=False)


def remove(name: str) -> Path:
    """Deletes a model from the user's folder and returns the path that it had.

    Raises:
        UserError: no such model, or it is not the user's (shipped, or in a shared folder).
    """
    own = [entry for entry in _entries_in(user_models_folder(), "user") if entry.name == name]
    if not own:
        known = entries()
        for entry in known:
            if entry.name == name:
                place = "ships with segmamba" if entry.source == "shipped" else "lies in a shared folder"
                raise UserError(f"model {name!r} {place} ({entry.path}) and cannot be removed by segmamba")
        raise UserError(_unknown(name, known))
    path = own[0].path
    # Renamed first: an interrupted removal leaves nothing that looks like a model.
    doomed = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.old")
    try:
        path.rename(doomed)
        if doomed.is_dir() and not doomed.is_symlink():
            shutil.rmtree(doomed)
        else:
            doomed.unlink()
    except OSError as error:
        raise UserError(f"{path} cannot be removed: {error.strerror or error}") from error
    return path


def _entries_in(folder: Path, source: str) -> list[Entry]:
    try:
        paths = sorted(folder.iterdir())
    except OSError as error:
        # The shipped and the user's folder need not exist; one that the user has named should.
        if source != "folder":
            return []
        problem = f"{folder}, a folder of models in the settings, cannot be read: {error.strerror or error}"
        return [Entry(None, folder, source, problem)]
    return [_entry(path, source) for path in paths if _is_candidate(path)]


def _is_candidate(path: Path) -> bool:
    if path.name.startswith("."):
        return False
    if path.is_dir():
        return any((path / part).exists() for part in (METADATA_FILE, "models", "configs"))
    return path.suffix.lower() == ".zip"


def _entry(path: Path, source: str) -> Entry:
    try:
        bundle = Bundle(path)
    except UserError as error:
        return Entry(None, path, source, str(error))
    missing = [file for file in bundle.missing() if file.startswith("models/")]
    problem = f"{path} is not a complete model package: {missing[0]} is missing in it" if missing else None
    return Entry(bundle.metadata, path, source, problem)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def _is_package(path: Path) -> bool:
    try:
        return (path / METADATA_FILE).is_file() or (path.suffix.lower() == ".zip" and path.is_file())
    except (OSError, ValueError):
        return False


def _unknown(name: str, known: list[Entry]) -> str:
    names = sorted({entry.name for entry in known if entry.problem is None})
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    there_are = f"available are {', '.join(names)}" if names else "none is installed"
    meant = f"; did you mean {' or '.join(repr(c) for c in close)}?" if close else ""
    return f"no model is named {name!r}, {there_are}{meant}" + (
        "" if close else "; name one of them, or the folder or zip of a model package"
    )
