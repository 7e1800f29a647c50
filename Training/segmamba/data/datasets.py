"""Data sets on disk: what ``dataset.json`` says, which files make up each case, and whether they fit together.

Two layouts are read, and told apart by what is there, not by a name:

- Medical Segmentation Decathlon: ``training`` lists pairs of image and label.  Where the data set has several channels
  and a case one file, that file is 4-D with the channels along its last axis.
- nnU-Net's raw layout, first and second version: ``imagesTr/CASE_0000.nii.gz`` with one file a channel, and
  ``labelsTr/CASE.nii.gz``.
"""

import json
import logging
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import SimpleITK as sitk

from segmamba.errors import UserError
from segmamba.images import Grid, read_image, read_volumes

logger = logging.getLogger(__name__)

#: Furthest a voxel of an image may lie from the same voxel of its label, in voxels: the rounding of real headers
#: stays below, and nothing that a network could learn from lies there.
GEOMETRY_TOLERANCE = 0.1
_MR = re.compile(r"(?i)^(mri?$|mri?[-_ ]|t1|t2|flair|dwi|adc|swi|pdw?$|tof|gre|fa$|md$)")


@dataclass(frozen=True)
class LabelEntry:
    """One label or region to learn.

    Attributes:
        name: as in ``dataset.json``.
        value: what the label map holds; for a region, what is painted where the region is.
        members: the values of the training labels that belong to it; for a label, its own value.
    """

    name: str
    value: int
    members: tuple[int, ...]


@dataclass(frozen=True)
class Case:
    """The files of one case.

    Attributes:
        name: as folds name it.
        images: one file a channel, in the order of the channels; or one 4-D file for them all.
        label: the label map's file; None where a case has none.
        channels: how many channels the files hold together.
    """

    name: str
    images: tuple[Path, ...]
    label: Path | None
    channels: int

    @property
    def packed(self) -> bool:
        """Whether one 4-D file holds all channels."""
        return self.channels > len(self.images)


@dataclass(frozen=True)
class Dataset:
    """What is known of a data set before a voxel is read.

    Attributes:
        folder: where it lies.
        name, description, licence, reference: as in ``dataset.json``; empty where it is silent.
        channels: names of the channels, in order.
        modalities: for each channel ``MR``, ``CT``, ``PET``, ``US``, or ``OT`` where the name does not tell.
        labels: without the background; regions stand in the order in which they are painted, later over earlier.
        regions: whether labels overlap, as BraTS's do.
        cases: in the order of their names.
    """

    folder: Path
    name: str
    description: str
    licence: str
    reference: str
    channels: tuple[str, ...]
    modalities: tuple[str, ...]
    labels: tuple[LabelEntry, ...]
    regions: bool
    cases: tuple[Case, ...]

    @property
    def values(self) -> tuple[int, ...]:
        """Values that a label map of this data set may hold, 0 among them."""
        return tuple(sorted({0}.union(*(entry.members for entry in self.labels))))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the cases."""
        return tuple(case.name for case in self.cases)

    def case(self, name: str) -> Case:
        """The case of that name; UserError where there is none."""
        for case in self.cases:
            if case.name == name:
                return case
        raise UserError(f"{self.folder} has no case {name!r}; its {len(self.cases)} cases begin with {self.names[0]!r}")


def read_dataset(folder: str | Path) -> Dataset:
    """Read the description of a data set and find the files of its cases; no image is opened.

    Raises:
        UserError: the folder or ``dataset.json`` is missing or invalid, a field is missing or wrong, a file is
            missing or lies outside the folder, an image has no label, there are no cases, or two of one name.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"data set {folder} is not a folder; name the folder that holds dataset.json")
    path = folder / "dataset.json"
    about = _read_description(path)
    channels = _channels(about, path)
    labels, regions = _labels(about, path)
    if isinstance(about.get("training"), list) and about["training"]:
        cases = [_listed_case(folder, path, n, e, len(channels)) for n, e in _entries(about, path)]
    else:
        cases = _raw_cases(folder, _text(about, "file_ending", path) or ".nii.gz", len(channels))
    if not cases:
        raise UserError(f"{path} names no cases and {folder / 'imagesTr'} holds none; a data set needs at least one")
    twice = [name for name, count in Counter(case.name for case in cases).items() if count > 1]
    if twice:
        raise UserError(f"{path}: the case {twice[0]!r} appears more than once; give each case a name of its own")
    stated = about.get("numTraining")
    if isinstance(stated, int) and stated != len(cases):
        logger.warning("%s states %d training cases, %d are there", path, stated, len(cases))
    return Dataset(
        folder=folder,
        name=_text(about, "name", path) or folder.resolve().name,
        description=_text(about, "description", path),
        licence=_text(about, "licence", path) or _text(about, "license", path),
        reference=_text(about, "reference", path),
        channels=channels,
        modalities=tuple(_modality(name) for name in channels),
        labels=labels,
        regions=regions,
        cases=tuple(sorted(cases, key=lambda case: case.name)),
    )


def read_labels(folder: str | Path) -> tuple[LabelEntry, ...]:
    """The labels that a folder's ``dataset.json`` names, whatever else of the data set is there.

    Raises:
        UserError: ``dataset.json`` is missing or invalid, or its labels are.
    """
    path = Path(folder) / "dataset.json"
    return _labels(_read_description(path), path)[0]


def _read_description(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise UserError(f"{path} is missing; a data set is described by a dataset.json as MSD or nnU-Net have it")
    try:
        about = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise UserError(f"{path} is not valid JSON: {error}") from None
    if not isinstance(about, dict):
        raise UserError(f"{path} holds no JSON object; a dataset.json begins with '{{'")
    return about


def _text(about: dict, key: str, path: Path) -> str:
    """A field of text; a list of texts is joined, as nnU-Net's converters write references."""
    value = about.get(key, "")
    if isinstance(value, list) and all(isinstance(v, str) for v in value):
        return "; ".join(value)
    if value is not None and not isinstance(value, str):
        raise UserError(f"{path}: {key} is {value!r}; it must be text")
    return value or ""


def _channels(about: dict, path: Path) -> tuple[str, ...]:
    key = "channel_names" if "channel_names" in about else "modality"
    value = about.get(key)
    if value is None:
        raise UserError(f"{path}: channel_names (nnU-Net) or modality (MSD) is missing; it names the image channels")
    if isinstance(value, list):
        value = {str(n): name for n, name in enumerate(value)}
    if not isinstance(value, dict) or not value or not all(isinstance(v, str) and v.strip() for v in value.values()):
        raise UserError(f'{path}: {key} is {value!r}; it must name each channel, as {{"0": "T1", "1": "T2"}}')
    if sorted(value) != sorted(str(n) for n in range(len(value))):
        raise UserError(f"{path}: {key} has the keys {', '.join(value)}; they must count from 0 without a gap")
    return tuple(value[str(n)].strip() for n in range(len(value)))


def _modality(channel: str) -> str:
    """DICOM's word for the kind of scanner, as far as a channel's name tells."""
    upper = channel.upper()
    if upper in ("CT", "PET", "US"):
        return upper
    return "MR" if _MR.match(channel) else "OT"


def _labels(about: dict, path: Path) -> tuple[tuple[LabelEntry, ...], bool]:
    value = about.get("labels")
    if not isinstance(value, dict) or not value:
        what = "missing" if value is None else f"{value!r}"
        raise UserError(f'{path}: labels is {what}; it must be an object as {{"background": 0, "tumour": 1}}')
    if all(isinstance(v, str) for v in value.values()):
        # As MSD has it: value -> name.
        if not all(key.strip().isdecimal() for key in value):
            raise UserError(f'{path}: labels is {value!r}; give {{"0": "background", ...}} or {{"background": 0, ...}}')
        table: dict[str, Any] = {}
        for key, name in value.items():
            if name in table:
                raise UserError(f"{path}: labels names {name!r} twice; give each label a name of its own")
            table[name] = int(key)
    else:
        table = dict(value)
    for name, members in table.items():
        several = members if isinstance(members, list) else [members]
        if not name.strip() or not several or not all(type(v) is int and 0 <= v < 65536 for v in several):
            raise UserError(
                f"{path}: label {name!r} is {members!r}; it must be a whole number from 0, or a list of them"
            )
    if "ignore" in table:
        raise UserError(f"{path}: the label 'ignore' of nnU-Net is not supported; remove it and the cases that need it")
    table = {name: members for name, members in table.items() if members not in (0, [0])}
    if not table:
        raise UserError(f"{path}: labels holds nothing but background; name at least one label")
    if any(isinstance(members, list) for members in table.values()):
        return _regions(table, about.get("regions_class_order"), path), True
    entries = sorted((LabelEntry(name, v, (v,)) for name, v in table.items()), key=lambda entry: entry.value)
    found = [entry.value for entry in entries]
    if found != list(range(1, len(entries) + 1)):
        raise UserError(
            f"{path}: labels have the values {found}; without the background they must count from 1, each once"
        )
    return tuple(entries), False


def _regions(table: dict[str, Any], order: Any, path: Path) -> tuple[LabelEntry, ...]:
    painted = isinstance(order, list) and all(type(v) is int and 0 < v < 65536 for v in order)
    if not painted or len(order) != len(table) or len(set(order)) != len(order):
        raise UserError(
            f"{path}: regions_class_order is {order!r}; it must give each of the {len(table)} regions "
            f"({', '.join(table)}) a value of its own, from 1"
        )
    entries = []
    for (name, members), value in zip(table.items(), order, strict=True):
        members = tuple(sorted(set(members if isinstance(members, list) else [members])))
        if 0 in members:
            raise UserError(f"{path}: the region {name!r} holds 0, the background; give the values of tissue alone")
        entries.append(LabelEntry(name, value, members))
    return tuple(entries)


def _entries(about: dict, path: Path) -> list[tuple[int, dict]]:
    """The entries of ``training`` with their place, without the shadow files that macOS leaves in archives."""
    entries = []
    for n, entry in enumerate(about["training"]):
        image = entry.get("image") if isinstance(entry, dict) else None
        if not (
            isinstance(image, str) or (isinstance(image, list) and image and all(isinstance(i, str) for i in image))
        ):
            raise UserError(f'{path}: training[{n}] is {entry!r}; it must be {{"image": FILE, "label": FILE}}')
        first = image if isinstance(image, str) else image[0]
        if not _file_name(first).startswith("._"):
            entries.append((n, entry))
    return entries


def _file_name(text: str) -> str:
    return PurePosixPath(text.replace("\\", "/")).name


def _inside(folder: Path, path: Path, where: str, text: str) -> Path:
    """The file that an entry names: relative to the folder, with either slash, and not outside."""
    plain = PurePosixPath(text.replace("\\", "/"))
    if plain.is_absolute() or re.match(r"^[A-Za-z]:", text) or ".." in plain.parts or not plain.name:
        raise UserError(f"{path}: {where} is {text!r}; it must be a path inside {folder}, relative to it")
    return folder.joinpath(*plain.parts)


def _stem(file: Path) -> tuple[str, str]:
    """Name of a file without its ending, and the ending; ``.nii.gz`` is one."""
    ending = ".nii.gz" if file.name.lower().endswith(".nii.gz") else file.suffix
    return file.name[: len(file.name) - len(ending)], file.name[len(file.name) - len(ending) :]


def _listed_case(folder: Path, path: Path, n: int, entry: dict, channels: int) -> Case:
    """A case of the list ``training``."""
    several = entry["image"] if isinstance(entry["image"], list) else [entry["image"]]
    images = [_inside(folder, path, f"training[{n}].image", text) for text in several]
    name, ending = _stem(images[0])
    if len(images) == 1 and not images[0].exists():
        # nnU-Net's first version lists CASE.nii.gz where the files are CASE_0000.nii.gz, CASE_0001.nii.gz, ...
        split = [images[0].with_name(f"{name}_{c:04d}{ending}") for c in range(channels)]
        images = split if split[0].exists() else images
    for image in images:
        if not image.exists():
            raise UserError(f"image {image}, which {path} lists in training[{n}], is missing")
    if len(images) not in (1, channels):
        raise UserError(f"{path}: training[{n}] has {len(images)} images where the data set has {channels} channels")
    text = entry.get("label")
    if not isinstance(text, str) or not text:
        raise UserError(f"image {images[0]} has no label: training[{n}].label in {path} is {text!r}")
    label = _inside(folder, path, f"training[{n}].label", text)
    if not label.exists():
        raise UserError(f"image {images[0]} has no label: {label}, which {path} lists in training[{n}], is missing")
    if re.fullmatch(r".+_\d{4}", name) and _stem(label)[0] == name[:-5]:
        name = name[:-5]
    return Case(name, tuple(images), label, channels)


def _raw_cases(folder: Path, ending: str, channels: int) -> list[Case]:
    """The cases of nnU-Net's raw layout, by what lies in ``imagesTr``."""
    source = folder / "imagesTr"
    if not source.is_dir():
        raise UserError(f"{source} is missing; dataset.json lists no training cases, so their images must lie there")
    pattern = re.compile(rf"(.+)_(\d{{4}}){re.escape(ending)}")
    found: dict[str, set[int]] = {}
    for file in source.iterdir():
        match = None if file.name.startswith(".") else pattern.fullmatch(file.name)
        if match:
            found.setdefault(match[1], set()).add(int(match[2]))
    cases = []
    for name, there in sorted(found.items()):
        images = tuple(source / f"{name}_{c:04d}{ending}" for c in range(channels))
        missing = [images[c] for c in range(channels) if c not in there]
        if missing:
            raise UserError(f"image {missing[0]} is missing; case {name!r} needs {channels} channels")
        if len(there) > channels:
            raise UserError(
                f"image {source / f'{name}_{max(there):04d}{ending}'} is more than the {channels} channels that "
                f"{folder / 'dataset.json'} names"
            )
        label = folder / "labelsTr" / f"{name}{ending}"
        if not label.exists():
            raise UserError(f"image {images[0]} has no label: {label} is missing")
        cases.append(Case(name, images, label, channels))
    return cases


def read_case_images(case: Case, warnings: list[str] | None = None) -> list[sitk.Image]:
    """Read the channels of a case, each a 3-D image; a 4-D file is taken apart along its last axis.

    Args:
        case: as ``read_dataset`` found it.
        warnings: gets a sentence for each peculiarity of the files; without it they are logged.

    Raises:
        UserError: a file cannot be read, or holds another number of channels.
    """
    if not case.packed:
        return [read_image(path, warnings=warnings) for path in case.images]
    path = case.images[0]
    channels = read_volumes(path, case.channels, warnings)
    if len(channels) != case.channels:
        raise UserError(f"{path} holds {len(channels)} channels where its data set has {case.channels}")
    return channels


def read_case_label(case: Case, warnings: list[str] | None = None) -> sitk.Image:
    """Read the label map of a case as an image of whole numbers, whatever the file's own type.

    Raises:
        UserError: no label, a file that cannot be read, or a value that is no whole number from 0 to 65535.
    """
    if case.label is None:
        raise UserError(f"case {case.name!r} has no label")
    return read_label(case.label, warnings)


def read_label(path: Path, warnings: list[str] | None = None) -> sitk.Image:
    """Read a label map as an image of whole numbers, whatever the file's own type.

    Raises:
        UserError: a file that cannot be read, or a value that is no whole number from 0 to 65535.
    """
    label = read_image(path, warnings=warnings)
    values = _values(label, path)
    pixel = sitk.sitkUInt8 if values.max(initial=0) < 256 else sitk.sitkUInt16
    return label if label.GetPixelID() == pixel else sitk.Cast(label, pixel)


def _values(label: sitk.Image, path: Path | str) -> np.ndarray:
    """The different values of a label map; files of floating point hold whole numbers too."""
    values = np.unique(sitk.GetArrayViewFromImage(label))
    whole = np.isfinite(values) & (values == np.rint(values)) & (values >= 0) & (values < 65536)
    if not whole.all():
        raise UserError(f"label {path} holds the value {values[~whole][0]}; a label map holds whole numbers from 0")
    return values.astype(np.int64)


def check_case(image: sitk.Image | list[sitk.Image], label: sitk.Image, dataset: Dataset, case: Case) -> None:
    """Check that the images and the label of a case fit each other and the data set.

    Args:
        image: the case's image, or its channels.
        label: its label map, of whole numbers in any type.
        dataset: what the label map may hold.
        case: names the files in messages.

    Raises:
        UserError: another size or geometry than the label's (beyond ``GEOMETRY_TOLERANCE`` voxels), or a value that
            ``dataset.json`` does not name.
    """
    images = image if isinstance(image, list) else [image]
    grid = Grid.of(label)
    for n, channel in enumerate(images):
        path = case.images[min(n, len(case.images) - 1)]
        other = Grid.of(channel)
        if other.size != grid.size:
            raise UserError(
                f"image {path} has {_by(other.size)} voxels and its label {case.label} {_by(grid.size)}; "
                "give them the same grid or remove the case"
            )
        if not other.same_as(grid, GEOMETRY_TOLERANCE):
            raise UserError(
                f"image {path} and its label {case.label} lie elsewhere in space (spacing {_by(other.spacing)} and "
                f"{_by(grid.spacing)} mm, origin {_by(other.origin)} and {_by(grid.origin)}, orientation "
                f"{other.orientation} and {grid.orientation}); give them the same grid or remove the case"
            )
    extra = sorted(set(_values(label, case.label).tolist()) - set(dataset.values))
    if extra:
        raise UserError(
            f"label {case.label} holds the value {extra[0]}, which {dataset.folder / 'dataset.json'} does not name "
            f"(it names {', '.join(map(str, dataset.values))}); correct the one or the other"
        )


def _by(numbers: tuple) -> str:
    return "x".join(f"{n:.6g}" for n in numbers)
