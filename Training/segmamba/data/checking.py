"""Checking a data set: every case is read, one after another, and what would hurt a training is found.

An *error* prevents training (or would end it in the middle); a *warning* is worth a look; a *note* only tells.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import SimpleITK as sitk

from segmamba import images
from segmamba.data.description import Case, Dataset
from segmamba.data.likeness import Pair, Signature, find_pairs, signature
from segmamba.data.reading import (
    GEOMETRY_TOLERANCE,
    check_geometry,
    check_label_values,
    on_image_grid,
    read_case_images,
    read_case_label,
)
from segmamba.data.splits import Fold
from segmamba.errors import UserError
from segmamba.grid import Grid

ERROR, WARNING, NOTE = "error", "warning", "note"
#: A spacing or an extent further than this factor from the median of all cases is odd.
ODD = 2.0
#: Fewer voxels than this along an axis are few: every network here halves its input three times or more.
FEW = 8


@dataclass(frozen=True)
class Finding:
    """One thing found.

    Attributes:
        severity: ``error``, ``warning`` or ``note``.
        kind: in a word or three, such as ``empty label``.
        case: its name; empty for the data set as a whole.
        message: one sentence.
    """

    severity: str
    kind: str
    case: str
    message: str


@dataclass
class Facts:
    """What is remembered of a case once it has been read.

    Attributes:
        name: the case's.
        size, spacing: of the first channel, (i, j, k) in LPS order; None where it could not be read.
        orientation: of the file.
        volumes_ml: of each label by name; None where the label could not be read.
        contents: SHA-256 of the voxels of each file's channel, and of the label where it is not empty.
        signature: see :mod:`segmamba.data.likeness`.
    """

    name: str
    size: tuple[int, int, int] | None = None
    spacing: tuple[float, float, float] | None = None
    orientation: str = ""
    volumes_ml: dict[str, float] | None = None
    contents: list[tuple[str, str]] = field(default_factory=list)
    signature: Signature | None = None


@dataclass(frozen=True)
class Check:
    """The result: what was found, the facts of every case, and the pairs that are likely one subject's."""

    dataset: Dataset
    findings: tuple[Finding, ...]
    facts: tuple[Facts, ...]
    pairs: tuple[Pair, ...]

    def count(self, severity: str) -> int:
        """How many findings are that severe."""
        return sum(finding.severity == severity for finding in self.findings)


#: Called with a case, its first channel and its label, each None where it could not be read.
Look = Callable[[Case, sitk.Image | None, sitk.Image | None], None]


def check_dataset(
    dataset: Dataset,
    folds: Sequence[Fold] | None = None,
    look: Look | None = None,
    report: Callable[[float, str], None] | None = None,
) -> Check:
    """Read every case, one in memory at a time, and tell what is wrong.

    Args:
        dataset: whose files exist.
        folds: the folds that a training would use; without them pairs of one subject are only noted.
        look: sees each case while it is in memory.
        report: called with the fraction done and a message.
    """
    findings: list[Finding] = []
    facts = []
    for n, case in enumerate(dataset.cases):
        if report:
            report(n / len(dataset.cases), case.name)
        facts.append(_check_case(case, dataset, findings, look))
    if report:
        report(1.0, "done")
    findings += _duplicates(facts)
    findings += _odd(facts)
    findings += _labels(dataset, facts)
    pairs = find_pairs(dataset.cases, {f.name: f.signature for f in facts if f.signature is not None})
    findings += _across(dataset, pairs, folds)
    order = (ERROR, WARNING, NOTE)
    findings.sort(key=lambda finding: order.index(finding.severity))
    return Check(dataset, tuple(findings), tuple(facts), tuple(pairs))


def _check_case(case: Case, dataset: Dataset, findings: list[Finding], look: Look | None) -> Facts:
    facts = Facts(case.name)
    warnings: list[str] = []

    def tried(kind: str, function: Callable, *arguments):
        """What a function gives, or None and a finding."""
        try:
            return function(*arguments)
        except UserError as error:
            findings.append(Finding(ERROR, kind, case.name, str(error)))
            return None

    channels = tried("unreadable image", read_case_images, case, warnings)
    label = tried("unreadable label", read_case_label, case, warnings)
    findings.extend(Finding(WARNING, "header", case.name, text) for text in warnings)
    if channels is not None:
        _look_at_images(case, channels, facts, findings)
        if label is not None:
            label = tried("geometry", on_image_grid, label, channels[0], case)
        if label is not None:
            tried("geometry", check_geometry, channels, label, case)
    if label is not None:
        tried("unknown label", check_label_values, label, dataset, case)
        _look_at_label(case, label, dataset, facts, findings)
    if look:
        look(case, None if channels is None else channels[0], label)
    return facts


def _look_at_images(case: Case, channels: list[sitk.Image], facts: Facts, findings: list[Finding]) -> None:
    first = Grid.of(channels[0])
    straight = first.oriented("LPS")[0]
    facts.size, facts.spacing, facts.orientation = straight.size, straight.spacing, first.orientation
    for n, channel in enumerate(channels):
        name = str(case.images[min(n, len(case.images) - 1)])
        if case.packed:
            name = f"{name}, channel {n}"
        if n and not Grid.of(channel).same_as(first, GEOMETRY_TOLERANCE):
            text = f"{name} lies on another grid than the first channel and will be resampled onto it"
            findings.append(Finding(NOTE, "other grid", case.name, text))
        values = images.array(channel)
        facts.contents.append((name, _content(values)))
        warnings: list[str] = []
        try:
            values = images.check_values(values, name, warnings)
        except UserError as error:
            kind = "constant image" if "blank" in str(error) else "no numbers"
            findings.append(Finding(ERROR, kind, case.name, str(error)))
            continue
        findings.extend(Finding(WARNING, "NaN", case.name, text) for text in warnings)
        if n == 0:
            facts.signature = signature(values)


def _content(values: np.ndarray) -> str:
    """SHA-256 of values, whatever type they are stored in."""
    digest = hashlib.sha256(repr(values.shape).encode())
    for plane in values:
        digest.update(np.ascontiguousarray(plane, dtype=np.float64).tobytes())
    return digest.hexdigest()


def _look_at_label(case: Case, label: sitk.Image, dataset: Dataset, facts: Facts, findings: list[Finding]) -> None:
    values = images.array(label)
    counts = np.bincount(values.ravel(), minlength=max(dataset.values) + 1)
    voxel_ml = float(np.prod(label.GetSpacing())) / 1000
    facts.volumes_ml = {entry.name: float(counts[list(entry.members)].sum()) * voxel_ml for entry in dataset.labels}
    if counts[1:].any():
        facts.contents.append((str(case.label), _content(values)))
    else:
        text = f"label {case.label} holds nothing but background; keep it only if nothing is there"
        findings.append(Finding(WARNING, "empty label", case.name, text))


def _duplicates(facts: Sequence[Facts]) -> list[Finding]:
    """Files with the same voxels, whatever their type and headers."""
    first: dict[str, tuple[str, str]] = {}
    found = []
    for case in facts:
        for name, content in case.contents:
            if content in first:
                other, owner = first[content]
                text = (
                    f"{name} holds the same voxels as {other} of case {owner}; remove one, or keep both in one fold"
                    if owner != case.name
                    else f"{name} holds the same voxels as {other}; give every channel its own image"
                )
                found.append(Finding(WARNING, "duplicate", case.name, text))
            first.setdefault(content, (name, case.name))
    return found


def _odd(facts: Sequence[Facts]) -> list[Finding]:
    """Cases of other spacing, extent or orientation than most, and of few voxels."""
    read = [case for case in facts if case.size is not None]
    if not read:
        return []
    spacings = np.array([case.spacing for case in read])
    extents = np.array([case.size for case in read]) * spacings
    found = []
    for values, kind, unit in ((spacings, "odd spacing", "mm a voxel"), (extents, "odd size", "mm")):
        middle = np.median(values, axis=0)
        for case, own in zip(read, values, strict=True):
            if (np.maximum(own / middle, middle / own) > ODD).any():
                text = (
                    f"{_by(own)} {unit} (to the left, the back and up) where the median is {_by(middle)}; "
                    "check its header"
                )
                found.append(Finding(WARNING, kind, case.name, text))
    for case in read:
        if min(case.size) < FEW:
            text = f"{_by(case.size)} voxels: fewer than {FEW} along an axis, which a network pads"
            found.append(Finding(WARNING, "few voxels", case.name, text))
    kinds = [case.orientation for case in read]
    if len(set(kinds)) > 1:
        counts = ", ".join(f"{kind} {kinds.count(kind)}" for kind in sorted(set(kinds)))
        found.append(Finding(NOTE, "orientations", "", f"files run in several orientations ({counts}); all are turned"))
    return found


def _labels(dataset: Dataset, facts: Sequence[Facts]) -> list[Finding]:
    """Labels that no case has, or a single one."""
    read = [case.volumes_ml for case in facts if case.volumes_ml is not None]
    found = []
    for entry in dataset.labels if read else ():
        number = sum(volumes[entry.name] > 0 for volumes in read)
        if number == 0:
            text = f"no case has the label {entry.name!r}; remove it from {dataset.source or dataset.folder}"
            found.append(Finding(WARNING, "absent label", "", text))
        elif number == 1 and len(read) > 1:
            text = f"one case alone has the label {entry.name!r}: it can be trained or validated, not both"
            found.append(Finding(WARNING, "rare label", "", text))
    return found


def _across(dataset: Dataset, pairs: Sequence[Pair], folds: Sequence[Fold] | None) -> list[Finding]:
    """Pairs of one subject that stand on both sides of a fold."""
    if not folds:
        # Folds that a training makes keep stated subjects together by themselves.
        pairs = [pair for pair in pairs if not pair.stated]
        if not pairs:
            return []
        text = (
            f"{len(pairs)} {'pair' if len(pairs) == 1 else 'pairs'} of cases, as {pairs[0].one} and {pairs[0].other} "
            f"({pairs[0].reason}), are likely one subject's, and no file of folds keeps them together: make one "
            f"with `segmamba data split {dataset.source if dataset.layout == 'list of files' else dataset.folder}`"
        )
        return [Finding(WARNING, "subjects", "", text)]
    found = []
    for pair in pairs:
        for n, fold in enumerate(folds):
            ones, others = ((name in fold.train, name in fold.val) for name in (pair.one, pair.other))
            if (ones[0] and others[1]) or (ones[1] and others[0]):
                text = f"likely of one subject with {pair.other} ({pair.reason}), on the other side of fold {n}"
                found.append(Finding(WARNING, "subjects", pair.one, text))
                break
    return found


def _by(numbers: Sequence[float]) -> str:
    return " x ".join(f"{n:.4g}" for n in numbers)
