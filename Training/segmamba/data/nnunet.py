"""nnU-Net's raw layout: ``imagesTr/CASE_0000.nii.gz`` with one file a channel, and ``labelsTr/CASE.nii.gz``."""

import re
from pathlib import Path

from segmamba.data.description import Case
from segmamba.errors import UserError


def raw_cases(folder: Path, ending: str, channels: int) -> list[Case]:
    """The cases of nnU-Net's raw layout, by what lies in ``imagesTr``; UserError where one is incomplete."""
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
