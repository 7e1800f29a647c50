"""Segmentations exported from 3D Slicer: images beside ``.seg.nrrd`` files, whose segments are the labels by name.

Either a folder a case, with one segmentation and the images (``CASE/T1.nrrd``, ``CASE/Segmentation.seg.nrrd``), or one
folder for all, where an image begins with its segmentation's name (``CASE.nrrd``, ``CASE.seg.nrrd``; also
``CASE-segmentation.seg.nrrd``; with several channels ``CASE_T1.nrrd``, ``CASE_FLAIR.nrrd``).  What remains of an
image's name without the case's is its channel; every case has the same channels.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from segmamba.data.description import Case, Dataset
from segmamba.data.fields import modality_of
from segmamba.data.segments import name_segments
from segmamba.errors import UserError
from segmamba.images import IMAGE_SUFFIXES, suffix_of

_ENDING = ".seg.nrrd"
_SUFFIX = re.compile(r"(?i)(?<=.)[-_. ]*(segmentation|seg|label)$")

Exports = list[tuple[str, Path, list[Path]]]


def find_exports(folder: Path) -> Exports:
    """Name, segmentation and images of each case; empty where the folder holds no segmentations.

    Raises:
        UserError: a case has no image, or its folder several segmentations.
    """
    flat = _segmentations(folder)
    if flat:
        return _beside(folder, flat)
    found = []
    for place in sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")):
        there = _segmentations(place)
        if len(there) > 1:
            raise UserError(f"{place} holds {there[0].name} and {there[1].name}; keep one segmentation a case")
        if there:
            found.append((place.name, there[0], _images(place)))
    return found


def read_exports(folder: Path, found: Exports) -> Dataset:
    """The data set of what :func:`find_exports` found; the segmentations are read, one after another.

    Raises:
        UserError: a case has no image or other channels than the first, or a segmentation cannot be read.
    """
    channels = None
    cases = []
    for name, segmentation, images in found:
        if not images:
            raise UserError(f"segmentation {segmentation} has no image beside it; export the volume too")
        names = _channel_names(name, images)
        if channels is not None and len(names) != len(channels):
            raise UserError(
                f"case {name!r} of {folder} has {len(names)} images ({', '.join(i.name for i in images)}) where "
                f"{cases[0].name!r} has {len(channels)}; give every case the same channels"
            )
        if channels is not None and len(names) > 1 and names != channels:
            raise UserError(
                f"case {name!r} of {folder} has the channels {', '.join(names)} where {cases[0].name!r} has "
                f"{', '.join(channels)}; name the images of every case alike"
            )
        if channels is not None and names != channels:
            names = ("image",)  # one image a case, each with a name of its own
        channels = names
        cases.append(Case(name, tuple(images), segmentation, len(images)))
    labels, regions, codes = name_segments([case.label for case in cases])
    if not labels:
        raise UserError(f"{cases[0].label} and the other segmentations of {folder} hold no segments; draw at least one")
    return Dataset(
        folder=folder,
        name=folder.resolve().name,
        description="",
        licence="",
        reference="",
        channels=channels,
        modalities=tuple(modality_of(name) for name in channels),
        labels=labels,
        regions=regions,
        cases=tuple(replace(case, segments=codes) for case in sorted(cases, key=lambda case: case.name)),
        source=folder,
        layout="3D Slicer's segmentations",
    )


def _segmentations(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.name.lower().endswith(_ENDING) and not p.name.startswith("."))


def _images(folder: Path) -> list[Path]:
    return sorted(
        p
        for p in folder.iterdir()
        if p.is_file()
        and not p.name.startswith(".")
        and not p.name.lower().endswith(_ENDING)
        and suffix_of(p, IMAGE_SUFFIXES)
    )


def _stem(path: Path) -> str:
    return path.name[: len(path.name) - len(suffix_of(path) or "")]


def _beside(folder: Path, segmentations: Sequence[Path]) -> Exports:
    """The cases of one folder for all."""
    names = {}
    for file in segmentations:
        name = _SUFFIX.sub("", _stem(file))
        if name in names:
            raise UserError(f"{folder} holds {names[name].name} and {file.name}; keep one segmentation a case")
        names[name] = file
    images: dict[str, list[Path]] = {name: [] for name in names}
    for image in _images(folder):
        # The longest name that fits: case1 is no prefix of case10, nor of case1_b where that is a case.
        stem = _stem(image)
        fitting = [name for name in names if stem == name or (stem.startswith(name) and stem[len(name)] in "_- .")]
        if fitting:
            images[max(fitting, key=len)].append(image)
    return [(name, names[name], images[name]) for name in sorted(names)]


def _channel_names(case: str, images: Sequence[Path]) -> tuple[str, ...]:
    """What tells the images of a case apart, without the case's name."""
    stems = [_stem(image) for image in images]
    if len(stems) > 1 and len({s.startswith(case) for s in stems}) == 1 and not stems[0].startswith(case):
        # Named after something else: what all begin with, up to a joint, tells nothing.
        alike = next((n for n, letters in enumerate(zip(*stems, strict=False)) if len(set(letters)) > 1), 0)
        cut = max(stems[0].rfind(joint, 0, alike) for joint in "_- ") + 1
        return tuple(stem[cut:] for stem in stems)
    return tuple((s[len(case) :] if s.startswith(case) else s).strip("_- .") or "image" for s in stems)
