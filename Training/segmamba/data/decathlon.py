"""Medical Segmentation Decathlon's layout: ``training`` in ``dataset.json`` lists pairs of image and label."""

import re
from pathlib import Path, PurePosixPath

from segmamba.data.description import Case
from segmamba.errors import UserError


def entries_of(about: dict, path: Path) -> list[tuple[int, dict]]:
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


def stem_of(file: Path) -> tuple[str, str]:
    """Name of a file without its ending, and the ending; ``.nii.gz`` is one."""
    ending = ".nii.gz" if file.name.lower().endswith(".nii.gz") else file.suffix
    return file.name[: len(file.name) - len(ending)], file.name[len(file.name) - len(ending) :]


def listed_case(folder: Path, path: Path, n: int, entry: dict, channels: int) -> Case:
    """A case of the list ``training``; UserError where a file is missing or lies outside the folder."""
    several = entry["image"] if isinstance(entry["image"], list) else [entry["image"]]
    images = [_inside(folder, path, f"training[{n}].image", text) for text in several]
    name, ending = stem_of(images[0])
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
    if re.fullmatch(r".+_\d{4}", name) and stem_of(label)[0] == name[:-5]:
        name = name[:-5]
    return Case(name, tuple(images), label, channels)
