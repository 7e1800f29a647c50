"""Maps of space that move a patch: linear ones and smooth random ones, together in one interpolation."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


def moved(array: Tensor, places: Tensor, mode: str) -> Tensor:
    """An array (C, D, H, W) of any float type whose voxels are taken from ``places``; zero where that is outside.

    Args:
        array: What is moved.
        places: (1, D, H, W, 3) of :func:`places_from`.
        mode: ``bilinear`` (linear in three dimensions) or ``nearest``.
    """
    return F.grid_sample(array[None], places.to(array.dtype), mode=mode, padding_mode="zeros", align_corners=False)[0]


def places_from(
    shape: Sequence[int], spacing: np.ndarray, matrix: np.ndarray, displacement: Tensor | None = None
) -> Tensor:
    """Where the voxels of a patch are taken from: voxel at x from matrix (x + displacement(x)).

    Args:
        shape: (D, H, W) voxels.
        spacing: (i, j, k) mm.
        matrix: (3, 3), (i, j, k) mm about the patch's centre.
        displacement: (3, D, H, W) mm along i, j, k, or None.

    Returns:
        (1, D, H, W, 3) float32, in half extents of the patch from its centre, i first: as torch's ``grid_sample`` does.
    """
    extent = np.array(shape[::-1]) * spacing / 2
    theta = torch.zeros(1, 3, 4)
    theta[0, :, :3] = torch.from_numpy(matrix * extent / extent[:, None])
    places = F.affine_grid(theta, [1, 1, *shape], align_corners=False)
    if displacement is None:
        return places
    return places + displacement.movedim(0, -1) @ torch.from_numpy(matrix / extent[:, None]).float().T


def random_displacement(
    random: np.random.Generator, shape: Sequence[int], spacing: np.ndarray, apart: float, most: np.ndarray
) -> Tensor:
    """A smooth random displacement of space: a cubic B-spline through a grid of independent uniform numbers.

    One-to-one where ``most`` is at most 0.403 of ``apart`` (Choi and Lee, "Injectivity Conditions of 2D and 3D Uniform
    Cubic B-Spline Functions", Graphical Models 62, 2000), and so it stays with a one-to-one linear map after it.

    Args:
        random: Source of the numbers.
        shape: (D, H, W) voxels.
        spacing: (i, j, k) mm.
        apart: mm between the points of the grid, along every axis.
        most: (3), largest displacement of a point along i, j, k, mm.

    Returns:
        (3, D, H, W) float32, mm along i, j, k.
    """
    weights = [spline_weights(n, mm / apart) for n, mm in zip(shape, spacing[::-1], strict=True)]
    points = random.uniform(-1, 1, (3, *(w.shape[1] for w in weights))) * np.asarray(most)[:, None, None, None]
    field = torch.from_numpy(points.astype(np.float32))
    for weight in weights:  # each turn puts its axis at the end: D, H, W again after three
        field = torch.tensordot(field, torch.from_numpy(weight), ([1], [1]))
    return field


def spline_weights(count: int, step: float) -> np.ndarray:
    """Weights (count, points) float32 of a uniform cubic B-spline at ``count`` places, ``step`` points apart."""
    place = np.arange(count) * step
    cell = np.floor(place).astype(int)
    t = place - cell
    weights = np.zeros((count, cell[-1] + 4), np.float32)
    four = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3)
    for n, weight in enumerate(four):
        weights[np.arange(count), cell + n] = weight / 6
    return weights
