"""The healthy brain of a phantom: outline, folds, ventricles and tissue fractions, drawn from seeded noise.

Head coordinates are millimetres with x towards the left, y towards the back and z upwards (the axes of LPS), the
origin near the middle of the brain.  Shapes are depth functions: positive inside, in millimetres, so that a soft
threshold of about a voxel gives partial volumes at any spacing.
"""

from dataclasses import dataclass

import numpy as np

#: The cube of head space that noise covers, in mm; nothing of the head lies outside it.
NOISE_EXTENT = 240.0


def lattice_noise(rng: np.random.Generator, axes: tuple[np.ndarray, ...], wavelength: float) -> np.ndarray:
    """Smooth noise of about unit variance on a grid: white noise on a lattice, blended by cubic B-splines.

    The lattice is fixed in head space, so the same generator gives the same field at any spacing.

    Args:
        rng: consumed by a fixed amount for a given wavelength.
        axes: coordinates in mm along z, y, x; each one-dimensional.
        wavelength: distance between lattice points, in mm.

    Returns:
        Array (len(z), len(y), len(x)), float32.
    """
    count = int(np.ceil(NOISE_EXTENT / wavelength)) + 4
    field = rng.standard_normal((count, count, count), dtype=np.float32)
    for coordinates in axes:
        # Contract the leading axis and append the new one: after three turns the order is z, y, x again.
        field = np.tensordot(field, _spline_weights(coordinates, wavelength, count), axes=(0, 1))
    return field


def _spline_weights(coordinates: np.ndarray, wavelength: float, count: int) -> np.ndarray:
    """Weights (len(coordinates), count) of the uniform cubic B-spline, each row of unit sum of squares."""
    position = (np.asarray(coordinates, dtype=np.float64) + NOISE_EXTENT / 2) / wavelength + 1.0
    position = np.clip(position, 1.0, count - 2.001)
    distance = np.abs(position[:, None] - np.arange(count)[None, :])
    near = 2.0 / 3.0 - distance**2 + distance**3 / 2.0
    far = np.clip(2.0 - distance, 0.0, None) ** 3 / 6.0
    weights = np.where(distance < 1.0, near, far)
    return (weights / np.sqrt((weights**2).sum(axis=1, keepdims=True))).astype(np.float32)


class FoldNoise:
    """Sheets with an even distance between them: where band-passed noise is zero.  They become the sulci."""

    def __init__(self, rng: np.random.Generator, wavelength: float, step: float = 2.0, count: int = 96):
        """Draw a periodic volume of ``count**3`` samples, ``step`` mm apart, of sheets half a wavelength apart."""
        frequency = np.fft.fftfreq(count, step)
        squared = (
            frequency[:, None, None] ** 2
            + frequency[None, :, None] ** 2
            + np.fft.rfftfreq(count, step)[None, None, :] ** 2
        )
        band = np.exp(-0.5 * ((np.sqrt(squared) * wavelength - 1.0) / 0.22) ** 2)
        field = np.fft.irfftn(np.fft.rfftn(rng.standard_normal((count,) * 3)) * band, s=(count,) * 3, axes=(0, 1, 2))
        slope = sum(((np.roll(field, -1, a) - np.roll(field, 1, a)) / (2 * step)) ** 2 for a in range(3))
        # Distance to the zero set to first order; the constant keeps it finite where the slope vanishes.
        self._distance = (field / np.sqrt(slope + 0.02 * slope.mean())).astype(np.float32)
        self._step = step
        self._count = count

    def __call__(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Signed distance in mm to the nearest sheet at points given by one-dimensional arrays."""
        n = self._count
        corner, fraction = [], []
        for coordinate in (z, y, x):
            position = coordinate / self._step
            floor = np.floor(position)
            corner.append(floor.astype(np.int32) % n)
            fraction.append((position - floor).astype(np.float32))
        flat = self._distance.ravel()
        result = np.zeros(x.shape, dtype=np.float32)
        for bits in range(8):
            index, weight = 0, 1.0
            for axis in range(3):
                bit = bits >> axis & 1
                index = index * n + (corner[axis] + bit) % n
                weight = weight * (fraction[axis] if bit else 1.0 - fraction[axis])
            result += weight * flat[index]
        return result


def soft(depth: np.ndarray, width: float) -> np.ndarray:
    """Fraction of a voxel that lies inside: 0 below ``-width / 2``, 1 above ``width / 2``."""
    return np.clip(0.5 + depth / width, 0.0, 1.0)


def ellipsoid(x, y, z, centre, radii):
    """Depth below the surface of an ellipsoid, in mm (first order: exact on the surface)."""
    u, v, w = (x - centre[0]) / radii[0], (y - centre[1]) / radii[1], (z - centre[2]) / radii[2]
    level = np.sqrt(u * u + v * v + w * w) + 1e-6
    slope = np.sqrt((u / radii[0]) ** 2 + (v / radii[1]) ** 2 + (w / radii[2]) ** 2) + 1e-6
    return level * (1.0 - level) / slope


def tube(x, y, z, points, radii):
    """Depth inside a tube along a polyline whose radius runs linearly from point to point, in mm."""
    result = None
    for a, b, r, s in zip(points[:-1], points[1:], radii[:-1], radii[1:], strict=True):
        edge = np.subtract(b, a)
        along = ((x - a[0]) * edge[0] + (y - a[1]) * edge[1] + (z - a[2]) * edge[2]) / float(edge @ edge)
        along = np.clip(along, 0.0, 1.0)
        distance = np.sqrt(
            (x - a[0] - along * edge[0]) ** 2 + (y - a[1] - along * edge[1]) ** 2 + (z - a[2] - along * edge[2]) ** 2
        )
        depth = r + along * (s - r) - distance
        result = depth if result is None else np.maximum(result, depth)
    return result


def union(a, b, blend: float):
    """The larger depth, with the crease between the two shapes filled over ``blend`` mm."""
    overlap = np.clip(1.0 - np.abs(a - b) / blend, 0.0, None)
    return np.maximum(a, b) + overlap * overlap * blend * 0.25


@dataclass(frozen=True)
class Head:
    """What differs between heads, in mm unless said otherwise."""

    stretch: tuple[float, float, float]  # x, y, z; factors
    ventricles: float  # factor on the ventricles' radii
    cortex: float  # thickness of the cortex
    sulcus: float  # half the width of a sulcus
    fold: float  # wavelength of the folds: two gyri
    fold_depth: float

    @classmethod
    def random(cls, rng: np.random.Generator) -> "Head":
        """Draw one head; width and openness of sulci and ventricles go together, as they do with age."""
        age = rng.uniform()
        return cls(
            stretch=tuple(rng.uniform(0.95, 1.04, 3)),
            ventricles=0.75 + 0.75 * age + rng.uniform(-0.1, 0.1),
            cortex=3.3 - 0.5 * age,
            sulcus=0.35 + 0.55 * age,
            fold=rng.uniform(15.5, 19.0),
            fold_depth=rng.uniform(13.0, 18.0),
        )


def outline(x, y, z):
    """Depths of cerebrum, cerebellum and brainstem, in mm; any shapes that broadcast."""
    side = np.abs(x)
    # Narrower in front than behind, and flat below: the frontal lobes rest on the roof of the orbits.
    wide = 1.0 + 0.10 * np.clip(y / 80.0, -1.0, 0.6)
    top = ellipsoid(x / wide, y, z, (0.0, 0.0, 6.0), (66.0, 82.0, 60.0))
    base = z + 24.0 + 0.0035 * y * y
    cerebrum = -union(-top, -base, 14.0)
    temporal = ellipsoid(side, y, z, (43.0, -6.0, -22.0), (22.0, 42.0, 21.0))
    cerebrum = union(cerebrum, temporal, 8.0)
    cerebellum = union(
        ellipsoid(side, y, z, (22.0, 42.0, -36.0), (31.0, 30.0, 21.0)),
        ellipsoid(x, y, z, (0.0, 43.0, -35.0), (15.0, 24.0, 22.0)),
        6.0,
    )
    stem = union(
        tube(x, y, z, [(0, 6, -8), (0, 12, -32), (0, 21, -64)], [13.0, 14.0, 8.5]),
        ellipsoid(x, y, z, (0.0, 8.0, -32.0), (16.0, 13.0, 14.0)),
        6.0,
    )
    return cerebrum, cerebellum, stem


def ventricles(x, y, z, size: float):
    """Depth inside the ventricles, in mm."""
    side = np.abs(x)
    lateral = tube(
        side, y, z,
        [(6, -33, 8), (8, -16, 17), (11, 8, 21), (20, 28, 13), (19, 46, 5)],
        [3.2 * size, 5.0 * size, 4.4 * size, 6.0 * size, 2.5 * size],
    )  # fmt: skip
    horn = tube(side, y, z, [(20, 28, 13), (30, 16, -12), (31, -6, -21)], [4.0 * size, 2.0 * size, 2.0 * size])
    third = np.minimum(ellipsoid(x, y, z, (0, 4, 0), (6.0, 15.0, 11.0)), 1.6 * size - side)
    fourth = ellipsoid(x, y, z, (0, 29, -38), (6.0, 5.0 * size, 9.0))
    return np.maximum(np.maximum(lateral, horn), np.maximum(third, fourth))


def deep_grey(x, y, z):
    """Depth inside thalamus, caudate nucleus and putamen, in mm."""
    side = np.abs(x)
    thalamus = ellipsoid(side, y, z, (11.5, 9.0, 6.0), (8.5, 14.0, 9.0))
    caudate = ellipsoid(side, y, z, (15.5, -18.0, 12.0), (5.0, 11.0, 9.5))
    putamen = ellipsoid(side, y, z, (27.0, -4.0, 3.0), (5.5, 17.0, 11.0))
    return np.maximum(np.maximum(thalamus, caudate), putamen)


@dataclass(frozen=True)
class Tissue:
    """Fractions of the voxels inside the brain, one-dimensional arrays in the order of the mask's voxels."""

    csf: np.ndarray
    grey: np.ndarray
    white: np.ndarray
    ventricle: np.ndarray  # the part of csf that lies in ventricles
    vein: np.ndarray  # vessels on the surface and in the sulci: bright with contrast agent
    caps: np.ndarray  # where white matter touches a ventricle: bright on FLAIR with age


def tissue(x, y, z, depths, head: Head, folds: FoldNoise, vessels: FoldNoise, wander: np.ndarray, voxel: float):
    """Tissue fractions at points inside the brain.

    Args:
        x, y, z: head coordinates in mm, one-dimensional.
        depths: cerebrum, cerebellum and brainstem at these points, as from ``outline``.
        head: the individual's measures.
        folds: noise whose zero set becomes the sulci.
        vessels: noise whose zero set meets the sulci in curves: the vessels.
        wander: two rows of smooth noise of unit variance: depth of the sulci, position of the midline.
        voxel: mean spacing in mm, the width of a partial-volume step.

    Returns:
        Tissue.
    """
    cerebrum, cerebellum, stem = depths
    side = np.abs(x)

    # The central block (corpus callosum, basal ganglia) that no fissure enters.
    block = ellipsoid(x, y, z, (0, 2, 4), (40.0, 37.0, 22.0))
    midline = np.abs(x - 1.2 * wander[1])
    fissure = np.hypot(midline, np.clip(block, 0.0, None)) - 0.4 - head.sulcus
    # The Sylvian fissure, between temporal lobe and the rest.
    sheet = 0.86 * np.abs(z + 7.0 - 0.6 * y - 2.0 * wander[0])
    sylvian = np.sqrt(sheet**2 + np.clip(34.0 - side, 0, None) ** 2 + np.clip(np.abs(y + 6.0) - 28.0, 0, None) ** 2)
    surface = np.minimum(np.minimum(cerebrum, fissure), sylvian - head.sulcus)

    # Sulci stand upright on the surface: noise is looked up along rays from a line in the middle of the hemisphere.
    axis_x, axis_y = np.sign(x) * 20.0, np.clip(0.8 * y, -42.0, 42.0)
    ray = np.sqrt((x - axis_x) ** 2 + (y - axis_y) ** 2 + (z - 4.0) ** 2) + 1.0
    pull = (45.0 / ray) ** 0.8
    qx, qy, qz = axis_x + (x - axis_x) * pull, axis_y + (y - axis_y) * pull, 4.0 + (z - 4.0) * pull
    sulcus = np.abs(folds(qx * 0.9, qy * 0.9, qz * 0.9)) / np.maximum(pull, 0.4)
    below = np.clip(surface - head.fold_depth - 3.0 * wander[0], 0.0, None)
    sulcus = np.sqrt(sulcus**2 + below**2) - head.sulcus
    pial = np.minimum(surface - 1.0, sulcus)

    # The corpus callosum has no cortex although the fissure touches it.
    callosum = soft(ellipsoid(x, y, z, (0, 2, 8), (16.0, 40.0, 24.0)), 6.0)
    inner = pial - head.cortex * (1.0 - callosum)
    cortex_csf = soft(-pial, voxel)
    white = soft(inner, voxel)

    # Cerebellum: folia finer than a voxel, so grey with streaks, around a core of white matter.
    inside = np.clip(cerebellum, 0.0, None)
    streak = np.abs(vessels(x, y * 1.6, z * 2.2))
    cerebellar = 0.9 * np.maximum(soft(inside - 11.0, 8.0), 0.9 * soft(1.4 - streak, 1.5) * soft(inside - 3.0, 4.0))
    part_cerebellum = soft(np.maximum(cerebellum - np.maximum(cerebrum, stem), -50.0), voxel)
    part_stem = soft(stem - np.maximum(cerebrum, cerebellum), voxel) * soft(-12.0 - z, 8.0)
    tentorium = soft(1.2 - 0.5 * np.abs(cerebellum - cerebrum), voxel) * (np.minimum(cerebellum, cerebrum) > -3)
    tentorium = tentorium * soft(y - 12.0, 4.0)

    csf = cortex_csf * (1 - part_cerebellum) * (1 - part_stem)
    white = white * (1 - part_cerebellum) * (1 - part_stem)
    white = white + np.clip(cerebellar, 0, 1) * part_cerebellum + 0.8 * part_stem
    csf = np.maximum(csf, soft(0.6 - np.maximum(np.maximum(cerebrum, cerebellum), stem), voxel))
    csf = np.maximum(csf, tentorium)

    chamber = ventricles(x, y, z, head.ventricles)
    ventricle = soft(chamber, voxel)
    nuclei = soft(deep_grey(x, y, z), 1.5 * voxel) * 0.85
    white = white * (1 - nuclei)
    csf = np.maximum(csf * (1 - nuclei), ventricle)
    white = np.clip(white, 0, 1) * (1 - csf)

    vein = soft(1.1 - np.hypot(np.clip(sulcus, 0, None), vessels(x, y, z)), voxel) * (surface < 14.0) * (cerebrum > -2)
    sagittal = soft(2.6 - np.hypot(x, cerebrum - 1.0), voxel) * ((z > 10.0) | (y > 40.0)) * (cerebellum < 0)
    caps = soft(chamber + 2.5, 3.0) * (1 - ventricle) * white
    return Tissue(csf, 1 - csf - white, white, ventricle, np.maximum(vein, sagittal), caps)
