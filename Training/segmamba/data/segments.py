"""Segments of 3D Slicer as labels: one list of names for all cases, and what stands for segments that overlap."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from segmamba.data.description import LabelEntry
from segmamba.errors import UserError
from segmamba.images import from_array
from segmamba.segmentation_file import StoredSegmentation, read_segmentation

Codes = tuple[tuple[tuple[str, ...], int], ...]
_MOST = 63  # bits of a whole number


def name_segments(files: Sequence[Path]) -> tuple[tuple[LabelEntry, ...], bool, Codes]:
    """The labels of several segmentations, whether they are regions, and the value of each set of segments.

    Segments are told apart by name.  Where none share a voxel they are labels, numbered as they are met; otherwise
    they are regions, painted from the largest to the smallest, and every set of segments that occurs has a value.

    Args:
        files: read one after another; at least one.

    Raises:
        UserError: a file cannot be read, or there are too many segments.
    """
    volumes: dict[str, float] = {}
    together: set[tuple[str, ...]] = set()
    for file in files:
        stored = read_segmentation(file, [])
        for segment in stored.segments:
            volumes.setdefault(segment.name, 0.0)
        for names, count, _ in _sets(stored, file):
            together.add(names)
            for name in names:
                volumes[name] += count * float(np.prod(stored.grid.spacing))
    regions = any(len(names) > 1 for names in together)
    order = sorted(volumes, key=lambda name: -volumes[name]) if regions else list(volumes)
    sets = [(name,) for name in order] + sorted(names for names in together if len(names) > 1)
    codes = tuple((names, value) for value, names in enumerate(sets, start=1))
    if len(codes) > 65535:
        raise UserError(f"{files[0].parent}: its segments overlap in {len(codes)} ways; export fewer of them")
    labels = tuple(
        LabelEntry(name, n, tuple(value for names, value in codes if name in names) if regions else (n,))
        for n, name in enumerate(order, start=1)
    )
    return labels, regions, codes


def read_segments(path: Path, codes: Codes, warnings: list[str] | None = None) -> sitk.Image:
    """A segmentation as a label map with the values that :func:`name_segments` gave, on the file's own grid.

    Raises:
        UserError: the file cannot be read, or holds segments or overlaps that it did not hold then.
    """
    stored = read_segmentation(path, warnings)
    values = {frozenset(names): value for names, value in codes}
    kind = np.uint8 if len(codes) < 256 else np.uint16
    label = np.zeros(stored.grid.size[::-1], kind)
    for names, _, mask in _sets(stored, path):
        if frozenset(names) not in values:
            raise UserError(f"{path} holds the segments {', '.join(names)} in one place, which is new; start again")
        label[mask] = values[frozenset(names)]
    return from_array(label, stored.grid)


def _sets(stored: StoredSegmentation, path: Path) -> Iterator[tuple[tuple[str, ...], int, np.ndarray]]:
    """Each set of names that share voxels, with their number and their mask (k, j, i)."""
    if len(stored.segments) > _MOST:
        raise UserError(f"{path} holds {len(stored.segments)} segments; at most {_MOST} can be trained on")
    names = sorted({segment.name for segment in stored.segments})
    bits = np.zeros(stored.layers[0].shape, np.min_scalar_type(1 << len(names)))
    for segment in stored.segments:
        bits[stored.mask(segment)] |= bits.dtype.type(1 << names.index(segment.name))
    for code, count in zip(*np.unique(bits, return_counts=True), strict=True):
        if code:
            yield tuple(n for b, n in enumerate(names) if int(code) >> b & 1), int(count), bits == code
