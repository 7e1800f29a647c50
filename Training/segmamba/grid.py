"""The grid of a volume: size, spacing, origin and direction, and what can be said of them without voxels."""

from __future__ import annotations

import itertools
import logging
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from segmamba.errors import UserError

_log = logging.getLogger(__name__)

# Up to here axes count as perpendicular: the rounding of headers that keep four digits, and what ITK itself lets pass.
ORTHONORMAL = 1e-4
# Beyond either of these, squared axes would put anatomy visibly elsewhere (a gantry tilt is 5 to 30 degrees).
MAX_SHEAR_DEGREES = 1.0
MAX_SHEAR_VOXELS = 0.5
# The sine of the smallest angle, roughly, under which two axes count as one.
SINGULAR = 1e-6

_LPS = {"L": (0, 1), "R": (0, -1), "P": (1, 1), "A": (1, -1), "S": (2, 1), "I": (2, -1)}
_RAS_FROM_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def warn(warnings: list[str] | None, text: str) -> None:
    """Append ``text`` to ``warnings``, or log it where nobody collects them."""
    if warnings is None:
        _log.warning(text)
    else:
        warnings.append(text)


@dataclass(frozen=True)
class Grid:
    """Where the voxels of a volume lie, in LPS millimetres, as in ITK.

    Attributes:
        size: voxels along i, j, k (i fastest).
        spacing: millimetres along i, j, k.
        origin: centre of the first voxel, LPS.
        direction: 3 x 3 matrix, row by row; its columns are the unit vectors of i, j, k in LPS.
    """

    size: tuple[int, int, int]
    spacing: tuple[float, float, float]
    origin: tuple[float, float, float]
    direction: tuple[float, ...]

    @classmethod
    def of(cls, image: sitk.Image) -> Grid:
        """The grid of a 3-D image, its numbers copied to the bit."""
        if image.GetDimension() != 3:
            raise ValueError(f"a grid is of a 3-D image, got {image.GetDimension()}-D")
        return cls(image.GetSize(), image.GetSpacing(), image.GetOrigin(), image.GetDirection())

    @classmethod
    def from_ijk_to_lps(cls, size: tuple[int, int, int], matrix: np.ndarray) -> Grid:
        """The grid of ``size`` (i, j, k) that a 4 x 4 matrix places in LPS millimetres."""
        columns = np.asarray(matrix, float)[:3, :3]
        spacing = np.linalg.norm(columns, axis=0)
        return cls(
            tuple(int(n) for n in size),
            tuple(spacing.tolist()),
            tuple(np.asarray(matrix, float)[:3, 3].tolist()),
            tuple((columns / spacing).ravel().tolist()),
        )

    @classmethod
    def from_ijk_to_ras(cls, size: tuple[int, int, int], matrix: np.ndarray) -> Grid:
        """The same from a matrix into RAS, as Slicer's ``GetIJKToRASMatrix`` and MONAI's ``affine`` give it."""
        return cls.from_ijk_to_lps(size, _RAS_FROM_LPS @ np.asarray(matrix, float))

    @property
    def ijk_to_lps(self) -> np.ndarray:
        """4 x 4 matrix from voxel indices (i, j, k, 1) to LPS millimetres."""
        matrix = np.eye(4)
        matrix[:3, :3] = np.reshape(self.direction, (3, 3)) * self.spacing
        matrix[:3, 3] = self.origin
        return matrix

    @property
    def ijk_to_ras(self) -> np.ndarray:
        """4 x 4 matrix from voxel indices (i, j, k, 1) to RAS millimetres, as Slicer and MONAI have it."""
        return _RAS_FROM_LPS @ self.ijk_to_lps

    @property
    def orientation(self) -> str:
        """The three letters of the anatomical directions nearest to i, j, k: "LPS" is the identity direction."""
        letters = ["", "", ""]
        for world, (axis, sign) in enumerate(_nearest_axes(self.direction)):
            letters[axis] = ("LR", "PA", "SI")[world][sign < 0]
        return "".join(letters)

    def same_as(self, other: Grid, tolerance: float = 1e-3) -> bool:
        """Whether both have one size and no voxel centre lies further off than ``tolerance`` voxels."""
        if tuple(self.size) != tuple(other.size):
            return False
        # The map between two grids is affine, so the furthest voxel is a corner.
        return displacement(self.size, self.ijk_to_lps, other.ijk_to_lps) <= tolerance * min(self.spacing)

    def empty(self, pixel_id: int = sitk.sitkUInt8) -> sitk.Image:
        """An image of zeros on this grid."""
        return self.place(sitk.Image(list(self.size), pixel_id))

    def place(self, image: sitk.Image) -> sitk.Image:
        """Give ``image`` (in place) this grid's spacing, origin and direction; returns it."""
        image.SetSpacing(self.spacing)
        image.SetOrigin(self.origin)
        image.SetDirection(self.direction)
        return image

    def oriented(self, code: str) -> tuple[Grid, tuple[int, int, int], tuple[bool, bool, bool]]:
        """This grid with its axes permuted and flipped to the orientation ``code``.

        Returns:
            the new grid; for each new axis the old axis it was; for each new axis whether it runs backwards.

        Raises:
            UserError: ``code`` is not one of the 48 orientation codes.
        """
        letters = [_LPS.get(letter) for letter in code] if isinstance(code, str) else []
        if len(letters) != 3 or None in letters or {world for world, _ in letters} != {0, 1, 2}:
            raise UserError(
                f"orientation {code!r} is unknown: give three letters, one each of L/R, P/A and S/I, such as 'LPS'"
            )
        nearest = _nearest_axes(self.direction)
        axes = tuple(nearest[world][0] for world, _ in letters)
        flips = tuple(nearest[world][1] != sign for world, sign in letters)
        return self.rearranged(axes, flips), axes, flips

    def rearranged(self, axes: tuple[int, ...], flips: tuple[bool, ...]) -> Grid:
        """The grid of the same voxels where new axis n is old axis ``axes[n]``, backwards where ``flips[n]``."""
        if tuple(axes) == (0, 1, 2) and not any(flips):
            return self
        corner = [0, 0, 0]
        for axis, flip in zip(axes, flips, strict=True):
            corner[axis] = self.size[axis] - 1 if flip else 0
        columns = np.reshape(self.direction, (3, 3))[:, axes] * np.where(flips, -1.0, 1.0)
        return Grid(
            tuple(self.size[a] for a in axes),
            tuple(self.spacing[a] for a in axes),
            tuple((self.ijk_to_lps @ [*corner, 1])[:3].tolist()),
            tuple((columns + 0.0).ravel().tolist()),  # + 0.0: no negative zeros
        )


def grid_with_spacing(image_or_grid: sitk.Image | Grid, spacing: tuple[float, float, float]) -> Grid:
    """The grid of another spacing over the same physical extent, from voxel edge to voxel edge.

    size = max(1, round(size * spacing / new spacing)); what rounding adds or takes is shared by both sides, so
    that both grids have one centre.

    Args:
        image_or_grid: what to cover.
        spacing: millimetres along i, j, k, in the order of that image's own axes.
    """
    grid = image_or_grid if isinstance(image_or_grid, Grid) else Grid.of(image_or_grid)
    new = np.asarray(spacing, float)
    if new.shape != (3,) or not np.all(np.isfinite(new) & (new > 0)):
        raise UserError(f"spacing {spacing!r} is not three positive numbers of millimetres")
    size = np.maximum(1, np.rint(np.multiply(grid.size, grid.spacing) / new)).astype(int)
    if tuple(size) == tuple(grid.size) and tuple(new) == tuple(grid.spacing):
        return grid
    direction = np.reshape(grid.direction, (3, 3))
    to_centre = np.multiply(grid.spacing, np.subtract(grid.size, 1)) / 2 - new * (size - 1) / 2
    origin = np.asarray(grid.origin) + direction @ to_centre
    return Grid(tuple(size.tolist()), tuple(new.tolist()), tuple(origin.tolist()), tuple(grid.direction))


def displacement(size: tuple[int, ...], one: np.ndarray, other: np.ndarray) -> float:
    """The furthest, in millimetres, that any voxel centre of a volume of ``size`` moves between two 4 x 4 matrices."""
    corners = np.array([(*c, 1.0) for c in itertools.product(*((0, n - 1) for n in size))])
    return float(np.linalg.norm(corners @ (one - other).T, axis=1).max())


def squared(grid: Grid, name: str, warnings: list[str] | None = None) -> Grid:
    """``grid`` with perpendicular axes of unit length: itself where they are, else the nearest (polar decomposition).

    The centre of the volume stays where it is.

    Raises:
        UserError: the axes are singular, or sheared by more than ``MAX_SHEAR_DEGREES`` or so that a voxel would
            move by more than ``MAX_SHEAR_VOXELS``.
    """
    direction = np.reshape(grid.direction, (3, 3))
    if singular(direction):
        raise UserError(f"{name}: its axes do not span space (singular direction matrix): correct the file's header")
    off = np.abs(direction.T @ direction - np.eye(3)).max()
    if off <= ORTHONORMAL:
        return grid
    left, _, right = np.linalg.svd(direction / np.linalg.norm(direction, axis=0))
    centre = grid.ijk_to_lps @ [*(np.subtract(grid.size, 1) / 2), 1]
    nearest = left @ right
    origin = centre[:3] - nearest @ (np.multiply(grid.spacing, np.subtract(grid.size, 1)) / 2)
    fixed = Grid(grid.size, grid.spacing, tuple(origin.tolist()), tuple(nearest.ravel().tolist()))
    moved = displacement(grid.size, grid.ijk_to_lps, fixed.ijk_to_lps) / min(grid.spacing)
    unit = direction / np.linalg.norm(direction, axis=0)
    shear = float(np.degrees(np.arcsin(np.abs(np.triu(unit.T @ unit, 1)).max().clip(0, 1))))
    if shear > MAX_SHEAR_DEGREES or moved > MAX_SHEAR_VOXELS:
        raise UserError(
            f"{name}: its axes are not perpendicular unit vectors ({shear:.2g} degrees of shear, {moved:.2g} voxels "
            "at the corners), as with a tilted gantry: resample it onto a rectangular grid first"
        )
    warn(
        warnings,
        f"{name}: its axes are not quite perpendicular ({shear:.2g} degrees off); they were squared, which moves "
        f"no voxel by more than {moved:.2g} voxels.",
    )
    return fixed


def singular(matrix: np.ndarray) -> bool:
    """Whether a 3 x 3 matrix has a column that is zero or not finite, or columns that lie in one plane."""
    lengths = np.linalg.norm(matrix, axis=0)
    if not np.all(np.isfinite(matrix)) or not np.all(lengths > 0):
        return True
    return abs(np.linalg.det(matrix / lengths)) < SINGULAR


def _nearest_axes(direction: tuple[float, ...]) -> tuple[tuple[int, int], ...]:
    """For each of L, P, S the index axis that lies nearest, and its sign; one axis each, best over all three."""
    matrix = np.reshape(direction, (3, 3))
    best = max(itertools.permutations(range(3)), key=lambda p: sum(abs(matrix[w, p[w]]) for w in range(3)))
    return tuple((axis, 1 if matrix[world, axis] >= 0 else -1) for world, axis in enumerate(best))
