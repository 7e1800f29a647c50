"""Distances between the surfaces of two masks in mm, and what is computed from them: HD95 and surface Dice."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from scipy.spatial import KDTree

# Spacings come from headers in single precision: a surface one voxel of "1 mm" away lies within a tolerance of 1 mm.
_ROUNDING = 1e-5
# Near is within this many voxels, of their longest side. A distance transform takes as long for this many voxels of its
# box as the tree for one voxel that is far from the other surface.
_NEAR, _TRANSFORM = 16, 1000


@dataclass(frozen=True)
class SurfaceDistances:
    """The way from every voxel of one surface to the nearest of the other, both ways, in mm.

    Attributes:
        to_reference: one distance for each surface voxel of the prediction.
        to_predicted: one for each surface voxel of the reference.
    """

    to_reference: np.ndarray
    to_predicted: np.ndarray

    @property
    def hd95(self) -> float:
        """The greater of the two directed 95th percentiles (linear between ranks), in mm; as MONAI and BraTS have it.

        The percentile of both sets pooled, as in medpy, is never greater.
        """
        return float(max(np.percentile(self.to_reference, 95), np.percentile(self.to_predicted, 95)))

    def nsd(self, tolerance: float) -> float:
        """Normalised surface Dice (Nikolov et al. 2018): the part of both surfaces that is near the other.

        Near is within ``tolerance`` mm. Parts are counted in surface voxels, as in MONAI's ``compute_surface_dice``
        without subvoxels.
        """
        limit = tolerance * (1 + _ROUNDING)
        near = np.count_nonzero(self.to_reference <= limit) + np.count_nonzero(self.to_predicted <= limit)
        return near / (len(self.to_reference) + len(self.to_predicted))


def surface(mask: np.ndarray) -> np.ndarray:
    """The voxels of a mask that share a face with one outside it; beyond the array's edge all is outside.

    Args:
        mask: boolean, of any number of axes.

    Returns:
        Boolean, of the same shape.
    """
    padded = np.pad(mask, 1)
    middle = (slice(1, -1),) * mask.ndim
    inside = mask.copy()
    for axis in range(mask.ndim):
        for shifted in (slice(None, -2), slice(2, None)):
            inside &= padded[(*middle[:axis], shifted, *middle[axis + 1 :])]
    return mask & ~inside


def surface_distances(
    predicted: np.ndarray, reference: np.ndarray, spacing: Sequence[float]
) -> SurfaceDistances | None:
    """The distances between the surfaces of two masks; None where either is empty.

    Distances are between centres of voxels, exact, along perpendicular axes. They come from a search tree of the
    surfaces' voxels, which takes a fraction of a distance transform's time and memory as long as the surfaces are near
    each other, and many times as much where they are not: then the transform it is (Maurer et al. 2003).

    Args:
        predicted: boolean (k, j, i).
        reference: of the same shape.
        spacing: mm along i, j, k.

    Raises:
        ValueError: The shapes differ.
    """
    if predicted.shape != reference.shape:
        raise ValueError(f"predicted has shape {predicted.shape}, reference {reference.shape}; they must agree")
    box = bounding_box(predicted | reference)
    if box is None or not predicted[box].any() or not reference[box].any():
        return None
    one, other = surface(predicted[box]), surface(reference[box])
    return SurfaceDistances(_distances(one, other, spacing), _distances(other, one, spacing))


def bounding_box(mask: np.ndarray) -> tuple[slice, ...] | None:
    """The smallest box that holds the whole mask; None where it is empty."""
    box = []
    for axis in range(mask.ndim):
        filled = np.flatnonzero(mask.any(axis=tuple(a for a in range(mask.ndim) if a != axis)))
        if not filled.size:
            return None
        box.append(slice(int(filled[0]), int(filled[-1]) + 1))
    return tuple(box)


def _distances(one: np.ndarray, other: np.ndarray, spacing: Sequence[float]) -> np.ndarray:
    """From each voxel of one surface, in the array's order, to the nearest of the other, in mm."""
    distances = np.zeros(np.count_nonzero(one))
    apart = ~other[one]  # where the surfaces share a voxel, 0 stands
    if not apart.any():
        return distances
    millimetres = np.asarray(spacing, float)[::-1]
    places = np.argwhere(one)[apart] * millimetres
    # Boxes of equal halves, not shrunk to their voxels: far from a surface, a balanced tree takes ten times as long.
    tree = KDTree(np.argwhere(other) * millimetres, leafsize=32, compact_nodes=False, balanced_tree=False)
    found, _ = tree.query(places, distance_upper_bound=_NEAR * max(spacing))
    far = np.isinf(found)
    if far.sum() * _TRANSFORM > one.size:
        found = _transform(other, spacing)[one][apart]
    elif far.any():
        found[far] = tree.query(places[far])[0]
    distances[apart] = found
    return distances


def _transform(mask: np.ndarray, spacing: Sequence[float]) -> np.ndarray:
    """From each voxel outside a mask to the mask's nearest, in mm; inside, the values mean nothing."""
    image = sitk.GetImageFromArray(mask.view(np.uint8))
    image.SetSpacing([float(mm) for mm in spacing])
    distances = sitk.SignedMaurerDistanceMap(image, insideIsPositive=False, squaredDistance=False, useImageSpacing=True)
    return sitk.GetArrayFromImage(distances)
