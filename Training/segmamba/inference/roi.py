"""The region of interest: voxels of the first image, from text, a Slicer markups file, or Python values."""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from segmamba.errors import UserError
from segmamba.grid import Grid

# Half-open voxels along (i, j, k) of the first image as stored.
Box = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]

_FORMS = "give i0:i1,j0:j1,k0:k1 in voxels of the first image, or a Slicer markups file (.mrk.json) with a box ROI"
# A box drawn along voxel edges must not gain a voxel by rounding in the file.
_EDGE = 1e-3


def parse_roi(roi: str | Path | Sequence[Sequence[int]], grid: Grid) -> Box:
    """Reads a region of interest.

    Args:
        roi: ``"i0:i1,j0:j1,k0:k1"`` (half-open voxels of the first image as stored), the path of a Slicer markups
            file with one box ROI, or three (start, stop) pairs.
        grid: The first image's grid.

    Returns:
        Half-open voxel bounds along i, j, k.  Of a box in a markups file: the voxels of the grid that bound it,
        clipped to the image.

    Raises:
        UserError: The text or the file is malformed, the region is empty, or lies outside the image.
    """
    if isinstance(roi, Path) or (isinstance(roi, str) and not re.fullmatch(r"[\s\d:,+-]*", roi)):
        path = Path(roi)
        if not path.name.lower().endswith(".json"):
            raise UserError(f"--roi {str(roi)!r} is neither voxels nor a markups file; {_FORMS}")
        return _bounding_voxels(*_read_markups(path), grid, path)
    name = f"--roi {roi!r}"
    if isinstance(roi, str):
        pairs = [part.split(":") for part in roi.split(",")]
    else:
        pairs = [list(pair) if isinstance(pair, Sequence) else [pair] for pair in roi]
    try:
        if len(pairs) != 3 or any(len(pair) != 2 for pair in pairs):
            raise ValueError
        box = tuple((int(start), int(stop)) for start, stop in pairs)
    except (TypeError, ValueError):
        raise UserError(f"{name} is malformed; {_FORMS}") from None
    for axis, (start, stop), size in zip("ijk", box, grid.size, strict=True):
        if stop <= start:
            raise UserError(f"{name} is empty along {axis} ({start}:{stop}); the second number must be the larger")
        if start < 0 or stop > size:
            raise UserError(
                f"{name} reaches outside the first image along {axis} ({start}:{stop}); its voxels there are 0:{size}"
            )
    return box


def _read_markups(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Centre (LPS mm), size (mm) and axes (columns, LPS) of the one box ROI in a markups file."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"--roi {path}: no such file; {_FORMS}") from None
    except OSError as error:
        raise UserError(f"--roi {path} cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise UserError(f"--roi {path} is no JSON file ({error}); save the ROI again from Slicer's Markups") from error
    markups = document.get("markups") if isinstance(document, dict) else None
    boxes = [m for m in markups if isinstance(m, dict) and m.get("type") == "ROI"] if isinstance(markups, list) else []
    if len(boxes) != 1:
        raise UserError(f"--roi {path} holds {len(boxes)} ROIs; save exactly one ROI from Slicer's Markups into it")
    roi = boxes[0]
    if roi.get("roiType", "Box") not in ("Box", "BoundingBox"):
        raise UserError(f"--roi {path} holds a ROI of type {roi['roiType']!r}; only boxes can be used")
    if roi.get("coordinateUnits", "mm") != "mm":
        raise UserError(f"--roi {path} is in {roi['coordinateUnits']!r}; only mm can be used")
    system = roi.get("coordinateSystem", "LPS")
    if system not in ("LPS", "RAS"):
        raise UserError(f"--roi {path}: coordinateSystem is {system!r}; LPS or RAS is needed")
    centre = _numbers(roi, "center", 3, path)
    size = _numbers(roi, "size", 3, path)
    axes = np.eye(3)
    if roi.get("orientation") is not None:
        axes = _numbers(roi, "orientation", 9, path).reshape(3, 3)
    elif system == "RAS":
        axes = np.diag([-1.0, -1.0, 1.0])
    if np.any(size <= 0):
        raise UserError(f"--roi {path} is empty: its size is {size.tolist()} mm")
    if system == "RAS":
        flip = np.diag([-1.0, -1.0, 1.0])
        centre, axes = flip @ centre, flip @ axes
    return centre, size, axes


def _numbers(roi: dict, key: str, count: int, path: Path) -> np.ndarray:
    values = roi.get(key)
    good = isinstance(values, list) and len(values) == count
    good = good and all(isinstance(v, (int, float)) and not isinstance(v, bool) and math.isfinite(v) for v in values)
    if not good:
        raise UserError(f"--roi {path}: {key} is {values!r}, not {count} numbers; save the ROI again from Slicer")
    return np.asarray(values, dtype=float)


def _bounding_voxels(centre: np.ndarray, size: np.ndarray, axes: np.ndarray, grid: Grid, path: Path) -> Box:
    """Voxels of the grid that bound a box, clipped to the image."""
    corners = [centre + axes @ (size / 2 * signs) for signs in itertools.product((-1, 1), repeat=3)]
    world = np.column_stack([corners, np.ones(8)])
    voxels = (world @ np.linalg.inv(grid.ijk_to_lps).T)[:, :3]
    # Voxel n reaches from n - 1/2 to n + 1/2.
    start = np.floor(voxels.min(axis=0) + 0.5 + _EDGE).astype(int)
    stop = np.ceil(voxels.max(axis=0) + 0.5 - _EDGE).astype(int)
    start, stop = np.maximum(start, 0), np.minimum(np.maximum(stop, start + 1), grid.size)
    if np.any(stop <= start):
        raise UserError(f"--roi {path} lies outside the first image; move the ROI onto it")
    return tuple((int(a), int(b)) for a, b in zip(start, stop, strict=True))
