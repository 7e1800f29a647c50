"""DICOM folders: finding the series, checking that its slices make one volume, and stacking them.

ITK stacks whatever it is given: it spreads uneven slices evenly, closes the gap where one is missing and straightens a
tilted gantry, all without a word.  The slices' own positions are looked at here instead.
"""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from segmamba.errors import UserError
from segmamba.grid import Grid, warn

# Shares of the distance between slices by which a slice may lie off its even place.
EVEN = 0.01
UNEVEN = 0.1
# A gap of this many distances is a slice that is missing rather than one that lies unevenly.
MISSING = 1.5
# Of a pixel: how far slices may drift sideways over the whole stack before it counts as a tilted gantry.
DRIFT = 0.1
MAX_TILT_DEGREES = 45.0
# How far down images are looked for where a folder has none: a disc has them at DICOM/PATIENT/STUDY/SERIES.
DEPTH = 4
MOST_FILES = 20_000

_TAGS = {
    "sop": "0008|0018",
    "modality": "0008|0060",
    "description": "0008|103e",
    "series": "0020|000e",
    "position": "0020|0032",
    "orientation": "0020|0037",
    "thickness": "0018|0050",
    "between": "0018|0088",
}


@dataclass
class _File:
    """One DICOM image file, from its header alone."""

    path: Path
    tags: dict[str, str]
    size: tuple[int, ...]
    spacing: tuple[float, ...]
    components: int

    @property
    def frames(self) -> int:
        return self.size[2] if len(self.size) > 2 else 1

    def numbers(self, tag: str, count: int) -> np.ndarray | None:
        """The numbers of a tag, None where they are missing or no numbers."""
        try:
            values = np.array(self.tags[tag].split("\\"), float)
        except ValueError:
            return None
        return values if values.size == count and np.all(np.isfinite(values)) else None


def read_series(folder: Path, series: str | None = None, warnings: list[str] | None = None) -> sitk.Image:
    """Read one DICOM series of a folder as a volume, with rescale slope and intercept applied.

    Sub-folders, four levels down, are searched where the folder itself holds no DICOM image.  Slices may lie off
    their even places by up to 10 % of their distance (said from 1 % on).  A tilted gantry is corrected: slices are
    shifted in their planes, linearly interpolated, onto a rectangular grid wide enough for all.

    Args:
        folder: where the files are, in any order and under any names.
        series: SeriesInstanceUID; needed where the folder holds several.
        warnings: what the user should know is appended here.

    Raises:
        UserError: no DICOM image, too many files or one that cannot be opened, several series and none chosen, or
            slices that do not make one volume.
    """
    found = _series_in(folder, warnings)
    if not found:
        raise UserError(f"{folder}: the folder holds no DICOM images: give an image file or a DICOM folder")
    listed = "; ".join(_described(uid, files) for uid, files in found.items())
    if series is None and len(found) > 1:
        raise UserError(
            f"{folder}: the folder holds {len(found)} DICOM series, choose one with --series UID (series= in Python): "
            f"{listed}"
        )
    if series is not None and series not in found:
        raise UserError(f"{folder}: there is no series {series}; the folder holds {listed}")
    files = _unique(found[series or next(iter(found))], folder, warnings)
    if any(f.components > 1 for f in files):
        raise UserError(f"{folder}: the series is a colour image, a volume with one value a voxel is needed")
    if any(f.frames > 1 for f in files):
        if len(files) > 1:
            names = ", ".join(f.path.name for f in files[:3])
            raise UserError(f"{folder}: the series is {len(files)} multi-frame files ({names} ...): give one of them")
        warn(warnings, unchecked_frames(files[0].path))
        return _read(files[0].path)
    return _stack(folder, files, warnings)


def unchecked_frames(path: Path) -> str:
    """What is said of a file whose frames ITK stacks by itself."""
    return f"{path}: the file holds all slices as frames; that they lie evenly, with none missing, was not checked."


def _series_in(folder: Path, warnings: list[str] | None) -> dict[str, list[_File]]:
    """The image files under a folder by series, the series with most slices first."""
    found: dict[str, list[_File]] = defaultdict(list)
    damaged: list[Path] = []
    for depth in (0, DEPTH):
        for path in _files_in(folder, depth, warnings):
            file = _header(path)
            if file is not None:
                found[file.tags["series"]].append(file)
            elif _looks_like_dicom(path):
                damaged.append(path)
        if found:
            break
        if not depth:
            damaged.clear()  # they come again
    if damaged:
        warn(
            warnings,
            f"{folder}: {len(damaged)} DICOM file{'s' if len(damaged) > 1 else ''} without a readable image "
            f"left out ({', '.join(p.name for p in damaged[:3])}{' ...' if len(damaged) > 3 else ''}).",
        )
    return dict(sorted(found.items(), key=lambda item: -sum(f.frames for f in item[1])))


def _files_in(folder: Path, depth: int, warnings: list[str] | None) -> list[Path]:
    """The files of a folder and of its sub-folders on the same disk, ``depth`` levels down, sorted; none is opened."""
    files: list[Path] = []
    device = _stat(folder).st_dev
    level = [folder]
    for below in range(depth + 1):
        deeper: list[Path] = []
        for place in level:
            try:
                entries = sorted(place.iterdir())
            except OSError as error:
                if place == folder:
                    raise UserError(
                        f"{folder}: the folder cannot be opened ({error.strerror}): check its permissions"
                    ) from error
                warn(warnings, f"{place}: the folder cannot be opened ({error.strerror}) and was left out.")
                continue
            for path in entries:
                # Links to folders may lead anywhere, and in circles; what is mounted (/proc, /dev) is no patient's.
                if os.path.isdir(path):
                    if below < depth and not path.is_symlink() and _stat(path).st_dev == device:
                        deeper.append(path)
                elif os.path.isfile(path) and path.name.upper() != "DICOMDIR":
                    files.append(path)
            if depth and len(files) > MOST_FILES:
                raise UserError(
                    f"{folder}: the folder holds no DICOM images itself, and its sub-folders more than {MOST_FILES} "
                    "files: give the folder of the series"
                )
        level = deeper
    return sorted(files)


def _stat(path: Path) -> os.stat_result:
    try:
        return path.stat()
    except OSError as error:
        raise UserError(f"{path}: the folder cannot be opened ({error.strerror}): check its permissions") from error


def _header(path: Path) -> _File | None:
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
        tags = {name: _tag(reader, tag) for name, tag in _TAGS.items()}
    except RuntimeError:
        return None
    return _File(path, tags, reader.GetSize(), reader.GetSpacing(), reader.GetNumberOfComponents())


def _tag(reader: sitk.ImageFileReader, tag: str) -> str:
    if not reader.HasMetaDataKey(tag):
        return ""
    try:
        return reader.GetMetaData(tag).strip(" \0").encode("utf-8", "replace").decode("utf-8")
    except UnicodeError:  # a description in some other alphabet
        return "?"


def _looks_like_dicom(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError as error:
        # It may be a slice: without it the volume would have a gap.
        raise UserError(f"{path}: the file cannot be opened ({error.strerror}): check its permissions") from error


def _described(uid: str, files: list[_File]) -> str:
    count = sum(f.frames for f in files)
    tags = files[0].tags
    what = " ".join(t for t in (tags["modality"], f"'{tags['description']}'" if tags["description"] else "") if t)
    return f"{uid} ({what + ', ' if what else ''}{count} slice{'s' if count > 1 else ''})"


def _unique(files: list[_File], folder: Path, warnings: list[str] | None) -> list[_File]:
    """The files without second copies of the same image."""
    kept = {f.tags["sop"] or str(f.path): f for f in reversed(files)}
    if len(kept) < len(files):
        warn(
            warnings, f"{folder}: {len(files) - len(kept)} of the files are second copies of others and were left out."
        )
    return list(kept.values())[::-1]


def _stack(folder: Path, files: list[_File], warnings: list[str] | None) -> sitk.Image:
    """The volume of a series of single slices."""
    orientations = [f.numbers("orientation", 6) for f in files]
    positions = [f.numbers("position", 3) for f in files]
    for file, orientation, position in zip(files, orientations, positions, strict=True):
        if orientation is None or position is None:
            raise UserError(
                f"{file.path}: the slice does not say where it lies (ImagePositionPatient or ImageOrientationPatient)"
            )
    first = files[0]
    for file, orientation in zip(files, orientations, strict=True):
        if file.size[:2] != first.size[:2] or not np.allclose(file.spacing[:2], first.spacing[:2], rtol=1e-4):
            raise UserError(
                f"{folder}: {file.path.name} and {first.path.name} differ in size or spacing: give one stack of slices"
            )
        if not np.allclose(orientation, orientations[0], atol=1e-3):
            raise UserError(
                f"{folder}: {file.path.name} and {first.path.name} lie in different planes (a scout?): give one stack"
            )
    row, column = orientations[0][:3], orientations[0][3:]
    normal = np.cross(row, column)
    if np.linalg.norm(normal) < 0.5:
        raise UserError(f"{first.path}: ImageOrientationPatient {first.tags['orientation']} is no plane")
    row, column, normal = (v / np.linalg.norm(v) for v in (row, column, normal))
    # Along the normal, so that the axes are right-handed whatever order the scanner took the slices in.
    order = np.argsort([p @ normal for p in positions], kind="stable")
    files = [files[n] for n in order]
    places = np.array([positions[n] for n in order])
    step = _step(folder, files, places, normal, warnings)
    values = np.stack([sitk.GetArrayFromImage(_read(f.path)).reshape(f.size[1::-1]) for f in files])
    grid = Grid(
        (*first.size[:2], len(files)),
        (*first.spacing[:2], float(step @ normal)),
        tuple(places[0].tolist()),
        tuple(np.column_stack([row, column, normal]).ravel().tolist()),
    )
    # Sideways drift from slice to slice, in pixels.
    drift = np.array([step @ row, step @ column]) / grid.spacing[:2]
    if np.abs(drift).max() * (len(files) - 1) <= DRIFT:
        return grid.place(sitk.GetImageFromArray(values))
    tilt = float(np.degrees(np.arccos(np.clip(step @ normal / np.linalg.norm(step), -1, 1))))
    if tilt > MAX_TILT_DEGREES:
        raise UserError(
            f"{folder}: the slices are stacked at {tilt:.1f} degrees to their planes, which is no usual scan"
        )
    warn(
        warnings,
        f"{folder}: the gantry was tilted by {tilt:.1f} degrees; the slices were shifted in their planes "
        "(linear interpolation) onto a rectangular grid, on which the result lies.",
    )
    return _straightened(values, grid, drift)


def _step(
    folder: Path, files: list[_File], places: np.ndarray, normal: np.ndarray, warnings: list[str] | None
) -> np.ndarray:
    """The vector from a slice to the next, in mm, after checking that they lie evenly and on one line."""
    if len(files) == 1:
        texts = (files[0].tags["between"], files[0].tags["thickness"])
        thickness = next((float(t) for t in texts if t.replace(".", "", 1).isdigit() and float(t) > 0), None)
        if thickness is None:
            raise UserError(f"{files[0].path}: the series is one slice of unknown thickness, a 3D volume is needed")
        warn(warnings, f"{folder}: the series is a single slice.")
        return normal * thickness
    heights = (places - places[0]) @ normal
    gaps = np.diff(heights)
    usual = float(np.median(gaps))
    same = int(np.sum(gaps <= EVEN * max(usual, 0.01)))
    if same:
        n = int(np.argmin(gaps))
        raise UserError(
            f"{folder}: {same} slice(s) lie where another one lies ({files[n].path.name} and "
            f"{files[n + 1].path.name}): the series holds several volumes (time points, echoes, phases), export one"
        )
    for n, (one, other) in enumerate(pairwise(files)):
        if gaps[n] > MISSING * usual:
            raise UserError(
                f"{folder}: about {max(1, round(gaps[n] / usual) - 1)} slice(s) missing between {one.path.name} and "
                f"{other.path.name} ({gaps[n]:.4g} mm apart, the others {usual:.4g} mm): export the series again"
            )
    step = (places[-1] - places[0]) / (len(files) - 1)
    off = places - (places[0] + np.arange(len(files))[:, None] * step)
    along = float(np.abs(off @ normal).max()) / float(step @ normal)
    sideways = float(np.linalg.norm(off - np.outer(off @ normal, normal), axis=1).max()) / min(files[0].spacing[:2])
    if along > UNEVEN or sideways > 0.5:
        raise UserError(
            f"{folder}: the slices do not lie evenly ({gaps.min():.4g} to {gaps.max():.4g} mm apart, {sideways:.2g} "
            "pixels sideways): export a series with even slices"
        )
    if along > EVEN:
        warn(
            warnings,
            f"{folder}: the slices are {gaps.min():.4g} to {gaps.max():.4g} mm apart; they were taken as evenly "
            f"{float(step @ normal):.4g} mm apart.",
        )
    return step


def _straightened(values: np.ndarray, grid: Grid, drift: np.ndarray) -> sitk.Image:
    """Shift slice k by ``k * drift`` pixels (i, j) in its plane, on a grid that holds all of it."""
    last = (len(values) - 1) * drift
    low = np.floor(np.minimum(0, last)).astype(int)
    high = np.ceil(np.maximum(0, last)).astype(int)
    stack = sitk.GetImageFromArray(values.astype(np.float32))  # in voxels: spacing 1, origin 0
    back = sitk.AffineTransform(3)
    back.SetMatrix([1, 0, -drift[0], 0, 1, -drift[1], 0, 0, 1])
    size = [*(int(n) for n in grid.size[:2] + high - low), len(values)]
    shifted = sitk.Resample(
        stack, size, back, sitk.sitkLinear, [float(low[0]), float(low[1]), 0.0], [1.0] * 3, np.eye(3).ravel().tolist(),
        float(values.min()), sitk.sitkFloat32,
    )  # fmt: skip
    result = sitk.GetArrayFromImage(shifted)
    if values.dtype.kind in "iu":
        result = np.rint(result)
    origin = (grid.ijk_to_lps @ [*low, 0, 1])[:3]
    wide = Grid(tuple(size), grid.spacing, tuple(origin.tolist()), grid.direction)
    return wide.place(sitk.GetImageFromArray(result.astype(values.dtype)))


def _read(path: Path) -> sitk.Image:
    try:
        return sitk.ReadImage(str(path), imageIO="GDCMImageIO")
    except RuntimeError as error:
        raise UserError(f"{path}: the DICOM image cannot be read: export the series again") from error
