"""Small data sets that the training tests share: bright boxes in noise, written in nnU-Net's raw layout."""

import json
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from segmamba.data.datasets import Dataset, read_dataset
from segmamba.data.splits import Fold
from segmamba.training.recipe import Recipe, from_dict

NETWORK = {"name": "lightmunet", "options": {"init_filters": 8, "blocks_down": [1, 1], "blocks_up": [1]}}
REGIONS = {"background": 0, "whole": [1, 2], "core": [2]}


def write_dataset(
    folder: Path,
    count: int = 4,
    size: tuple[int, int, int] = (20, 18, 16),
    channels: tuple[str, ...] = ("T1",),
    labels: dict | None = None,
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0),
    seed: int = 0,
) -> Dataset:
    """``count`` cases of noise with a bright box of label 1, and of label 2 inside it where there is one."""
    random = np.random.default_rng(seed)
    labels = labels or {"background": 0, "box": 1}
    for name in ("imagesTr", "labelsTr"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for n in range(count):
        shape = np.array(size[::-1])
        low = random.integers(2, shape // 2 - 2)
        outer = tuple(slice(a, a + s // 2) for a, s in zip(low, shape, strict=True))
        inner = tuple(slice(a + 2, a + s // 2 - 2) for a, s in zip(low, shape, strict=True))
        label = np.zeros(shape, np.uint8)
        label[outer] = 1
        if len(labels) > 2:
            label[inner] = 2
        for channel in range(len(channels)):
            image = random.normal(100, 10, shape) + 60 * (channel + 1) * label
            _write(image.astype(np.float32), folder / "imagesTr" / f"case{n}_{channel:04d}.nii.gz", spacing)
        _write(label, folder / "labelsTr" / f"case{n}.nii.gz", spacing)
    about = {
        "name": "boxes",
        "licence": "CC0",
        "channel_names": {str(n): name for n, name in enumerate(channels)},
        "labels": labels,
        "numTraining": count,
        "file_ending": ".nii.gz",
    }
    if any(isinstance(value, list) for value in labels.values()):
        about["regions_class_order"] = list(range(1, len(labels)))
    (folder / "dataset.json").write_text(json.dumps(about))
    return read_dataset(folder)


def _write(array: np.ndarray, path: Path, spacing: tuple[float, float, float]) -> None:
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing)
    sitk.WriteImage(image, str(path))


def fold_of(dataset: Dataset, validation: int = 1) -> Fold:
    """The last cases validate."""
    return Fold(dataset.names[:-validation], dataset.names[-validation:])


def recipe(**groups) -> Recipe:
    """A recipe for runs of seconds; groups as in a file, such as ``train={"epochs": 2}``."""
    values = {
        "network": NETWORK,
        "data": {"patch": [16, 16, 16]},
        "train": {"epochs": 2, "steps_per_epoch": 2, "batch": 1, "precision": "fp32", "threads": 1},
        "validation": {"every": 2},
    }
    for name, group in groups.items():
        values[name] = {**values.get(name, {}), **group} if isinstance(group, dict) else group
    return from_dict(values)
