"""What ITK does not check when it reads a volume's file: raw NIfTI, NRRD and MetaImage headers, and damaged data.

ITK repairs a zero spacing or a singular matrix in silence, fills up the voxels of a truncated file with whatever the
memory holds, and does not look at checksums.  A mask drawn on such an image looks like any other mask, so the files are
looked at here first.
"""

from __future__ import annotations

import bz2
import math
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from segmamba.errors import UserError
from segmamba.grid import Grid, displacement, singular, squared, warn

# Compressed bytes at a time: background shrinks a thousandfold, and a chunk must not fill the memory.
_CHUNK = 1 << 16
_HEADER = 1 << 20
_POSITIVE = "all three must be positive"
_DAMAGED = "its compressed data are damaged or cut short: get the file again"
# Two placements in one NIfTI header that differ by less, in voxels, are rounding: quaternions of half turns keep only
# half of float32's digits, which shows the more the longer the volume.
_PLACEMENT_VOXELS = 0.1
_PLACEMENT_VOXELS_PER_VOXEL = 1e-3
_SPACING = 1e-3
_GZIP = b"\x1f\x8b"


def check_header(path: Path, warnings: list[str] | None = None, volumes: int | None = 1) -> None:
    """Check the header and the completeness of a NIfTI, NRRD or MetaImage file; other files pass.

    Args:
        path: the file.
        warnings: what the user should know is appended here as text; without it, it is logged.
        volumes: the most volumes that a NIfTI file may hold; None for any number.

    Raises:
        UserError: spacing that is zero, negative or not a number; a singular matrix; no voxels; several volumes;
            data that are damaged or cut short.
    """
    start = _start(path)
    if start[:4] == b"NRRD":
        _check_nrrd(path, start, warnings)
    elif path.suffix.lower() in (".mha", ".mhd"):
        _check_meta(path, start)
    else:
        if start[4:7] == b"n+2":
            raise UserError(f"{path}: this is NIfTI-2, which cannot be read: convert it to NIfTI-1 or NRRD")
        header = nifti_header(start)
        if header is not None:
            _check_nifti(path, header, warnings, volumes)


@dataclass(frozen=True)
class NiftiHeader:
    """The fields of a NIfTI-1 header that place the voxels."""

    end: str  # byte order, as struct has it
    single_file: bool
    dim: tuple[int, ...]
    pixdim: tuple[float, ...]
    datatype: int
    bits: int
    offset: int
    qform_code: int
    sform_code: int
    quaternion: tuple[float, float, float]
    shift: tuple[float, float, float]
    srow: np.ndarray

    @property
    def sform(self) -> np.ndarray:
        """4 x 4 matrix from indices to LPS, of the header's units."""
        return np.diag([-1.0, -1.0, 1.0, 1.0]) @ np.vstack([self.srow, [0, 0, 0, 1]])

    @property
    def qform(self) -> np.ndarray:
        """4 x 4 matrix from indices to LPS (NIfTI-1 standard, method 2)."""
        b, c, d = self.quaternion
        rest = 1 - b * b - c * c - d * d
        a = math.sqrt(rest) if rest > 1e-7 else 0.0  # below, rounding; ITK's reader draws the line there too
        rotation = np.array(
            [
                [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
                [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
                [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
            ]
        )
        matrix = np.eye(4)
        handed = -1.0 if self.pixdim[0] < 0 else 1.0  # "qfac"
        matrix[:3, :3] = rotation * [self.pixdim[1], self.pixdim[2], self.pixdim[3] * handed]
        matrix[:3, 3] = self.shift
        return np.diag([-1.0, -1.0, 1.0, 1.0]) @ matrix

    @property
    def size(self) -> tuple[int, int, int]:
        """Voxels along i, j, k."""
        return tuple((*self.dim[1 : min(self.dim[0], 3) + 1], 1, 1)[:3])


_NIFTI_BYTES = 348
# Byte offset and type of the fields.
_DIM, _TYPE, _PIXDIM, _OFFSET = (40, "8h"), (70, "2h"), (76, "8f"), (108, "f")
_FLOATS = {16: "f4", 64: "f8"}  # datatype codes and numpy's names
_CODES, _QUATERNION, _SROW, _MAGIC = (252, "2h"), (256, "6f"), (280, "12f"), 344


def nifti_header(start: bytes) -> NiftiHeader | None:
    """The header at the beginning of a (decompressed) file; None where it is no NIfTI-1."""
    for end in "<>":
        if len(start) < _NIFTI_BYTES or struct.unpack_from(end + "i", start)[0] != _NIFTI_BYTES:
            continue
        if start[_MAGIC : _MAGIC + 2] not in (b"n+", b"ni"):
            return None  # Analyze 7.5 says nothing of orientation; ITK decides
        dim, (datatype, bits), pixdim, (offset,), codes, quaternion, srow = (
            struct.unpack_from(end + form, start, place)
            for place, form in (_DIM, _TYPE, _PIXDIM, _OFFSET, _CODES, _QUATERNION, _SROW)
        )
        return NiftiHeader(
            end=end,
            single_file=start[_MAGIC + 1 : _MAGIC + 2] == b"+",
            dim=dim,
            pixdim=pixdim,
            datatype=datatype,
            bits=bits,
            offset=int(offset) if math.isfinite(offset) else 0,
            qform_code=codes[0],
            sform_code=codes[1],
            quaternion=quaternion[:3],
            shift=quaternion[3:],
            srow=np.reshape(srow, (3, 4)),
        )
    return None


def _check_nifti(path: Path, header: NiftiHeader, warnings: list[str] | None, allowed: int | None) -> None:
    count = header.dim[0]
    if not 1 <= count <= 7 or min(header.dim[1 : count + 1]) < 1:
        raise UserError(f"{path}: the image has no voxels (dim {list(header.dim[: max(count, 3) + 1])} in its header)")
    volumes = math.prod(header.dim[4 : count + 1])
    if allowed is not None and volumes > allowed:
        raise UserError(f"{path}: {several(volumes, allowed)}")
    spacing = header.pixdim[1:4]
    if not all(math.isfinite(s) and s > 0 for s in spacing[: min(count, 3)]):
        raise UserError(f"{path}: the spacing in its header (pixdim) is {_text(spacing)} mm, correct it: {_POSITIVE}")
    expected = math.prod(header.dim[1 : count + 1]) * header.bits // 8
    if header.single_file:
        _check_length(path, header.offset + expected)
    if count < 3:
        return
    if header.sform_code > 0 and singular(header.srow[:, :3]):
        raise UserError(f"{path}: the sform matrix in its header is singular, correct it: it must map voxels to space")
    if not np.all(np.isfinite(header.srow)) and header.sform_code > 0:
        raise UserError(f"{path}: the sform matrix in its header holds a value that is not a number, correct it")
    if header.qform_code > 0:
        squares = sum(q * q for q in header.quaternion)
        if not all(map(math.isfinite, (*header.quaternion, *header.shift))) or squares > 1.001:
            values = _text(header.quaternion)
            raise UserError(f"{path}: the qform in its header is no rotation (quaternion {values}), correct it")
    if header.sform_code <= 0 and header.qform_code <= 0:
        warn(
            warnings,
            f"{path}: its header does not say how the image lies in the body (sform and qform codes are 0); "
            "its axes were taken to run to the left, to the back and up.",
        )
    if header.sform_code <= 0:
        return
    # ITK, and hence 3D Slicer, takes the sform where it is the scanner's or alone, and has square axes.
    lengths = np.linalg.norm(header.srow[:, :3], axis=0)
    columns = header.srow[:, :3] / lengths
    square = np.abs(columns.T @ columns - np.eye(3)).max() < 1e-3
    if header.qform_code > 0:
        used = "sform" if header.sform_code == 1 and square else "qform"
        apart = displacement(header.size, header.sform, header.qform)
        if apart > (_PLACEMENT_VOXELS + _PLACEMENT_VOXELS_PER_VOXEL * max(header.size)) * min(spacing):
            warn(
                warnings,
                f"{path}: the sform and the qform in its header place the image differently (by up to {apart:.3g} mm); "
                f"the {used} was used, as in 3D Slicer.",
            )
    elif square and not np.allclose(lengths, spacing, rtol=_SPACING):
        # Only here: with a qform the difference has been said.
        warn(
            warnings,
            f"{path}: its header gives two spacings, {_text(spacing)} mm (pixdim) and {_text(lengths)} mm (sform); "
            "the first was used, as in 3D Slicer.",
        )


def nifti_not_finite(path: Path) -> np.ndarray:
    """Where a NIfTI file holds NaN or infinity, as flat indices (i fastest) over all its volumes.

    ITK's reader makes zeros of them.
    """
    header = nifti_header(_start(path))
    kind = header and header.single_file and _FLOATS.get(header.datatype)
    if not kind:
        return np.empty(0, np.int64)
    kind = np.dtype(header.end + kind)
    found, done, rest, skip = [], 0, b"", header.offset
    with path.open("rb") as file:
        for part in _decompressed(file):
            skipped = min(skip, len(part))
            skip -= skipped
            part = rest + part[skipped:]
            whole = len(part) // kind.itemsize
            found.append(done + np.flatnonzero(~np.isfinite(np.frombuffer(part, kind, whole))))
            done, rest = done + whole, part[whole * kind.itemsize :]
    places = np.concatenate(found)
    return places[places < math.prod(header.dim[1 : header.dim[0] + 1])]


def squared_nifti(path: Path, target: Path, warnings: list[str] | None) -> Grid:
    """Write a NIfTI file, uncompressed, whose sform has the perpendicular axes nearest to those of ``path``.

    ITK refuses to read a sform that is sheared by as little as 0.05 degrees.

    Returns:
        The grid of ``path``, sheared as it is.

    Raises:
        UserError: the axes are sheared too much, see :func:`segmamba.grid.squared`.
    """
    header = nifti_header(_start(path))
    if header is None or not header.single_file:
        raise UserError(f"{path}: its axes are not perpendicular: convert it to one .nii file with a rectangular grid")
    stored = Grid.from_ijk_to_lps(header.size, header.sform)
    fixed = squared(stored, str(path), warnings)
    with path.open("rb") as file, target.open("wb") as out:
        parts = _decompressed(file)
        head = bytearray(next(parts))
        for (place, form), values in (
            (_CODES, (0, 1)),
            (_SROW, fixed.ijk_to_ras[:3].ravel()),
            (_PIXDIM, (header.pixdim[0], *fixed.spacing, *header.pixdim[4:])),
        ):
            struct.pack_into(header.end + form, head, place, *values)
        out.write(head)
        for part in parts:
            out.write(part)
    return stored


def _check_nrrd(path: Path, start: bytes, warnings: list[str] | None) -> None:
    found = re.search(rb"\r?\n\r?\n", start)
    text = start[: found.start()] if found else start
    fields = {}
    for line in text.decode("utf-8", "replace").splitlines()[1:]:
        name, colon, value = line.partition(": ")
        if colon and not line.startswith("#") and ":=" not in name:
            fields[name.strip().lower().replace(" ", "")] = value.strip()
    try:
        sizes = [int(s) for s in fields.get("sizes", "").split()]
    except ValueError:
        return  # ITK's reader says what is wrong
    if sizes and min(sizes) < 1:
        raise UserError(f"{path}: the image has no voxels (sizes {fields['sizes']} in its header)")
    spatial = fields.get("spacedirections")
    if spatial is not None:
        vectors = [[float(x) for x in v.split(",")] for v in re.findall(r"\(([^)]*)\)", spatial) if _numbers(v)]
        in_space = all(len(v) == 3 for v in vectors)  # else a volume of other dimension, which is refused later
        if len(sizes) >= 3 and in_space and (len(vectors) != 3 or singular(np.array(vectors).T)):
            raise UserError(f"{path}: the space directions {spatial} in its header do not span space, correct them")
    elif len(sizes) == 3:
        spacings = fields.get("spacings", "1 1 1").split()
        if not all(_numbers(s) and math.isfinite(float(s)) and float(s) > 0 for s in spacings):
            raise UserError(f"{path}: the spacing in its header is {fields['spacings']} mm, correct it: {_POSITIVE}")
        warn(
            warnings,
            f"{path}: its header does not say how the image lies in the body (no space directions); "
            "its axes were taken to run to the left, to the back and up.",
        )
    detached = fields.get("datafile")
    if detached is None and not found:
        return
    data, offset = (path, found.end()) if detached is None else (path.parent / detached, 0)
    encoding = fields.get("encoding", "").lower()
    if not data.is_file() or "lineskip" in fields or "byteskip" in fields:
        return
    # The bytes of a voxel by the last word of the type: "unsigned short", "uint16_t", "float".
    kind = (fields.get("type", "").lower().split() or [""])[-1].removeprefix("u").removesuffix("_t")
    expected = math.prod(sizes) * _NRRD_BYTES.get(kind, 1)
    if encoding in ("gzip", "gz"):
        _check_stream(path, data, offset, expected)
    elif encoding in ("bzip2", "bz2"):
        with data.open("rb") as file:
            file.seek(offset)
            decompressor = bz2.BZ2Decompressor()
            try:
                while not decompressor.eof and (part := file.read(_CHUNK)):
                    decompressor.decompress(part)
            except OSError:
                pass
            if not decompressor.eof:
                raise UserError(f"{path}: {_DAMAGED}")


_NRRD_BYTES = {"short": 2, "int16": 2, "int": 4, "int32": 4, "float": 4, "double": 8, "longlong": 8, "int64": 8}
_META_BYTES = {"CHAR": 1, "SHORT": 2, "INT": 4, "LONG": 4, "LONG_LONG": 8, "FLOAT": 4, "DOUBLE": 8}


def _check_meta(path: Path, start: bytes) -> None:
    fields: dict[str, str] = {}
    offset = 0
    for line in start.splitlines(keepends=True):
        offset += len(line)
        name, equals, value = line.decode("utf-8", "replace").partition("=")
        if equals:
            fields[name.strip().lower()] = value.strip()
        if name.strip().lower() == "elementdatafile":
            break
    if "elementdatafile" not in fields or not _numbers(fields.get("dimsize", "")):
        return  # ITK's reader says what is wrong
    sizes = [int(float(s)) for s in fields["dimsize"].split()]
    if not sizes or min(sizes) < 1:
        raise UserError(f"{path}: the image has no voxels (DimSize {fields['dimsize']} in its header)")
    spacing = fields.get("elementspacing", fields.get("elementsize", "1"))
    if not _numbers(spacing) or not all(math.isfinite(float(s)) and float(s) > 0 for s in spacing.split()):
        raise UserError(f"{path}: the spacing in its header is {spacing} mm, correct it: {_POSITIVE}")
    matrix = fields.get("transformmatrix", fields.get("orientation", fields.get("rotation")))
    if matrix is not None and len(sizes) == 3:
        values = matrix.split()
        if not _numbers(matrix) or len(values) != 9 or singular(np.array(values, float).reshape(3, 3).T):
            raise UserError(f"{path}: the TransformMatrix {matrix} in its header is singular, correct it")
    place = fields["elementdatafile"]
    data, begin = (path, offset) if place.upper() == "LOCAL" else (path.parent / place, 0)
    if not data.is_file() or "headersize" in fields:
        return
    kind = fields.get("elementtype", "").upper().removeprefix("MET_").removesuffix("_ARRAY").replace("UCHAR", "CHAR")
    kind = kind.replace("USHORT", "SHORT").replace("UINT", "INT").replace("ULONG", "LONG")
    channels = int(float(fields.get("elementnumberofchannels", "1")))
    expected = math.prod(sizes) * channels * _META_BYTES.get(kind, 1)
    if fields.get("compresseddata", "").lower() == "true":
        _check_stream(path, data, begin, expected)
    elif data.stat().st_size - begin < expected:
        found = data.stat().st_size - begin
        raise UserError(f"{path}: the file is cut short ({found} of {expected} bytes of voxels): get it again")


def several(volumes: int, wanted: int = 1) -> str:
    """What is said of an image that holds too many volumes."""
    if wanted > 1:
        return f"the image holds {volumes} volumes, {wanted} are needed: save those alone as a file of their own"
    return f"the image holds {volumes} volumes, one 3D volume is needed: save the one to segment as a file of its own"


def _start(path: Path) -> bytes:
    """The first bytes of a file, of its decompressed content where it is gzip."""
    try:
        with path.open("rb") as file:
            return next(_decompressed(file), b"")
    except zlib.error:
        raise UserError(f"{path}: {_DAMAGED}") from None


def _decompressed(file: BinaryIO) -> Iterator[bytes]:
    """Chunks of a file's content; a gzip stream's checksums are verified, an early end raises zlib.error.

    The first chunk is long enough for a header, where the file is.
    """
    part = file.read(_HEADER)
    if part[:2] != _GZIP:
        while part:
            yield part
            part = file.read(_HEADER)
        return
    file.seek(0)
    stream = None
    while True:
        part = (stream.unused_data if stream and stream.eof else b"") or file.read(_CHUNK)
        if stream is None or stream.eof:
            # One file may hold several streams, one after the other; what follows that is no stream is padding.
            if part[:2] != _GZIP:
                return
            stream = zlib.decompressobj(31)  # 31: gzip, whose checksum zlib compares at the end
        elif not part:
            raise zlib.error("the stream ends early")
        yield stream.decompress(part)


def _check_length(path: Path, expected: int) -> None:
    """Refuse a file whose content, decompressed, is damaged or shorter than ``expected`` bytes."""
    with path.open("rb") as file:
        if file.read(2) != _GZIP:
            length = path.stat().st_size
        else:
            file.seek(0)
            try:
                length = sum(map(len, _decompressed(file)))
            except zlib.error:
                raise UserError(f"{path}: {_DAMAGED}") from None
    if length < expected:
        raise UserError(f"{path}: the file is cut short ({length} of {expected} bytes): get it again")


def _check_stream(path: Path, data: Path, offset: int, expected: int) -> None:
    """Refuse an image whose zlib or gzip data, from ``offset`` of the file ``data`` on, are damaged or too short."""
    stream = zlib.decompressobj(47)  # either kind, told apart by its first bytes
    length = 0
    with data.open("rb") as file:
        file.seek(offset)
        try:
            while not stream.eof and (part := file.read(_CHUNK)):
                length += len(stream.decompress(part))
        except zlib.error:
            raise UserError(f"{path}: {_DAMAGED}") from None
    if not stream.eof or length < expected:
        raise UserError(f"{path}: {_DAMAGED}")


def _numbers(text: str) -> bool:
    """Whether a text is numbers, parted by blanks or commas."""
    try:
        return bool([float(word) for word in text.replace(",", " ").split()])
    except ValueError:
        return False


def _text(values) -> str:
    return " x ".join(f"{v:g}" for v in values)
