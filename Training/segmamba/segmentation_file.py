"""3D Slicer's segmentation files (.seg.nrrd): a label map whose header names, colours and codes every segment.

The fields are those that Slicer's vtkMRMLSegmentationStorageNode reads and writes.  ITK's writer cannot put the layers
of overlapping segments on a first axis of kind "list", hence one of our own; the format is plain
(https://teem.sourceforge.net/nrrd/format.html).
"""

from __future__ import annotations

import gzip
import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from segmamba.atomic import replacing
from segmamba.errors import UserError
from segmamba.grid import Grid
from segmamba.image_reading import read_volumes
from segmamba.terminology import terminology_entry

_TYPES = ((np.dtype("<u1"), "unsigned char"), (np.dtype("<u2"), "unsigned short"), (np.dtype("<u4"), "unsigned int"))


def write_segmentation_nrrd(
    labels: np.ndarray, grid: Grid, path: Path, segments: Sequence[Any], regions: np.ndarray | None = None
) -> None:
    """Write a .seg.nrrd file; arguments as in :func:`segmamba.images.write_segmentation`, ``labels`` as (k, j, i)."""
    layers = [0] * len(segments)
    if regions is None:
        voxels = labels[..., None]
    else:
        if regions.shape != labels.shape:
            raise ValueError(f"regions of shape {regions.shape} do not lie on labels of shape {labels.shape}")
        layers = layers_of(regions, len(segments))
        values = np.min_scalar_type(max((s.value for s in segments), default=0))
        voxels = np.zeros((*labels.shape, max(layers, default=0) + 1), values)
        for bit, (segment, layer) in enumerate(zip(segments, layers, strict=True)):
            voxels[..., layer][(regions >> regions.dtype.type(bit)) & 1 == 1] = segment.value
    highest = max([int(voxels.max(initial=0)), *(s.value for s in segments)])
    dtype, kind = next(t for t in _TYPES if highest <= np.iinfo(t[0]).max)
    overlap = voxels.shape[-1] > 1
    header = _header(grid, kind, voxels.shape[-1] if overlap else 0, segments, layers)
    with replacing(path, ".seg.nrrd") as temporary, temporary.open("wb") as file:
        file.write(header.encode("utf-8"))
        # mtime 0: the same mask gives the same file.
        with gzip.GzipFile(filename="", mode="wb", compresslevel=4, fileobj=file, mtime=0) as out:
            for plane in voxels:
                out.write(np.ascontiguousarray(plane, dtype).tobytes())


@dataclass(frozen=True)
class StoredSegment:
    """A segment of a file.

    Attributes:
        name: as Slicer shows it.
        value: what its layer holds where it is present.
        layer: of the file, from 0.
    """

    name: str
    value: int
    layer: int


@dataclass(frozen=True)
class StoredSegmentation:
    """A segmentation as a file holds it.

    Attributes:
        grid: where the voxels lie.
        layers: label maps (k, j, i); segments of one do not overlap.
        segments: in the order of the file.
    """

    grid: Grid
    layers: tuple[np.ndarray, ...]
    segments: tuple[StoredSegment, ...]

    def mask(self, segment: StoredSegment) -> np.ndarray:
        """Where a segment is present: boolean (k, j, i)."""
        return self.layers[segment.layer] == segment.value


def read_segmentation(path: str | os.PathLike, warnings: list[str] | None = None) -> StoredSegmentation:
    """Read a .seg.nrrd file, of this program or of 3D Slicer, with all its layers.

    Args:
        path: the file.
        warnings: what the user should know is appended here as text; without it, it is logged.

    Raises:
        UserError: the file cannot be read as an image, or its header names no segments, or a layer that is not there.
    """
    parts = read_volumes(path, None, warnings)
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    keys = set(reader.GetMetaDataKeys())
    numbers = sorted(int(found[1]) for key in keys if (found := re.fullmatch(r"Segment(\d+)_LabelValue", key)))
    if not numbers:
        raise UserError(f"{path}: its header names no segments (Segment0_LabelValue): save it again from 3D Slicer")
    segments = []
    for number in numbers:

        def field(key: str, default: str, number: int = number) -> str:
            name = f"Segment{number}_{key}"
            return reader.GetMetaData(name) if name in keys else default

        try:
            segment = StoredSegment(
                field("Name", f"Segment_{number}"), int(field("LabelValue", "")), int(field("Layer", "0"))
            )
        except ValueError as error:
            raise UserError(f"{path}: the fields of segment {number} in its header are damaged ({error})") from None
        if not 0 <= segment.layer < len(parts):
            raise UserError(f"{path}: segment {segment.name!r} is in layer {segment.layer}, of {len(parts)}")
        segments.append(segment)
    return StoredSegmentation(Grid.of(parts[0]), tuple(sitk.GetArrayFromImage(p) for p in parts), tuple(segments))


def layers_of(regions: np.ndarray, count: int) -> list[int]:
    """A layer for each of ``count`` segments, so that no two of one layer overlap; as few as the order gives.

    Args:
        regions: unsigned integers whose bit r is set where segment r is present.
    """
    present = [{r for r in range(count) if int(bits) >> r & 1} for bits in np.unique(regions)]
    layers: list[int] = []
    for r in range(count):
        taken = {layers[other] for together in present if r in together for other in together if other < r}
        layers.append(next(n for n in range(count) if n not in taken))
    return layers


def _header(grid: Grid, kind: str, layers: int, segments: Sequence[Any], layer_of: list[int]) -> str:
    """The text before the voxels; ``layers`` is 0 where there is no axis of layers."""
    columns = (np.reshape(grid.direction, (3, 3)) * grid.spacing).T.tolist()
    first = "none " if layers else ""
    lines = [
        "NRRD0004",
        "# Complete NRRD file format specification at:",
        "# http://teem.sourceforge.net/nrrd/format.html",
        f"type: {kind}",
        f"dimension: {4 if layers else 3}",
        "space: left-posterior-superior",
        f"sizes: {f'{layers} ' if layers else ''}{' '.join(map(str, grid.size))}",
        f"space directions: {first}{' '.join(map(_vector, columns))}",
        f"kinds: {'list ' if layers else ''}domain domain domain",
        *([] if kind == "unsigned char" else ["endian: little"]),
        "encoding: gzip",
        f"space origin: {_vector(grid.origin)}",
    ]
    # The extent of the whole array for every segment: Slicer cuts a layer to the extent of its first segment.
    extent = " ".join(f"0 {n - 1}" for n in grid.size)
    for number, (segment, layer) in enumerate(zip(segments, layer_of, strict=True)):
        entry = terminology_entry(segment.terminology)
        fields = {
            "Color": " ".join(f"{c / 255:.6g}" for c in segment.colour),
            "ColorAutoGenerated": "0",
            "Extent": extent,
            "ID": f"Segment_{segment.value}",
            "LabelValue": segment.value,
            "Layer": layer,
            "Name": _escaped(segment.name),
            "NameAutoGenerated": "0",
            "Tags": _escaped(f"TerminologyEntry:{entry}|") if entry else "",
        }
        lines += [f"Segment{number}_{key}:={value}" for key, value in fields.items()]
    lines += [
        "Segmentation_ContainedRepresentationNames:=Binary labelmap|",
        "Segmentation_ConversionParameters:=",
        "Segmentation_MasterRepresentation:=Binary labelmap",
        "Segmentation_ReferenceImageExtentOffset:=0 0 0",
    ]
    return "\n".join(lines) + "\n\n"


def _vector(values: Sequence[float]) -> str:
    # repr gives the shortest text that reads back as the same number.
    if not all(map(math.isfinite, values)):
        raise ValueError(f"{values} do not place a volume")
    return "(" + ",".join(repr(float(v)) for v in values) + ")"


def _escaped(text: str) -> str:
    """A value as NRRD wants it: one line, backslashes doubled."""
    return str(text).replace("\\", "\\\\").replace("\r", " ").replace("\n", "\\n")
