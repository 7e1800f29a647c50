"""Masks on disk and evaluations of them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from segmamba.images import Grid, from_array, write_image

IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


@pytest.fixture
def save() -> Callable[..., Path]:
    """``save(values, path, spacing, direction)`` writes an array (k, j, i) as an image, its folder too."""

    def write(values, path: Path, spacing=(1.0, 1.0, 1.0), direction=IDENTITY) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        values = np.asarray(values)
        write_image(from_array(values, Grid(values.shape[::-1], spacing, (0.0, 0.0, 0.0), direction)), path)
        return path

    return write


def _box(value: int, i: tuple[int, int], shape=(10, 12, 14)) -> np.ndarray:
    values = np.zeros(shape, np.uint8)
    values[3:7, 3:7, i[0] : i[1]] = value
    return values


@pytest.fixture
def box() -> Callable[..., np.ndarray]:
    """``box(value, (start, stop))``: a label map with one box, from 3 to 7 along k and j, and so far along i."""
    return _box


@pytest.fixture
def folders(tmp_path: Path, save) -> tuple[Path, Path]:
    """Label 1 in four cases: right, half, missed and invented; label 2 in neither mask of any but the first."""
    cases = {
        "right": (_box(1, (2, 8)), _box(1, (2, 8))),
        "half": (_box(1, (2, 8)), _box(1, (5, 11))),
        "missed": (_box(0, (2, 8)), _box(1, (2, 8))),
        "invented": (_box(1, (2, 8)), _box(0, (2, 8))),
    }
    cases["right"][0][8:, 8:, 10:] = 2
    cases["right"][1][8:, 8:, 10:] = 2
    for name, (predicted, reference) in cases.items():
        save(predicted, tmp_path / "masks" / f"{name}.nii.gz")
        save(reference, tmp_path / "set" / "labelsTr" / f"{name}.nii.gz")
    return tmp_path / "masks", tmp_path / "set" / "labelsTr"
