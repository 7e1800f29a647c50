"""Folds by subject: all cases of one stand on the same side, and every label is spread over the folds.

The rarest label goes first, as in iterative stratification (Sechidis, Tsoumakas and Vlahavas, ECML PKDD 2011): each
subject that has it is dealt to the fold that has fewest cases of it so far, then fewest cases; then the next label of
those that are left; subjects without any come last.
"""

import random
import re
from collections.abc import Callable, Mapping

import numpy as np

from segmamba.data.description import Dataset
from segmamba.data.reading import read_case_label
from segmamba.data.splits import Fold
from segmamba.errors import UserError
from segmamba.images import array


def subjects_of(dataset: Dataset, by: str | None = None) -> dict[str, str]:
    """The subject of every case by the case's name.

    Args:
        dataset: whose cases they are.
        by: a column of a list of files; or a regular expression, whose first group, or all that it matches, is the
            subject; None for what the data set states, where a case of which it states nothing is a subject.

    Raises:
        UserError: a case lacks the column, the expression is none or does not match.
    """
    if by is None:
        return {case.name: case.name if case.subject is None else case.subject for case in dataset.cases}
    columns = {case.name: dict(case.columns) for case in dataset.cases}
    for case in dataset.cases:
        columns[case.name] |= {} if case.subject is None else {"subject": case.subject}
    if any(by in known for known in columns.values()):
        missing = [name for name, known in columns.items() if by not in known]
        if missing:
            raise UserError(f"{dataset.source}: case {missing[0]!r} has no {by!r}; fill the column for every case")
        return {name: known[by] for name, known in columns.items()}
    try:
        pattern = re.compile(by)
    except re.error as error:
        raise UserError(
            f"--subjects {by!r} is no column of {dataset.source} and no regular expression: {error}"
        ) from None
    found = {}
    for case in dataset.cases:
        match = pattern.search(case.name)
        if not match:
            raise UserError(
                f"--subjects {by!r} is no column of {dataset.source} and does not match the case {case.name!r}; "
                r"give an expression such as '(patient\d+)' that does"
            )
        found[case.name] = match[1] if pattern.groups and match[1] is not None else match[0]
    return found


def read_presence(dataset: Dataset, report: Callable[[float, str], None] | None = None) -> dict[str, set[str]]:
    """Names of the labels that each case has; label maps are read one after another."""
    found = {}
    for n, case in enumerate(dataset.cases):
        if report:
            report(n / len(dataset.cases), case.name)
        values = set(np.unique(array(read_case_label(case, []))).tolist())
        found[case.name] = {entry.name for entry in dataset.labels if values & set(entry.members)}
    if report:
        report(1.0, "done")
    return found


def deal_subjects(
    subjects: Mapping[str, str], presence: Mapping[str, set[str]], k: int = 5, seed: int = 0
) -> list[Fold]:
    """Deal cases into ``k`` folds; see the module.

    Args:
        subjects: of each case by its name.
        presence: the labels of each case by its name; a case may be missing.
        k: number of folds.
        seed: another one deals in another order.

    Raises:
        UserError: ``k`` is below 2, or above the number of subjects.
    """
    groups: dict[str, list[str]] = {}
    for name in sorted(subjects):
        groups.setdefault(subjects[name], []).append(name)
    if k < 2:
        raise UserError(f"-k {k}: the number of folds must be 2 or more")
    if k > len(groups):
        raise UserError(f"-k {k}: there are {len(groups)} subjects; a fold needs one at least")
    left = sorted(groups)
    generator = random.Random(seed)
    generator.shuffle(left)
    folds = list(range(k))
    generator.shuffle(folds)  # so that the first is not always the one with a case more
    hands: list[set[str]] = [set() for _ in folds]

    def having(names, label: str) -> int:
        return sum(label in presence.get(name, ()) for name in names)

    labels = sorted({label for found in presence.values() for label in found})
    while left:
        counts = {label: having([name for group in left for name in groups[group]], label) for label in labels}
        rarest = min(
            (label for label in labels if counts[label]), key=lambda label: (counts[label], label), default=None
        )
        taken = [group for group in left if rarest is None or having(groups[group], rarest)]
        # Large ones first: what is left evens out.
        for group in sorted(taken, key=lambda group: -len(groups[group])):
            best = min(folds, key=lambda n: (having(hands[n], rarest) if rarest else 0, len(hands[n])))
            hands[best] |= set(groups[group])
            left.remove(group)
    names = sorted(subjects)
    if not all(hands):
        raise UserError(f"-k {k}: {len(groups)} subjects with these labels do not fill so many folds; give fewer")
    return [Fold(tuple(n for n in names if n not in hand), tuple(n for n in names if n in hand)) for hand in hands]
