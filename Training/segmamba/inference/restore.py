"""The way back: blended probabilities on the model's grid become results on the first image's own grid.

The two grids are axis-aligned, so linear interpolation is separable; where spacings agree nothing is interpolated.
Everything runs over a few rows of one plane at a time, in the order in which the sliding window finishes planes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from segmamba.errors import UserError
from segmamba.inference.preprocess import Prepared, between
from segmamba.inference.window import Maps
from segmamba.metadata import Metadata

# The most classes for which comparing one by one beats argmax over a short last axis.
_FEW_CLASSES = 16


@dataclass(frozen=True)
class Axis:
    """Linear interpolation along one axis: output n is (1 - fraction) * lower + fraction * upper.

    Attributes:
        lower, upper: Planes of the model's grid, clamped at its edges.
        fraction: 0 up to 1; None where every output is a plane of the model's grid.
    """

    lower: np.ndarray
    upper: np.ndarray
    fraction: np.ndarray | None

    @classmethod
    def between(cls, outputs: range, scale: float, offset: float, size: int) -> Axis:
        """Outputs n that lie at n * scale + offset of ``size`` planes."""
        places = np.clip(np.arange(outputs.start, outputs.stop) * scale + offset, 0, size - 1)
        # A grid that agrees up to the rounding of its matrix needs no interpolation.
        places = np.where(np.abs(places - np.rint(places)) < 1e-5, np.rint(places), places)
        lower = np.floor(places).astype(np.int64)
        fraction = (places - lower).astype(np.float32)
        upper = np.where(fraction > 0, lower + 1, lower)
        return cls(lower, upper, fraction if fraction.any() else None)

    def apply(self, values: torch.Tensor, axis: int, outputs: slice, first: int) -> torch.Tensor:
        """Interpolates ``values``, whose index 0 along ``axis`` is plane ``first``, at some outputs."""
        lower, upper = self.lower[outputs] - first, self.upper[outputs] - first
        if self.fraction is None:
            if np.all(np.diff(lower) == 1):
                return values.narrow(axis, int(lower[0]), len(lower))
            return _select(values, axis, lower)
        shape = [1] * values.ndim
        shape[axis] = -1
        fraction = torch.from_numpy(self.fraction[outputs]).to(values.device).view(shape)
        return _select(values, axis, lower).lerp_(_select(values, axis, upper), fraction)


def axes_back(prepared: Prepared) -> tuple[Axis, Axis, Axis]:
    """How the wanted voxels of the oriented image are interpolated from the model's grid, along k, j, i."""
    scale, offset = between(prepared.oriented_grid, prepared.grid)
    return tuple(
        Axis.between(range(place.start, place.stop), scale[axis], offset[axis], prepared.grid.size[axis])
        for place, axis in zip(prepared.box, (2, 1, 0), strict=True)
    )


class Restorer:
    """Consumer of a sliding window that builds the results on the first image's own grid.

    Args:
        prepared: The case, as :func:`segmamba.inference.preprocess.prepare` gave it.
        metadata: Of the model: labels or regions.
        probabilities: Keep the maps of all classes (float32; memory for every class).
        uncertainty: Keep the normalised entropy.

    Attributes:
        labels: (D, H, W) unsigned, on the source grid, 0 outside the region of interest.
        regions: (D, H, W) unsigned, bit r set where region r is present; None for a model without regions.
        probabilities: (classes, D, H, W) float32 or None; outside the region of interest background.
        uncertainty: (D, H, W) float32 in [0, 1] or None: entropy of the classes over log(classes), or the mean
            binary entropy of the regions over log 2; 0 outside the region of interest.
    """

    def __init__(
        self, prepared: Prepared, metadata: Metadata, probabilities: bool = False, uncertainty: bool = False
    ) -> None:
        self._values = [label.value for label in metadata.labels]
        self._by_region = metadata.regions
        self._classes = metadata.output_channels
        shape = tuple(reversed(prepared.source_grid.size))
        self.labels = np.zeros(shape, dtype=np.uint8 if max(self._values) < 256 else np.uint16)
        self.regions = np.zeros(shape, dtype=bitmask_type(len(self._values))) if metadata.regions else None
        self.uncertainty = np.zeros(shape, dtype=np.float32) if uncertainty else None
        self.probabilities = None
        if probabilities:
            self.probabilities = np.zeros((self._classes, *shape), dtype=np.float32)
            if not metadata.regions:
                self.probabilities[0] = 1
        # Results are written through views in the network's orientation: no copy turns them back.
        self._labels = self._view(prepared, self.labels)
        self._regions = self._view(prepared, self.regions)
        self._uncertainty = self._view(prepared, self.uncertainty)
        self._probabilities = self._view(prepared, self.probabilities)
        self._table = np.array([0, *self._values], dtype=self.labels.dtype)

        self._planes, self._rows, self._columns = axes_back(prepared)
        self._next = 0
        map_bytes = 4 * int(np.prod(shape))
        # A few temporaries of this size exist at once.
        self._chunk_bytes = min(max(map_bytes // 48, 1 << 16), 4 << 20)

    def ready(self, maps: Maps, end: int) -> None:
        """Works out every plane of the results whose neighbours on the model's grid are final (see window.Consumer)."""
        stop = self._next
        while stop < len(self._planes.lower) and self._planes.upper[stop] < end:
            stop += 1
        while self._next < stop:
            lower, upper = self._planes.lower[self._next], self._planes.upper[self._next]
            last = self._next + 1
            # Planes between the same two neighbours share their interpolated rows.
            while last < stop and self._planes.lower[last] == lower and self._planes.upper[last] in (lower, upper):
                last += 1
            self._interval(maps, int(lower), int(upper), range(self._next, last))
            self._next = last

    def _interval(self, maps: Maps, lower: int, upper: int, planes: range) -> None:
        height, width = len(self._rows.lower), len(self._columns.lower)
        per_row = 4 * self._classes * max(width, int(self._columns.upper.max()) + 1)
        step = max(1, self._chunk_bytes // per_row)
        for top in range(0, height, step):
            rows = slice(top, min(top + step, height))
            one = self._read(maps, lower, rows)
            two = self._read(maps, upper, rows) if upper != lower else None
            for plane in planes:
                fraction = 0.0 if self._planes.fraction is None else float(self._planes.fraction[plane])
                values = one if fraction == 0 or two is None else torch.lerp(one, two, fraction)
                self._write(plane, rows, values)

    def _read(self, maps: Maps, plane: int, rows: slice) -> torch.Tensor:
        """Rows of a plane of the model's grid, interpolated in the plane: (rows, columns, classes)."""
        top, bottom = int(self._rows.lower[rows].min()), int(self._rows.upper[rows].max()) + 1
        values = self._rows.apply(maps.read(plane, top, bottom), 0, rows, top)
        return self._columns.apply(values, 1, slice(None), 0)

    def _write(self, plane: int, rows: slice, values: torch.Tensor) -> None:
        """Turns probabilities (rows, columns, classes) into labels and whatever else was asked for."""
        if self._by_region:
            bits = np.zeros(values.shape[:2], dtype=self.regions.dtype)
            labels = np.zeros(values.shape[:2], dtype=self.labels.dtype)
            for n, value in enumerate(self._values):
                inside = (values[..., n] > 0.5).cpu().numpy()
                bits |= inside.astype(bits.dtype) << bits.dtype.type(n)
                labels[inside] = value
            self._regions[plane, rows] = bits
            self._labels[plane, rows] = labels
        else:
            self._labels[plane, rows] = self._table[_argmax(values).cpu().numpy()]
        if self._probabilities is not None:
            self._probabilities[:, plane, rows] = values.movedim(-1, 0).cpu().numpy()
        if self._uncertainty is not None:
            self._uncertainty[plane, rows] = _entropy(values, self._by_region).cpu().numpy()

    def _view(self, prepared: Prepared, array: np.ndarray | None) -> np.ndarray | None:
        """The region of interest of a result on the source grid, in the network's orientation."""
        return None if array is None else prepared.oriented(array)[(..., *prepared.box)]


def bitmask_type(regions: int) -> np.dtype:
    """The smallest unsigned type with a bit for each region; UserError above 64."""
    for bits in (8, 16, 32, 64):
        if regions <= bits:
            return np.dtype(f"uint{bits}")
    raise UserError(f"the model has {regions} regions; at most 64 can be told apart in one voxel")


def _argmax(values: torch.Tensor) -> torch.Tensor:
    """Index of the largest of the last axis, the first one of equals."""
    classes = values.shape[-1]
    if classes > _FEW_CLASSES:
        return values.argmax(dim=-1)
    best = values[..., 0]
    index = torch.zeros(values.shape[:-1], dtype=torch.uint8, device=values.device)
    for n in range(1, classes):
        index.masked_fill_(values[..., n] > best, n)
        if n + 1 < classes:
            best = torch.maximum(best, values[..., n])
    return index


def _entropy(values: torch.Tensor, regions: bool) -> torch.Tensor:
    """Normalised entropy of the last axis, in [0, 1]."""
    total = torch.special.entr(values)
    if regions:
        total = (total + torch.special.entr(1 - values)).mean(dim=-1) / math.log(2)
    else:
        total = total.sum(dim=-1) / math.log(values.shape[-1])
    return total.clamp_(0, 1)


def _select(values: torch.Tensor, axis: int, index: np.ndarray) -> torch.Tensor:
    return values.index_select(axis, torch.from_numpy(index).to(values.device))
