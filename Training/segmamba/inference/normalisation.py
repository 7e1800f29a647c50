"""Intensity normalisation of one channel: statistics of the whole image, applied in place, without copies of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from segmamba.metadata import Normalisation


@dataclass(frozen=True)
class Scale:
    """What normalisation does to a channel: clip to (low, high), subtract ``shift``, divide by ``divisor``.

    Attributes:
        low, high: None: not clipped.
        shift, divisor: In the image's own units.
        keep_zero: Zero stays zero: the background of a skull-stripped image.
    """

    low: float | None = None
    high: float | None = None
    shift: float = 0.0
    divisor: float = 1.0
    keep_zero: bool = False


def scale_of(array: np.ndarray, normalisation: Normalisation) -> Scale:
    """The normalisation of one channel, its statistics taken from the whole image.

    Args:
        array: (D, H, W) float32, not changed.
        normalisation: What the model asks for.
    """
    nonzero = normalisation.region == "nonzero"
    if normalisation.kind == "none":
        return Scale()
    if normalisation.kind == "window":
        low, high = normalisation.window
        return Scale(low, high, low, high - low, nonzero)
    low = high = None
    if normalisation.kind == "percentile":
        low, high = percentiles(array, normalisation.percentiles, nonzero)
    mean, deviation = _moments(array, nonzero, low, high)
    return Scale(low, high, mean, deviation or 1.0, nonzero)


def apply_scale(array: np.ndarray, scale: Scale) -> None:
    """Normalises (D, H, W) float32 in place."""
    for plane in array:
        outside = plane == 0 if scale.keep_zero else None
        if scale.low is not None:
            np.clip(plane, np.float32(scale.low), np.float32(scale.high), out=plane)
        if scale.shift:
            plane -= np.float32(scale.shift)
        if scale.divisor != 1:
            plane /= np.float32(scale.divisor)
        if outside is not None:
            plane[outside] = 0


def percentiles(array: np.ndarray, wanted: Sequence[float], nonzero: bool = False) -> tuple[float, ...]:
    """Percentiles as ``numpy.percentile`` has them, exact, from two passes over the planes and no sorted copy.

    The bits of a float32, with the sign turned round, sort as the values do: a histogram of their upper halves finds
    the bin of each rank, histograms of the lower halves in those bins find the values.

    Args:
        array: (D, H, W) float32 without NaN.
        wanted: 0 to 100.
        nonzero: Of the voxels that are not zero; of none at all the percentiles are 0.
    """

    def keys() -> Iterator[np.ndarray]:
        for plane in _planes(array, nonzero):
            bits = np.ascontiguousarray(plane).view(np.uint32).ravel()
            yield np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))

    upper = np.zeros(1 << 16, dtype=np.int64)
    for key in keys():
        upper += np.bincount(key >> 16, minlength=1 << 16)
    ends = np.cumsum(upper)
    if not ends[-1]:
        return tuple(0.0 for _ in wanted)
    places = np.asarray(wanted, dtype=float) / 100 * (ends[-1] - 1)
    ranks = sorted({int(rank) for place in places for rank in (np.floor(place), np.ceil(place))})
    bins = {rank: int(np.searchsorted(ends, rank, side="right")) for rank in ranks}
    lower = {b: np.zeros(1 << 16, dtype=np.int64) for b in bins.values()}
    for key in keys():
        for b, counts in lower.items():
            counts += np.bincount(key[key >> 16 == b] & 0xFFFF, minlength=1 << 16)
    values = {}
    for rank, b in bins.items():
        low = int(np.searchsorted(np.cumsum(lower[b]), rank - (ends[b] - upper[b]), side="right"))
        key = np.array([b << 16 | low], dtype=np.uint32)
        bits = np.where(key >> 31, key & np.uint32(0x7FFFFFFF), ~key)
        values[rank] = float(bits.astype(np.uint32).view(np.float32)[0])
    found = []
    for place in places:
        first, second = values[int(np.floor(place))], values[int(np.ceil(place))]
        found.append(first + (second - first) * float(place % 1))
    return tuple(found)


def _moments(array: np.ndarray, nonzero: bool, low: float | None, high: float | None) -> tuple[float, float]:
    """Mean and standard deviation after clipping, in float64, plane by plane."""

    def planes() -> Iterator[np.ndarray]:
        for values in _planes(array, nonzero):
            yield (values if low is None else values.clip(low, high)).astype(np.float64)

    count = total = 0.0
    for values in planes():
        count += values.size
        total += values.sum()
    mean = total / max(count, 1)
    squares = sum(np.square(values - mean).sum() for values in planes())
    return float(mean), float(np.sqrt(squares / max(count, 1)))


def _planes(array: np.ndarray, nonzero: bool) -> Iterator[np.ndarray]:
    for plane in array:
        yield plane[plane != 0] if nonzero else plane
