"""Folds: which cases train and which validate.

A file of folds is a list of objects with ``train`` and ``val``, each a list of case names, as nnU-Net writes it.
Cases of one subject must share a side of every fold, or validation measures memory; only the data set's owner knows
which do, so a file of folds always goes before folds made here.
"""

import hashlib
import json
import logging
import random
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from segmamba.atomic import replacing
from segmamba.errors import UserError

if TYPE_CHECKING:
    from segmamba.data.datasets import Dataset

logger = logging.getLogger(__name__)

#: Files of folds that are looked for in a data set, the first that exists is taken.
SPLIT_FILES = ("splits_by_subject.json", "splits_final.json", "splits.json")


@dataclass(frozen=True)
class Fold:
    """One division of a data set's cases, by name."""

    train: tuple[str, ...]
    val: tuple[str, ...]


def find_splits(folder: str | Path, explicit: str | Path | None = None) -> Path | None:
    """The file of folds to use, or None where the data set has none.

    Args:
        folder: the data set's.
        explicit: a file that the user named; it goes before those of the data set.

    Raises:
        UserError: ``explicit`` does not exist.
    """
    if explicit is not None:
        if not Path(explicit).is_file():
            raise UserError(f"file of folds {explicit} does not exist; name another, or none to use the data set's own")
        return Path(explicit)
    return next((Path(folder) / name for name in SPLIT_FILES if (Path(folder) / name).is_file()), None)


def read_splits(path: str | Path, dataset: "Dataset") -> list[Fold]:
    """Read a file of folds and check it against the data set.

    Cases that stand in no fold are left out, with a warning in the log.

    Raises:
        UserError: not a list of folds, a name that the data set lacks, a name twice, an empty side, or a case that
            both trains and validates.
    """
    try:
        value = json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UserError(f"file of folds {path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise UserError(f"file of folds {path} is not valid JSON: {error}") from None
    if not isinstance(value, list) or not value:
        raise UserError(f'file of folds {path} must hold a list of folds, as [{{"train": [...], "val": [...]}}]')
    known = set(dataset.names)
    folds = [_fold(path, n, entry, known, dataset) for n, entry in enumerate(value)]
    used = {name for fold in folds for name in (*fold.train, *fold.val)}
    left = sorted(known - used)
    if left:
        logger.warning("%d of %d cases stand in no fold of %s and are left out: %s", len(left), len(known), path,
                       _some(left))  # fmt: skip
    return folds


def _fold(path: str | Path, n: int, entry: object, known: set[str], dataset: "Dataset") -> Fold:
    sides = []
    for side in ("train", "val"):
        names = entry.get(side) if isinstance(entry, dict) else None
        where = f"file of folds {path}: fold {n}"
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise UserError(f'{where} must hold {side!r}, a list of case names, as {{"train": [...], "val": [...]}}')
        if not names:
            raise UserError(f"{where} has no case in {side!r}; give it at least one")
        strange = sorted(set(names) - known)
        if strange:
            raise UserError(f"{where} names in {side!r} what is no case of {dataset.folder}: {_some(strange)}")
        if len(set(names)) < len(names):
            twice = sorted(name for name in set(names) if names.count(name) > 1)
            raise UserError(f"{where} names in {side!r} more than once: {_some(twice)}")
        sides.append(tuple(names))
    both = sorted(set(sides[0]) & set(sides[1]))
    # A data set of one case has no other fold to offer; ``deal`` makes it so too.
    if both and len(known) > 1:
        raise UserError(f"file of folds {path}: fold {n} trains on what it validates on: {_some(both)}")
    return Fold(*sides)


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def listed_folds(dataset: "Dataset") -> list[Fold] | None:
    """The folds that a list of files gives its cases; None where it gives none.

    A case without a fold trains in each.

    Raises:
        UserError: a fold between 0 and the highest has no case, or there is but one.
    """
    numbers = {case.fold for case in dataset.cases} - {None}
    if not numbers:
        return None
    missing = sorted(set(range(max(numbers) + 1)) - numbers)
    if missing:
        raise UserError(f"{dataset.source}: no case has the fold {missing[0]}; number the folds from 0 without a gap")
    folds = [
        Fold(
            tuple(case.name for case in dataset.cases if case.fold != n),
            tuple(case.name for case in dataset.cases if case.fold == n),
        )
        for n in range(max(numbers) + 1)
    ]
    if any(not fold.train for fold in folds):
        raise UserError(f"{dataset.source}: every case has the fold 0, so none is left to train on; give two or more")
    return folds


def make_folds(dataset: "Dataset", k: int = 5, seed: int = 0) -> list[Fold]:
    """Deal a data set's cases into ``k`` folds at random; see ``deal``, and ``deal_subjects`` where it states subjects.

    Else the log warns that subjects are unknown, and where a single case trains and validates.
    """
    subjects = {case.name: case.name if case.subject is None else case.subject for case in dataset.cases}
    if any(case.subject is not None for case in dataset.cases) and len(set(subjects.values())) > 1:
        from segmamba.data.dealing import deal_subjects  # which stands on this file

        logger.info("%s has no file of folds: subjects are dealt at random with seed %d", dataset.folder, seed)
        return deal_subjects(subjects, {}, min(k, len(set(subjects.values()))), seed)
    logger.warning(
        "%s has no file of folds (%s): cases are dealt at random with seed %d, and two cases of one subject may stand "
        "on both sides of a fold", dataset.folder, ", ".join(SPLIT_FILES), seed,
    )  # fmt: skip
    if len(dataset.cases) == 1:
        logger.warning("%s has one case, which trains and validates: scores will say nothing", dataset.folder)
    elif len(dataset.cases) < k:
        logger.warning("%s has %d cases: %d folds instead of %d", dataset.folder, len(dataset.cases),
                       len(dataset.cases), k)  # fmt: skip
    return deal(dataset.names, k, seed)


def deal(names: Iterable[str], k: int = 5, seed: int = 0) -> list[Fold]:
    """Shuffle names and deal them into ``k`` folds; each name validates once.

    With fewer names than ``k`` each fold validates one (leave one out); a single name trains and validates.  The
    order in which the names come does not matter.

    Raises:
        UserError: ``k`` below 2, or no names.
    """
    names = sorted(names)
    if k < 2:
        raise UserError(f"the number of folds is {k}; give 2 or more")
    if not names:
        raise UserError("there are no cases to deal into folds")
    if len(names) == 1:
        return [Fold(tuple(names), tuple(names))]
    shuffled = list(names)
    random.Random(seed).shuffle(shuffled)
    hands = [set(shuffled[n::k]) for n in range(min(k, len(names)))]
    return [Fold(tuple(n for n in names if n not in h), tuple(n for n in names if n in h)) for h in hands]


def write_splits(folds: Iterable[Fold], path: str | Path) -> None:
    """Write a file of folds, whole or not at all.

    Raises:
        UserError: the file cannot be written.
    """
    content = [{"train": list(fold.train), "val": list(fold.val)} for fold in folds]
    try:
        with replacing(Path(path)) as temporary:
            temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise UserError(f"file of folds {path} cannot be written ({error.strerror}); name another place") from error


def split_hash(fold: Fold) -> str:
    """SHA-256, in hexadecimal, of a fold as canonical JSON: sorted names, no spaces; order does not matter."""
    value = {"train": sorted(fold.train), "val": sorted(fold.val)}
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()
