"""Small data sets of every layout, for tests: noise with a bright box of label 1 and a brighter one of 2 within."""

import json
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from segmamba.bundle import Label
from segmamba.grid import Grid
from segmamba.images import from_array, write_segmentation

SIZE = (18, 20, 16)
GRID = Grid(SIZE, (1.0, 1.0, 1.5), (-5.0, 7.0, 3.0), (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0))


def box(n: int = 0) -> np.ndarray:
    """Values 0, 1 and 2, (k, j, i)."""
    label = np.zeros(SIZE[::-1], np.uint8)
    label[3:12, 4 : 14 + n % 5, 3:13] = 1
    label[5:9, 6:11, 5:10] = 2
    return label


def picture(n: int = 0, channel: int = 0, label: np.ndarray | None = None) -> sitk.Image:
    """What shows the box."""
    random = np.random.default_rng([n, channel])
    values = random.normal(100, 10, SIZE[::-1]) + (60 + 20 * channel) * (box(n) if label is None else label)
    values *= 1.5**n  # no two cases have one range of intensities
    return from_array(values.astype(np.float32), GRID)


def save(image: sitk.Image, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(path))
    return path


def write_raw(folder: Path, count: int = 3, channels: int = 1) -> Path:
    for n in range(count):
        for c in range(channels):
            save(picture(n, c), folder / "imagesTr" / f"case{n}_{c:04d}.nii.gz")
        save(from_array(box(n), GRID), folder / "labelsTr" / f"case{n}.nii.gz")
    about = {
        "channel_names": {str(c): f"T{c + 1}" for c in range(channels)},
        "labels": {"background": 0, "outer": 1, "inner": 2},
        "file_ending": ".nii.gz",
    }
    (folder / "dataset.json").write_text(json.dumps(about))
    return folder


def write_brats(folder: Path, year: int = 2023, count: int = 3) -> Path:
    new = year >= 2023
    for n in range(count):
        name = f"BraTS-GLI-{n // 2:05d}-{n % 2:03d}" if new else f"BraTS2021_{n:05d}"
        joint, kinds = ("-", ("t1c", "t1n", "t2f", "t2w")) if new else ("_", ("flair", "t1", "t1ce", "t2"))
        for c, kind in enumerate(kinds):
            save(picture(n, c), folder / name / f"{name}{joint}{kind}.nii.gz")
        label = box(n)
        label[6:8, 7:9, 6:8] = 3 if new else 4
        save(from_array(label, GRID), folder / name / f"{name}{joint}seg.nii.gz")
    return folder


def write_slicer(folder: Path, count: int = 3, overlapping: bool = False, flat: bool = True) -> Path:
    """Segments ``organ`` and ``lesion``, which lies within the organ or is cut out of it."""
    folder.mkdir(parents=True, exist_ok=True)
    for n in range(count):
        name, place = f"scan{n}", folder if flat else folder / f"scan{n}"
        save(picture(n), place / (f"{name}.nrrd" if flat else "volume.nrrd"))
        bits = np.where(box(n) > 0, 1, 0).astype(np.uint8) | np.where(box(n) > 1, 2, 0).astype(np.uint8)
        segments = [Label(1, "organ", (200, 80, 60)), Label(2, "lesion", (60, 200, 80))]
        target = place / (f"{name}.seg.nrrd" if flat else "Segmentation.seg.nrrd")
        write_segmentation(from_array(box(n), GRID), target, segments, bits if overlapping else None)
    return folder


def write_list(folder: Path, kind: str = "csv", count: int = 4) -> Path:
    """Two channels, labels 1 and 2, two folds, and a subject every two cases."""
    rows = []
    for n in range(count):
        for c in range(2):
            save(picture(n, c), folder / "volumes" / f"p{n}_{c}.nii.gz")
        save(from_array(box(n), GRID), folder / "masks" / f"p{n}.nii.gz")
        files = [f"volumes/p{n}_{c}.nii.gz" for c in range(2)]
        rows.append((f"p{n}", f"s{n // 2}", n // 2, files, f"masks/p{n}.nii.gz"))
    labels = {"background": 0, "outer": 1, "inner": 2}
    if kind == "csv":
        lines = ["case,subject,fold,image:T1,image:FLAIR,label,site"]
        lines += [f"{name},{subject},{fold},{','.join(files)},{mask},A" for name, subject, fold, files, mask in rows]
        (folder / "list.labels.json").write_text(json.dumps(labels))
        (folder / "list.csv").write_text("\n".join(lines) + "\n")
        return folder / "list.csv"
    cases = [
        {"case": name, "subject": subject, "fold": fold, "image": files, "label": mask}
        for name, subject, fold, files, mask in rows
    ]
    (folder / "list.json").write_text(json.dumps({"channels": ["T1", "FLAIR"], "labels": labels, "cases": cases}))
    return folder / "list.json"
