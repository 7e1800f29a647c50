"""Brain-tumour phantoms: four MR channels and a label map, drawn from a seed alone.

No patient's data go in: a brain with folds, ventricles and vessels, a glioma with core, rim and oedema, and the
scanner's contrast, shading and noise are all procedural.  Phantoms are for tests, demonstrations and measuring; a
model trained on them is not a model of patients.

Example:
    >>> phantom = draw(7, size=(20, 24, 20), spacing=(8.0, 8.0, 8.0))
    >>> phantom.channel_names
    ('T1', 'T1Gd', 'T2', 'FLAIR')
    >>> phantom.label.GetSize()
    (20, 24, 20)
"""

import json
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from segmamba.atomic import replacing
from segmamba.data import phantom_anatomy as anatomy
from segmamba.data.splits import deal
from segmamba.errors import UserError

logger = logging.getLogger(__name__)

CHANNELS = ("T1", "T1Gd", "T2", "FLAIR")
#: Label values as in BraTS.
CORE, OEDEMA, ENHANCING = 1, 2, 3
#: Regions as nnU-Net writes them; painted in the order of REGIONS_CLASS_ORDER.
REGIONS = {"background": 0, "WT": [1, 2, 3], "TC": [1, 3], "ET": [3]}
REGIONS_CLASS_ORDER = [2, 1, 3]
SIZE = (80, 96, 80)
SPACING = (2.0, 2.0, 2.0)

#: Mean intensity of each tissue in each channel, white matter on T1 being 100.
CONTRAST = {
    #            T1     T1Gd   T2     FLAIR
    "csf": (28.0, 29.0, 190.0, 26.0),
    "grey": (70.0, 74.0, 112.0, 100.0),
    "white": (100.0, 103.0, 84.0, 86.0),
    "core": (42.0, 45.0, 165.0, 92.0),
    "oedema": (74.0, 77.0, 150.0, 158.0),
    "enhancing": (72.0, 158.0, 128.0, 134.0),
    "vein": (60.0, 170.0, 70.0, 60.0),
    "spot": (82.0, 86.0, 138.0, 150.0),
}

_PARTS = ("head", "warp", "folds", "vessels", "wander", "place", "tumour", "spots", "contrast", "texture", "scanner")


@dataclass(frozen=True)
class Phantom:
    """One drawn case.

    Attributes:
        images: one int16 image a channel, 0 outside the brain and at least 1 inside.
        label: uint8 image on the same grid; 1 necrotic or non-enhancing core, 2 oedema, 3 enhancing tumour.
        channel_names: names of ``images``, in order.
    """

    images: list[sitk.Image]
    label: sitk.Image
    channel_names: tuple[str, ...] = CHANNELS


@dataclass(frozen=True)
class _Tumour:
    """Membership of each voxel inside the brain in core, rim and oedema, each 0 to 1."""

    core: np.ndarray
    enhancing: np.ndarray
    oedema: np.ndarray


def case_name(seed: int) -> str:
    """Name of the case drawn from a seed: ``phantom_00017`` for 17."""
    return f"phantom_{seed:05d}"


def draw(
    seed: int,
    size: Sequence[int] = SIZE,
    spacing: Sequence[float] = SPACING,
    direction: Sequence[float] | None = None,
) -> Phantom:
    """Draw a phantom.

    The head is fixed in millimetres, so another spacing samples the same head, and a smaller field of view cuts it.

    Args:
        seed: not negative; all else follows from it.
        size: voxels along (i, j, k).
        spacing: mm along (i, j, k).
        direction: nine direction cosines, row by row, as ITK has them (LPS); the identity by default.  A flipped or
            permuted one stores the same head in another order of voxels; an oblique one tilts head and grid together.

    Raises:
        UserError: a negative seed, a size below 8, a spacing not above 0 or a direction that is no rotation.
    """
    size, spacing = tuple(int(n) for n in size), tuple(float(s) for s in spacing)
    matrix = _check(seed, size, spacing, direction)
    order, flip = _head_axes(matrix)
    streams = np.random.SeedSequence(seed).spawn(len(_PARTS))
    rng = {part: np.random.Generator(np.random.PCG64(s)) for part, s in zip(_PARTS, streams, strict=True)}

    # Head axes (x, y, z): how many voxels of which spacing lie along each.
    head_size = [size[order.index(a)] for a in range(3)]
    head_spacing = [spacing[order.index(a)] for a in range(3)]
    axes = tuple((np.arange(head_size[a]) - (head_size[a] - 1) / 2) * head_spacing[a] for a in (2, 1, 0))
    volumes, label = _draw_head(rng, axes, float(np.mean(spacing)))

    def image(head_array: np.ndarray) -> sitk.Image:
        # (z, y, x) of the head to (k, j, i) of the grid.
        grid = head_array.transpose([2 - order[g] for g in (2, 1, 0)])
        grid = grid[tuple(slice(None, None, -1 if flip[g] else 1) for g in (2, 1, 0))]
        result = sitk.GetImageFromArray(np.ascontiguousarray(grid))
        result.SetSpacing(spacing)
        result.SetDirection(matrix.ravel().tolist())
        half = (np.array(size) - 1) / 2 * np.array(spacing)
        result.SetOrigin((np.array([1.5, -12.0, 18.0]) - matrix @ half).tolist())
        return result

    return Phantom([image(v) for v in volumes], image(label))


def _check(seed: int, size: tuple, spacing: tuple, direction: Sequence[float] | None) -> np.ndarray:
    """Refuse what cannot be drawn; returns the direction as a 3 x 3 matrix."""
    if seed < 0:
        raise UserError(f"the seed of a phantom is {seed}; give 0 or more")
    if len(size) != 3 or min(size) < 8:
        raise UserError(f"the size of a phantom is {size}; give three numbers of voxels, each 8 or more")
    if len(spacing) != 3 or not min(spacing) > 0:
        raise UserError(f"the spacing of a phantom is {spacing}; give three lengths in mm, each above 0")
    matrix = np.eye(3) if direction is None else np.asarray(direction, dtype=np.float64)
    if matrix.size != 9 or not np.allclose(matrix.reshape(3, 3) @ matrix.reshape(3, 3).T, np.eye(3), atol=1e-4):
        raise UserError(f"the direction of a phantom is {direction}; give nine cosines of orthogonal unit vectors")
    return matrix.reshape(3, 3)


def _head_axes(matrix: np.ndarray) -> tuple[list[int], list[bool]]:
    """For each grid axis, the head axis it follows most closely, and whether it runs against it."""
    order, flip, left = [0, 0, 0], [False] * 3, np.abs(matrix)
    for _ in range(3):
        head, grid = np.unravel_index(np.argmax(left), (3, 3))
        order[grid], flip[grid] = int(head), bool(matrix[head, grid] < 0)
        left = left.copy()
        left[head, :] = -1
        left[:, grid] = -1
    return order, flip


def _draw_head(rng: dict, axes: tuple, voxel: float) -> tuple[list[np.ndarray], np.ndarray]:
    """Channels (int16) and label (uint8) on a grid along head axes; all arrays (z, y, x)."""
    head = anatomy.Head.random(rng["head"])
    gz, gy, gx = np.meshgrid(*(a.astype(np.float32) for a in axes), indexing="ij", sparse=True)

    # Every head is bent a little differently; left and right too.
    bend = [2.2 * anatomy.lattice_noise(rng["warp"], axes, 45.0) for _ in range(3)]
    x, y, z = ((g - o) / s + b for g, o, s, b in zip((gx, gy, gz), (0, 0, 2.0), head.stretch, bend, strict=True))
    depths = anatomy.outline(x, y, z)
    hull = anatomy.union(anatomy.union(depths[0], depths[1], 8.0), depths[2], 8.0)
    inside = hull > -1.0
    if not inside.any():
        raise UserError("the field of view of the phantom holds no brain; give a larger size or spacing")
    x, y, z, hull = x[inside], y[inside], z[inside], hull[inside]
    depths = [d[inside] for d in depths]

    def noise(part: str, wavelength: float) -> np.ndarray:
        return anatomy.lattice_noise(rng[part], axes, wavelength)[inside]

    # Where the tumour is, and how it pushes what lies around it.
    grid = [np.broadcast_to(g, inside.shape)[inside] for g in (gx, gy, gz)]
    centre, radius = _place(rng["place"], (x, y, z), hull, grid, head, axes)
    away = [g - c for g, c in zip(grid, centre, strict=True)]
    distance = _uneven_distance(rng["tumour"], away, radius, noise)
    swell = rng["tumour"].uniform(0.05, 0.35) * np.exp(-0.5 * (np.sqrt(sum(a * a for a in away)) / (1.4 * radius)) ** 2)
    swell = swell * np.clip(hull / 15.0, 0.0, 1.0)
    x, y, z = x - away[0] * swell, y - away[1] * swell, z - away[2] * swell

    wander = np.stack([noise("wander", 30.0), noise("wander", 30.0)])
    folds = anatomy.FoldNoise(rng["folds"], head.fold)
    vessels = anatomy.FoldNoise(rng["vessels"], 24.0)
    tissue = anatomy.tissue(x, y, z, depths, head, folds, vessels, wander, voxel)
    tumour = _grow(rng["tumour"], distance, radius, away, hull, tissue, inside, axes, voxel, noise)

    channels = _paint(rng, tissue, tumour, inside, axes, voxel, grid, hull)
    label = np.zeros(inside.shape, dtype=np.uint8)
    label[inside] = _label(tumour)
    return channels, label


def _place(rng, template, hull, grid, head, axes) -> tuple[np.ndarray, float]:
    """Centre (x, y, z in mm) and mean radius (mm) of the tumour core: in a hemisphere, off ventricles and midline."""
    radius = float(np.exp(rng.uniform(np.log(8.5), np.log(20.0))))
    candidates = rng.uniform((-55, -70, -30), (55, 65, 60), (400, 3))
    room = [(a[0], a[-1]) for a in axes[::-1]]
    points = np.stack(grid, axis=1)
    for candidate in candidates:
        margin = [min(1.3 * radius, 0.3 * (high - low)) for low, high in room]
        if any(not low + m < c < high - m for c, m, (low, high) in zip(candidate, margin, room, strict=True)):
            continue
        nearest = int(np.argmin(((points - candidate) ** 2).sum(axis=1)))
        x, y, z = (float(t[nearest]) for t in template)
        cerebrum, cerebellum, stem = (float(d) for d in anatomy.outline(x, y, z))
        deep = min(cerebrum - max(0.75 * radius, 10.0), cerebrum - max(cerebellum, stem) - 8.0)
        chamber = float(anatomy.ventricles(x, y, z, head.ventricles))
        if deep > 0 and chamber < -0.6 * radius and abs(x) > 0.7 * radius + 4.0:
            return candidate, radius
    # A small field of view may hold no such place: then the deepest voxel there is.
    return np.array([g[int(np.argmax(hull))] for g in grid]), radius


def _uneven_distance(rng, away, radius, noise) -> np.ndarray:
    """Distance from the centre in mm, stretched along a random axis and roughened by noise."""
    axis = rng.standard_normal(3)
    axis /= np.linalg.norm(axis)
    stretch = rng.uniform(0.7, 1.05)
    along = sum(a * c for a, c in zip(away, axis, strict=True))
    distance = np.sqrt(np.clip(sum(a * a for a in away) + (stretch**2 - 1.0) * along**2, 0.0, None))
    # A smaller lobe beside the first; the softened minimum rounds the notch between the two.
    lobe = rng.standard_normal(3)
    lobe *= rng.uniform(0.3, 0.95) * radius / np.linalg.norm(lobe)
    beside = np.sqrt(sum((a - o) ** 2 for a, o in zip(away, lobe, strict=True))) / rng.uniform(0.45, 0.7)
    distance = -anatomy.union(-distance, -beside, 0.4 * radius)
    rough = 0.14 * radius * noise("tumour", 0.9 * radius) + 0.06 * radius * noise("tumour", 0.45 * radius)
    # Noise fades towards the centre, so that the core stays in one piece.
    return distance + rough * np.clip(distance / (0.6 * radius), 0.0, 1.0)


def _grow(rng, distance, radius, away, hull, tissue, inside, axes, voxel, noise) -> _Tumour:
    """Core, enhancing rim and oedema."""
    barrier = np.clip(1.0 - 1.4 * tissue.csf, 0.0, 1.0)
    # The mass closes the sulci it grows into, but not the ventricles.
    whole = anatomy.soft(radius - distance, voxel) * (1.0 - tissue.ventricle) * anatomy.soft(hull - 1.0, voxel)

    # The rim: thickness wanders, and in some tumours it fails on one side.
    thickness = np.clip(rng.uniform(0.32, 0.52) * radius, 5.2, 8.5) * (1.0 + 0.22 * noise("tumour", 0.8 * radius))
    thickness = np.maximum(thickness, 4.2)
    direction = rng.standard_normal(3)
    direction /= np.linalg.norm(direction)
    partial = rng.uniform() < 0.35
    opening = rng.uniform(0.2, 0.7)
    if partial:
        facing = sum(a * d for a, d in zip(away, direction, strict=True)) / (distance + 1.0)
        thickness = thickness * np.clip((opening - facing) / 0.25 + 0.5, 0.0, 1.0)
    core = whole * anatomy.soft(radius - thickness - distance, voxel)

    # Oedema arrives from the core: fast through white matter, slowly through cortex, hardly through fluid.
    reach = rng.uniform(6.0, 18.0)
    full = np.zeros(inside.shape, dtype=np.float32)
    speed = 1.0 * tissue.white + 0.28 * tissue.grey
    speed = np.clip(speed * (1.0 + 0.35 * noise("tumour", 14.0)), 0.02, None) * barrier + 0.003
    full[inside] = np.where(whole > 0.5, 50.0, speed)
    arrival = _arrival(full, away, inside, axes, reach)[inside]
    spread = anatomy.soft((reach - arrival) * 0.7, voxel) * barrier * (1 - tissue.ventricle)
    oedema = np.clip(np.maximum(spread, whole) - whole, 0.0, 1.0)
    return _Tumour(core, whole - core, oedema)


def _arrival(speed: np.ndarray, away, inside: np.ndarray, axes: tuple, reach: float) -> np.ndarray:
    """Time, in mm through tissue of speed 1, that a front from the tumour's centre takes to reach each voxel."""
    image = sitk.GetImageFromArray(speed)
    image.SetSpacing([float(a[1] - a[0]) for a in axes[::-1]])
    nearest = int(np.argmin(sum(a * a for a in away)))
    seed = [int(c[nearest]) for c in np.nonzero(inside)][::-1]
    march = sitk.FastMarchingImageFilter()
    march.SetTrialPoints([seed])
    march.SetStoppingValue(1.5 * reach + 10.0)
    return np.minimum(sitk.GetArrayFromImage(march.Execute(image)), 1e4).astype(np.float32)


def _label(tumour: _Tumour) -> np.ndarray:
    """The label that holds most of each voxel."""
    healthy = 1.0 - tumour.core - tumour.oedema - tumour.enhancing
    shares = np.stack([healthy, tumour.core, tumour.oedema, tumour.enhancing])
    return np.argmax(shares, axis=0).astype(np.uint8)


def _spots(rng, grid, tissue) -> np.ndarray:
    """Small bright foci of white matter, as age and vessels leave them: on FLAIR like oedema, but no tumour."""
    white = np.flatnonzero(tissue.white > 0.9)
    result = np.zeros(tissue.white.shape, dtype=np.float32)
    share = rng.uniform(0.2, 0.8)
    for place, size in zip(rng.uniform(size=24), rng.uniform(1.2, 4.2, 24), strict=True):
        if len(white) and rng.uniform() < share:
            middle = white[int(place * len(white))]
            squared = sum((g - g[middle]) ** 2 for g in grid)
            result = np.maximum(result, np.exp(-0.5 * squared / size**2))
    return result * tissue.white


def _paint(rng, tissue, tumour, inside, axes, voxel, grid, hull) -> list[np.ndarray]:
    """Intensities of the four channels: contrast, texture, shading, blur and noise."""
    random, scanner = rng["contrast"], rng["scanner"]
    sick = tumour.core + tumour.enhancing + tumour.oedema
    well = 1.0 - sick
    spot = _spots(rng["spots"], grid, tissue) * well
    caps = np.clip(rng["spots"].uniform(0.0, 0.9) * tissue.caps, 0.0, 1.0) * well * (1 - spot)
    vein = tissue.vein * well
    rest = well - spot - caps
    shares = {
        "csf": tissue.csf * rest,
        "grey": tissue.grey * rest,
        "white": tissue.white * rest,
        "core": tumour.core,
        "oedema": tumour.oedema,
        "enhancing": tumour.enhancing,
        "spot": spot + caps,
    }
    fine = anatomy.lattice_noise(rng["texture"], axes, 5.0)[inside]
    coarse = anatomy.lattice_noise(rng["texture"], axes, 11.0)[inside]
    texture = {"core": 0.12 * coarse, "oedema": 0.07 * coarse, "enhancing": 0.08 * fine, "grey": 0.02 * fine,
               "white": 0.015 * coarse}  # fmt: skip

    channels = []
    for n, channel in enumerate(CHANNELS):
        signal = np.zeros(tissue.csf.shape, dtype=np.float32)
        for name, share in shares.items():
            # Oedema varies most: by how much water there is.
            spread = 0.14 if name == "oedema" else 0.06
            mean = CONTRAST[name][n] * (1.0 + random.uniform(-spread, 0.06))
            signal += share * mean * (1.0 + texture.get(name, 0.0))
        vein_mean = CONTRAST["vein"][n] * (1.0 + random.uniform(-0.12, 0.12))
        signal += vein * (vein_mean - signal) * (1.0 if channel == "T1Gd" else 0.5)
        signal = 100.0 * (np.clip(signal, 1.0, None) / 100.0) ** random.uniform(0.9, 1.12)
        bias = np.exp(scanner.uniform(0.05, 0.14) * anatomy.lattice_noise(scanner, axes, 90.0))
        volume = np.zeros(inside.shape, dtype=np.float32)
        volume[inside] = signal
        volume = _blur(volume * bias, axes, scanner.uniform(0.7, 1.2), thick=scanner.uniform() < 0.3)
        sigma = scanner.uniform(1.2, 3.8)
        real = volume + sigma * scanner.standard_normal(inside.shape, dtype=np.float32)
        imaginary = sigma * scanner.standard_normal(inside.shape, dtype=np.float32)
        scale = float(np.exp(random.uniform(np.log(1.5), np.log(20.0))))
        volume = np.clip(np.rint(scale * np.hypot(real, imaginary)), 1, 32767)
        channels.append(np.where(inside, volume, 0).astype(np.int16))
    return channels


def _blur(volume: np.ndarray, axes: tuple, sigma: float, thick: bool) -> np.ndarray:
    """Blur by the scanner's resolution: ``sigma`` mm, along z twice that where slices were thick."""
    image = sitk.GetImageFromArray(volume)
    image.SetSpacing([float(a[1] - a[0]) for a in axes[::-1]])
    # Not the recursive filter: it rings where sigma is below half a voxel.
    variance = [sigma**2, sigma**2, (2.0 * sigma if thick else sigma) ** 2]
    return sitk.GetArrayFromImage(sitk.DiscreteGaussian(image, variance))


def write_case(folder: str | Path, seed: int, **options) -> str:
    """Draw one case and write it in nnU-Net's raw layout; returns its name.

    Args:
        folder: data set folder; ``imagesTr`` and ``labelsTr`` are made where missing.
        seed: see ``draw``.
        **options: ``size``, ``spacing`` and ``direction`` of ``draw``.
    """
    folder, name, phantom = Path(folder), case_name(seed), draw(seed, **options)
    for part in ("imagesTr", "labelsTr"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for n, image in enumerate(phantom.images):
        _write_image(image, folder / "imagesTr" / f"{name}_{n:04d}.nii.gz")
    _write_image(phantom.label, folder / "labelsTr" / f"{name}.nii.gz")
    return name


def write_dataset(
    folder: str | Path,
    seeds: Iterable[int],
    folds: int = 5,
    progress: Callable[[int, int], None] | None = None,
    **options,
) -> Path:
    """Draw a data set of phantoms in nnU-Net's raw layout, with ``dataset.json`` and ``splits.json``.

    Args:
        folder: new or empty folder.
        seeds: one a case.
        folds: folds of ``splits.json``, dealt with seed 0.
        progress: called with (cases written, cases in all) after each case.
        **options: ``size``, ``spacing`` and ``direction`` of ``draw``.

    Returns:
        The folder.

    Raises:
        UserError: no seeds, a seed twice, or a folder that already holds files or cannot be written to.
    """
    folder, seeds = Path(folder), [int(s) for s in seeds]
    if not seeds:
        raise UserError("no seeds for the phantoms; give one or more")
    if len(set(seeds)) < len(seeds):
        raise UserError("a seed of the phantoms is given twice; give each once")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} already holds files; name a new or empty folder for the phantoms")
    try:
        return _write_dataset(folder, seeds, folds, progress, options)
    except OSError as error:
        raise UserError(f"{folder} cannot be written to ({error.strerror}); name another folder") from error


def _write_dataset(folder: Path, seeds: list[int], folds: int, progress: Callable | None, options: dict) -> Path:
    names = []
    for seed in seeds:
        names.append(write_case(folder, seed, **options))
        logger.debug("wrote %s", names[-1])
        if progress:
            progress(len(names), len(seeds))
    splits = [{"train": list(f.train), "val": list(f.val)} for f in deal(names, folds, seed=0)]
    _write_json(splits, folder / "splits.json")
    description = {
        "name": "Brain tumour phantom",
        "description": "Phantom: brains with a glioma drawn by a program (segmamba data phantom), no patient's data",
        "licence": "CC0-1.0: drawn by this program",
        "reference": "segmamba.data.phantom",
        "channel_names": {str(n): name for n, name in enumerate(CHANNELS)},
        "labels": REGIONS,
        "regions_class_order": REGIONS_CLASS_ORDER,
        "numTraining": len(names),
        "file_ending": ".nii.gz",
    }
    # Last, so that a folder with a description is a whole data set.
    _write_json(description, folder / "dataset.json")
    return folder


def _write_image(image: sitk.Image, path: Path) -> None:
    try:
        with replacing(path, ".nii.gz") as unfinished:
            sitk.WriteImage(image, str(unfinished), useCompression=True)
    except RuntimeError as error:
        raise UserError(f"{path} could not be written: is the disk full?") from error


def _write_json(value: object, path: Path) -> None:
    with replacing(path) as unfinished:
        unfinished.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
