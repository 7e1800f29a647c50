"""A run's folder: what was asked, what was decided, what it was made with."""

import contextlib
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterator
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from segmamba import __version__
from segmamba.atomic import replacing
from segmamba.bundle import Metadata
from segmamba.data.datasets import Case, Dataset
from segmamba.data.splits import Fold
from segmamba.errors import UserError
from segmamba.training.recipe import Recipe, from_dict, to_dict

RUN_FILE = "run.json"
LOG = "log.jsonl"
PLOT = "progress.png"
CHECKPOINT = "checkpoint.pt"
SUMMARY = "summary.json"
PREPARED = "prepared"
_FORMAT = 1
_TEMPORARY = re.compile(r"\.[0-9a-f]{32}")  # names of segmamba.atomic


def check_folds(folders: list[Path], resume: str | None) -> str | None:
    """Checks the folders of several folds before the first is trained: a refusal must not come after hours.

    Args:
        folders: One for each fold.
        resume: As for :func:`check_start`; ``"must"`` needs a run of one fold or more.

    Returns:
        The ``resume`` that fits every one of the folds.

    Raises:
        UserError: As :func:`check_start`.
    """
    if resume == "must":
        if not any((folder / RUN_FILE).is_file() for folder in folders):
            names = ", ".join(folder.name for folder in folders)
            raise UserError(
                f"{folders[0].parent} holds no run to resume in {names}; start without --resume, or with --resume auto"
            )
        resume = "auto"  # the folds after the one that was stopped have not begun
    for folder in folders:
        check_start(folder, resume)
    return resume


def check_start(folder: Path, resume: str | None) -> bool:
    """Whether there is a run in ``folder`` to go on with; nothing is written.

    Args:
        folder: The run's folder.
        resume: None starts anew, ``"must"`` needs a run, ``"auto"`` takes what there is.

    Raises:
        UserError: Where a run would be overwritten, or there is none to resume.
    """
    exists = (folder / RUN_FILE).is_file()
    if exists and resume is None:
        raise UserError(f"{folder} already holds a run; go on with --resume, or name another folder with -o")
    if not exists and resume == "must":
        raise UserError(f"{folder} holds no run to resume; start without --resume, or with --resume auto")
    if not exists and folder.is_dir():
        # What a run that was killed before it had begun leaves behind is no obstacle.
        others = sorted(p.name for p in folder.iterdir() if not p.name.startswith(".") and not _is_prepared(p))
        results = [name for name in others if name in (CHECKPOINT, SUMMARY, LOG)]
        results += [name for name in others if name == PREPARED]  # somebody else's: it would be emptied
        if results or (others and resume is None):
            what = ", ".join((results or others)[:3])
            raise UserError(f"{folder} is not empty ({what}) and holds no {RUN_FILE}; name another folder with -o")
    return exists


def start_or_resume(folder: Path, resume: str | None) -> bool:
    """As :func:`check_start`; the folder exists afterwards and holds nothing half-written.

    Raises:
        UserError: As :func:`check_start`, or the folder cannot be written to.
    """
    exists = check_start(folder, resume)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".writable"
        probe.touch()
        probe.unlink()
        for path in [*folder.glob(".*"), *(folder / PREPARED).glob(".*")]:
            if _TEMPORARY.fullmatch(path.name):  # what was being written when the run was killed
                path.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: cannot be written to ({error.strerror}); name another folder with -o") from error
    return exists


def _is_prepared(path: Path) -> bool:
    """Whether this is a folder of prepared cases, or of what a killed run has begun of them, and nothing else."""
    return (
        path.name == PREPARED
        and path.is_dir()
        and all(
            inner.is_file()
            and (inner.suffix == ".npy" or inner.name == "prepared.json" or _TEMPORARY.fullmatch(inner.name))
            for inner in path.iterdir()
        )
    )


@contextlib.contextmanager
def nothing_left_unless_begun(folder: Path, keep: bool) -> Iterator[None]:
    """Removes again what the body wrote into a run's folder, where it fails before ``run.json`` stands there.

    Args:
        folder: The run's folder; where it does not exist yet, it and its missing parents are removed, too.
        keep: Leave prepared cases, for a caller that will come again with ``--resume auto``.
    """
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    before = set(folder.iterdir()) if folder.is_dir() else set()
    try:
        yield
    except BaseException:
        if not keep and not (folder / RUN_FILE).is_file():
            for path in set(folder.iterdir()) - before if folder.is_dir() else ():
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # somebody else may have written there meanwhile
                for path in missing:
                    path.rmdir()
        raise


def write_run(
    folder: Path, dataset: Dataset, fold: Fold, fold_name: str, asked: Recipe, decided: Recipe, metadata: Metadata
) -> None:
    """Writes ``run.json``: recipe as asked and decided, data with hashes, split, versions, the model's description."""
    names = set(fold.train) | set(fold.val)
    content = {
        "format": _FORMAT,
        "asked": to_dict(asked),
        "recipe": to_dict(decided),
        "dataset": {"name": dataset.name, "folder": str(Path(dataset.folder).resolve()), "licence": dataset.licence},
        "fold": {"name": fold_name, "train": list(fold.train), "val": list(fold.val)},
        "hashes": {case.name: case_hash(case) for case in dataset.cases if case.name in names},
        "versions": versions(),
        "git": git_revision(),
        "machine": {"system": platform.platform(), "processor": platform.machine(), "cpus": os.cpu_count()},
        "date": date.today().isoformat(),
        "metadata": metadata.to_dict(),
    }
    write_json(folder / RUN_FILE, content)


def write_json(path: Path, content: dict) -> None:
    """Writes a JSON file whole or not at all.

    Raises:
        UserError: It cannot be written.
    """
    try:
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror or error}); make room and try again") from error


def read_run(folder: Path) -> dict:
    """``run.json`` of a run, with ``recipe``, ``asked`` and ``metadata`` as objects.

    Raises:
        UserError: Where there is none or it cannot be read.
    """
    path = Path(folder) / RUN_FILE
    if not path.is_file():
        raise UserError(f"{folder} holds no run (no {RUN_FILE}); name a folder that segmamba train wrote")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != _FORMAT:
            raise UserError(f"{path} has format {content['format']}, this version reads {_FORMAT}; start the run anew")
        content["recipe"] = from_dict(content["recipe"], str(path))
        content["asked"] = from_dict(content["asked"], str(path))
        content["metadata"] = Metadata.from_dict(content["metadata"], str(path))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is damaged ({error}); start the run anew") from error
    return content


def check_same(folder: Path, run: dict, asked: Recipe, fold: Fold, dataset: Dataset) -> None:
    """A resumed run must be the run that was begun: same recipe, same fold, same data.

    Raises:
        UserError: Naming the keys or cases that differ.
    """
    differing = sorted(_differences(to_dict(run["asked"]), to_dict(asked)))
    if differing:
        raise UserError(
            f"{folder}: --resume goes on with the recipe that the run began with, but {', '.join(differing)} now "
            "differ; leave them as they were or start a new run"
        )
    if (list(fold.train), list(fold.val)) != (run["fold"]["train"], run["fold"]["val"]):
        raise UserError(
            f"{folder}: --resume goes on with the run's own fold, but the cases now differ; start a new run"
        )
    began, now = (
        [(label.name, label.value, tuple(label.members)) for label in labels]
        for labels in (run["metadata"].labels, dataset.labels)
    )
    if began != now:
        raise UserError(
            f"{folder}: --resume goes on with the labels that the run began with, but those of {dataset.source} now "
            "differ; put them back or start a new run"
        )
    changed = [name for name in (*fold.train, *fold.val) if case_hash(dataset.case(name)) != run["hashes"].get(name)]
    if changed:
        more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
        raise UserError(
            f"{folder}: --resume goes on with the data that the run began with, but the files of "
            f"{', '.join(changed[:3])}{more} have changed; put them back or start a new run"
        )


def _differences(old: dict, new: dict, prefix: str = ""):
    for key in old.keys() | new.keys():
        a, b = old.get(key), new.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            yield from _differences(a, b, f"{prefix}{key}.")
        elif a != b:
            yield f"{prefix}{key}"


def case_hash(case: Case) -> str:
    """SHA-256 over the case's files, images first; UserError where one cannot be read."""
    digest = hashlib.sha256()
    for path in [*case.images, case.label]:
        try:
            with open(path, "rb") as file:
                while chunk := file.read(1 << 20):
                    digest.update(chunk)
        except OSError as error:
            raise UserError(
                f"{path}, of case {case.name}, cannot be read ({error.strerror or error}); put the file back"
            ) from error
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """Versions of what the run depends on."""
    found = {"segmamba": __version__, "python": platform.python_version()}
    for name in ("torch", "numpy", "numba", "monai", "SimpleITK"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def git_revision() -> str | None:
    """Revision of the source tree that is running, with "+" where it was changed; None outside a checkout."""
    here = Path(__file__).resolve()
    try:
        # Installed into an environment inside somebody's own checkout, this file is none of its files.
        _git(here.parent, "ls-files", "--error-unmatch", here.name)
        changed = _git(here.parents[1], "status", "--porcelain", "--", ".")
        return _git(here.parent, "rev-parse", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10, check=True
    )
    return done.stdout.strip()
