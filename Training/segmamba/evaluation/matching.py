"""Which files belong together: each case's prediction, reference and image, and the labels that they hold."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segmamba import images
from segmamba.data.datasets import LabelEntry, read_label, read_labels
from segmamba.errors import UserError
from segmamba.evaluation.reading import is_segmentation
from segmamba.segmentation_file import read_segmentation

# Of ITK's many, those that segmentations come in.
_SUFFIXES = (".seg.nrrd", ".nii.gz", ".nii", ".nrrd", ".mha")


@dataclass(frozen=True)
class Pair:
    """The files of one case.

    Attributes:
        case: its name, that of the files without their suffix.
        prediction: a mask.
        reference: a mask.
        image: what the masks are of; None where nobody named it.
    """

    case: str
    prediction: Path
    reference: Path
    image: Path | None = None


def find_pairs(predictions: Path, references: Path) -> list[Pair]:
    """The cases of two folders by the names of their files, or the one case of two files.

    Raises:
        UserError: A path does not exist, there are no masks, two of one case, or one without its reference.
    """
    for path in (predictions, references):
        if not path.exists():
            raise UserError(f"{path} does not exist; name a folder of masks, or one mask")
    if predictions.is_file() and references.is_file():
        return [Pair(predictions.name.split(".")[0], predictions, references)]
    if predictions.is_file() or references.is_file():
        raise UserError(f"{predictions} and {references}: name two folders or two files")
    found, right = _masks(predictions), _masks(references)
    if not found:
        raise UserError(f"{predictions} holds no masks; those are {', '.join(_SUFFIXES)}")
    # References may hold more than was predicted (a whole training set's labels).
    missing = sorted(set(found) - set(right))
    if missing:
        raise UserError(f"{predictions}: {missing[0]} has no reference of that name in {references}")
    return [Pair(name, found[name], right[name]) for name in found]


def without_prediction(pairs: Sequence[Pair], references: Path) -> int:
    """How many references of a folder belong to none of the cases: they are in no mean, and a report says so."""
    return len(_masks(references)) - len(pairs) if references.is_dir() else 0


def find_images(pairs: Sequence[Pair], place: Path) -> list[Pair]:
    """The same cases with their images: files named CASE or, as nnU-Net names the first channel, CASE_0000.

    Args:
        pairs: the cases.
        place: a folder; or, for one case, a file.

    Raises:
        UserError: There is no such folder, or a case has no image in it.
    """
    if not place.exists():
        raise UserError(f"--images {place} does not exist; name the folder of the cases' images")
    if place.is_file():
        if len(pairs) > 1:
            raise UserError(f"--images {place} is a file, and there are {len(pairs)} cases; name the folder of images")
        return [dataclasses.replace(pairs[0], image=place)]
    return [dataclasses.replace(pair, image=_image(pair, place)) for pair in pairs]


def _image(pair: Pair, folder: Path) -> Path:
    for stem in (pair.case, f"{pair.case}_0000"):
        for suffix in images.IMAGE_SUFFIXES:
            if (path := folder / f"{stem}{suffix}").is_file():
                return path
    endings = ", ".join(images.IMAGE_SUFFIXES)
    raise UserError(f"--images {folder} holds no image {pair.case} or {pair.case}_0000 ({endings})")


def find_labels(pairs: Sequence[Pair], references: Path) -> Sequence[LabelEntry]:
    """The labels that the dataset.json beside the references' folder names; without one, every value found.

    Raises:
        UserError: The description is invalid, a file cannot be read, or nothing names segments that overlap.
    """
    folder = references if references.is_dir() else references.parent
    if (folder.parent / "dataset.json").is_file():
        return read_labels(folder.parent)
    values: set[int] = set()
    for pair in pairs:
        for path in (pair.prediction, pair.reference):
            if is_segmentation(path) and len(read_segmentation(path).layers) > 1:
                raise UserError(
                    f"{path} holds segments that overlap; name the data set whose labels they are with --dataset"
                )
            values |= {int(value) for value in np.unique(images.array(read_label(path)))}
    return [LabelEntry(str(value), value, (value,)) for value in sorted(values - {0})]


def _masks(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        suffix = next((s for s in _SUFFIXES if path.name.lower().endswith(s)), None)
        if suffix is None or path.name.startswith("."):
            continue
        name = path.name[: -len(suffix)]
        if name in found:
            raise UserError(f"{folder} holds {found[name].name} and {path.name}; one mask a case is needed")
        found[name] = path
    return found
