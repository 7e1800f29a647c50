"""BraTS's layout: a folder a case, with a file a channel and the label map, as the challenges give them out.

BraTS 2021 and before: ``BraTS2021_00000/BraTS2021_00000_{t1,t1ce,t2,flair,seg}.nii.gz``, enhancing tumour is 4.
BraTS 2023: ``BraTS-GLI-00000-000/BraTS-GLI-00000-000-{t1n,t1c,t2w,t2f,seg}.nii.gz``, enhancing tumour is 3; the number
at the end counts a subject's scans.
"""

import re
from pathlib import Path

from segmamba.data.description import Case, Dataset, LabelEntry
from segmamba.errors import UserError

# In SegMamba's order of channels (its light_training/dataloading), under the names of BraTS 2023.
_CHANNELS = ("t2w", "t2f", "t1n", "t1c")
_OLD = {"t2w": "t2", "t2f": "flair", "t1n": "t1", "t1c": "t1ce"}
_FILE = re.compile(r"(?P<case>.+)[-_](?P<what>t1n|t1c|t2w|t2f|t1|t1ce|t2|flair|seg)(?P<ending>\.nii(\.gz)?)", re.I)


def find_brats(folder: Path) -> dict[str, dict[str, Path]]:
    """Files by case and kind of the folders below that hold BraTS's; empty where fewer than two kinds are there."""
    found: dict[str, dict[str, Path]] = {}
    for place in sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")):
        files: dict[str, Path] = {}
        for file in sorted(place.iterdir()):
            match = None if file.name.startswith(".") else _FILE.fullmatch(file.name)
            if match:
                files[match["what"].lower()] = file
        if len(files.keys() - {"seg"}) > 1:
            found[place.name] = files
    return found


def read_brats(folder: Path, found: dict[str, dict[str, Path]]) -> Dataset:
    """The data set of what :func:`find_brats` found; whole tumour, tumour core and enhancing tumour are regions.

    Raises:
        UserError: a case lacks a channel or its label map, or is named as another year's than the others.
    """
    new = {name: bool(files.keys() & set(_CHANNELS)) for name, files in found.items()}
    if len(set(new.values())) > 1:
        odd = next(name for name, value in new.items() if value != next(iter(new.values())))
        raise UserError(
            f"{folder / odd} has the names of another year of BraTS than {folder / next(iter(new))}; enhancing tumour "
            "is 4 in one and 3 in the other: keep one of them"
        )
    years = next(iter(new.values()))
    cases = []
    for name, files in found.items():
        kinds = _CHANNELS if years else tuple(_OLD[kind] for kind in _CHANNELS)
        for kind in (*kinds, "seg"):
            if kind not in files:
                what = "no label: a file" if kind == "seg" else "no channel: a file"
                raise UserError(f"{folder / name} has {what} ..{'-' if years else '_'}{kind}.nii.gz is missing")
        images = tuple(files[kind] for kind in kinds)
        subject = re.fullmatch(r"(.+-\d+)-\d{3}", name) if years else None
        cases.append(Case(name, images, files["seg"], len(images), subject[1] if subject else name))
    enhancing = 3 if years else 4
    labels = (
        LabelEntry("WT", 2, (1, 2, enhancing)),
        LabelEntry("TC", 1, (1, enhancing)),
        LabelEntry("ET", 3, (enhancing,)),
    )
    return Dataset(
        folder=folder,
        name=folder.resolve().name,
        description="",
        licence="",
        reference="",
        channels=_CHANNELS,
        modalities=("MR",) * len(_CHANNELS),
        labels=labels,
        regions=True,
        cases=tuple(cases),
        source=folder,
        layout="BraTS 2023" if years else "BraTS 2021",
    )
