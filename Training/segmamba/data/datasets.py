"""Data sets on disk: which layout a folder or a file has, and one description whatever the layout.

Layouts are told apart by what is there, not by a name:

- a folder with ``dataset.json``: Medical Segmentation Decathlon, where ``training`` lists pairs of image and label, or
  nnU-Net's raw layout, first and second version.  Where the data set has several channels and a case one file, that
  file is 4-D with the channels along its last axis;
- a folder of folders with BraTS's names of channels (:mod:`segmamba.data.brats`);
- a folder of images beside segmentations of 3D Slicer (:mod:`segmamba.data.slicer_exports`);
- a file, JSON or CSV, that lists images and labels (:mod:`segmamba.data.file_list`).
"""

import logging
from collections import Counter
from pathlib import Path

from segmamba.data.brats import find_brats, read_brats
from segmamba.data.decathlon import entries_of, listed_case
from segmamba.data.description import Case, Dataset, LabelEntry
from segmamba.data.fields import channels_of, labels_of, modality_of, read_description, read_labels, text_of
from segmamba.data.file_list import is_file_list, read_file_list
from segmamba.data.nnunet import raw_cases
from segmamba.data.reading import (
    GEOMETRY_TOLERANCE,
    check_case,
    on_image_grid,
    read_case_images,
    read_case_label,
    read_label,
)
from segmamba.data.slicer_exports import find_exports, read_exports
from segmamba.errors import UserError

__all__ = [
    "GEOMETRY_TOLERANCE",
    "Case",
    "Dataset",
    "LabelEntry",
    "check_case",
    "on_image_grid",
    "read_case_images",
    "read_case_label",
    "read_dataset",
    "read_label",
    "read_labels",
]

logger = logging.getLogger(__name__)


def read_dataset(path: str | Path) -> Dataset:
    """Read the description of a data set and find the files of its cases; no image is opened.

    Labels are opened where nothing else tells what they hold: a list of files without names of labels, and
    segmentations of 3D Slicer.

    Args:
        path: the data set's folder; or the JSON or CSV file that lists its files.

    Raises:
        UserError: the folder or ``dataset.json`` is missing or invalid, a field is missing or wrong, a file is
            missing or lies outside the folder, an image has no label, there are no cases, or two of one name.
    """
    path = Path(path)
    if path.is_file() and path.name == "dataset.json":
        path = path.parent
    if is_file_list(path):
        dataset = read_file_list(path)
    elif not path.is_dir():
        raise UserError(f"data set {path} is not a folder; name the folder that holds dataset.json")
    elif (path / "dataset.json").exists():
        dataset = _described(path)
    elif cases := find_brats(path):
        dataset = read_brats(path, cases)
    elif exports := find_exports(path):
        dataset = read_exports(path, exports)
    else:
        raise UserError(
            f"{path / 'dataset.json'} is missing; a data set is described by a dataset.json as MSD or nnU-Net have it, "
            "or it holds BraTS's case folders, or images beside .seg.nrrd files, or is a CSV or JSON list"
        )
    twice = [name for name, count in Counter(case.name for case in dataset.cases).items() if count > 1]
    if twice:
        raise UserError(
            f"{dataset.source}: the case {twice[0]!r} appears more than once; give each case a name of its own"
        )
    return dataset


def _described(folder: Path) -> Dataset:
    """A data set with a ``dataset.json``."""
    path = folder / "dataset.json"
    about = read_description(path)
    channels = channels_of(about, path)
    labels, regions = labels_of(about, path)
    listed = isinstance(about.get("training"), list) and bool(about["training"])
    if listed:
        cases = [listed_case(folder, path, n, e, len(channels)) for n, e in entries_of(about, path)]
    else:
        cases = raw_cases(folder, text_of(about, "file_ending", path) or ".nii.gz", len(channels))
    if not cases:
        raise UserError(f"{path} names no cases and {folder / 'imagesTr'} holds none; a data set needs at least one")
    stated = about.get("numTraining")
    if isinstance(stated, int) and stated != len(cases):
        logger.warning("%s states %d training cases, %d are there", path, stated, len(cases))
    return Dataset(
        folder=folder,
        name=text_of(about, "name", path) or folder.resolve().name,
        description=text_of(about, "description", path),
        licence=text_of(about, "licence", path) or text_of(about, "license", path),
        reference=text_of(about, "reference", path),
        channels=channels,
        modalities=tuple(modality_of(name) for name in channels),
        labels=labels,
        regions=regions,
        cases=tuple(sorted(cases, key=lambda case: case.name)),
        source=path,
        layout="Medical Segmentation Decathlon" if listed else "nnU-Net raw",
    )
