"""Random changes of a training patch, each a function of the patch's own seed."""

import re
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from segmamba.training.deformation import moved, places_from, random_displacement
from segmamba.training.recipe import Augmentation

# What label names hold whose structures a mirror along the anatomical axis would exchange: parts of words, whole words.
_SIDES = {
    "left-right": (("left", "right"), {"l", "r", "lh", "rh", "lv", "rv", "la", "ra"}),
    "front-back": (("anterior", "posterior", "ventral", "dorsal"), {"front", "back", "ant", "post"}),
    "top-bottom": (("superior", "inferior", "cranial", "caudal", "rostral"), {"upper", "lower", "top", "bottom"}),
}
# Anatomical axis of each letter of an orientation code.
_AXIS = {
    "L": "left-right",
    "R": "left-right",
    "A": "front-back",
    "P": "front-back",
    "S": "top-bottom",
    "I": "top-bottom",
}
# Spacing along an axis, over the finest one, beyond which slices lie too far apart to be turned out of their plane, or
# scaled or deformed across: nnU-Net's threshold.
_COARSE = 3.0


def mirror_axes(choice: Augmentation, label_names: list[str], orientation: str) -> tuple[int, ...]:
    """Image axes (0 for i, 1 for j, 2 for k) along which patches may be mirrored.

    A mirror exchanges sides: where label names speak of left and right (anterior and posterior, superior and
    inferior), mirroring along that anatomical axis would teach the wrong name and is left out, unless the recipe
    names the axes itself.
    """
    if choice.mirror_axes is not None:
        return tuple(sorted("ijk".index(axis) for axis in set(choice.mirror_axes)))
    words = {word for name in label_names for word in _words(name)}
    return tuple(axis for axis, letter in enumerate(orientation) if not _names_side(words, _AXIS[letter]))


def _names_side(words: set[str], axis: str) -> bool:
    parts, whole = _SIDES[axis]
    return bool(words & whole) or any(part in word for word in words for part in parts)


def _words(name: str) -> list[str]:
    """Lower-case words of a name, written ``left_kidney``, ``LeftKidney``, ``kidneyL`` or ``Left kidney``."""
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]


class Augmenter:
    """Applies a recipe's augmentation to one patch.

    Rotation, scaling and elastic deformation are one map of physical space about the patch's centre, applied by one
    interpolation: turning the voxels of an anisotropic patch would shear the anatomy, and interpolating twice would
    blur it.

    Args:
        choice: Probabilities and ranges.
        axes: Image axes (i, j, k as 0, 1, 2) that may be mirrored.
        spacing: (i, j, k) mm between voxels.
    """

    def __init__(self, choice: Augmentation, axes: Sequence[int], spacing: Sequence[float] | None = None):
        self._choice, self._axes = choice, tuple(axes)
        self._spacing = np.array(spacing if spacing is not None else (1.0, 1.0, 1.0))
        self._fine = self._spacing <= _COARSE * self._spacing.min()

    def __call__(self, image: Tensor, label: Tensor, seed: int) -> tuple[Tensor, Tensor]:
        """Image (C, D, H, W) float32 and label (1 or R, D, H, W) to the same shapes; equal seeds give equal results."""
        random = np.random.default_rng(seed)
        matrix = self._draw_matrix(random)
        displacement = self._draw_displacement(np.random.default_rng([seed, 1]), label.shape[1:])
        if matrix is not None or displacement is not None:
            matrix = np.eye(3) if matrix is None else matrix
            places = places_from(label.shape[1:], self._spacing, matrix, displacement)
            image, label = moved(image, places, "bilinear"), moved(label, places, "nearest")
        turned = [3 - axis for axis in self._axes if random.random() < 0.5]  # arrays are (C, k, j, i)
        if turned:
            image, label = image.flip(turned), label.flip(turned)
        return self._with_other_intensities(image, random), label

    def _with_other_intensities(self, image: Tensor, random: np.random.Generator) -> Tensor:
        """Brightness and gamma, each channel's own, and noise."""
        choice, channels = self._choice, len(image)
        if random.random() < choice.brightness_probability:
            factors = random.uniform(*choice.brightness_range, channels).astype(np.float32)
            image = image * torch.from_numpy(factors)[:, None, None, None]
        if random.random() < choice.gamma_probability:
            gammas = random.uniform(*choice.gamma_range, channels)
            image = torch.stack([with_gamma(x, float(gamma)) for x, gamma in zip(image, gammas, strict=True)])
        if random.random() < choice.noise_probability:
            noise = torch.Generator().manual_seed(int(random.integers(2**63)))
            strength = random.uniform(0, choice.noise_std)
            image = image + strength * torch.randn(image.shape, generator=noise)
        return image

    def _draw_displacement(self, random: np.random.Generator, shape: Sequence[int]) -> Tensor | None:
        """A random elastic displacement (3, D, H, W), (i, j, k) mm; None for no change.

        From a source of its own: how many numbers it takes depends on the patch, and the others' draws shall not.
        """
        choice = self._choice
        if not random.random() < choice.elastic_probability:
            return None
        apart = choice.elastic_spacing * float(self._spacing.min())
        # Nothing moves across slices that lie far apart.
        most = random.uniform(0, choice.elastic_displacement) * apart * self._fine
        return random_displacement(random, shape, self._spacing, apart, most)

    def _draw_matrix(self, random: np.random.Generator) -> np.ndarray | None:
        """A random map (3, 3) from where a voxel goes to where it comes from, (i, j, k) mm; None for no change.

        Every number is drawn whether it is used or not, so that one probability does not shift the others' draws.
        """
        choice, fine = self._choice, self._fine
        rotates, scales = random.random(2) < (choice.rotate_probability, choice.scale_probability)
        angles = np.deg2rad(random.uniform(-choice.rotate_degrees, choice.rotate_degrees, 3))
        # Uniform in the logarithm: structures grow as often as they shrink.
        factor = float(np.exp(random.uniform(*np.log(choice.scale_range))))
        if not rotates and not scales:
            return None
        matrix = np.eye(3)
        if rotates:
            for axis in range(3):
                one, other = (n for n in range(3) if n != axis)
                if fine[one] and fine[other]:
                    turn = np.eye(3)
                    cos, sin = np.cos(angles[axis]), np.sin(angles[axis])
                    turn[one, one] = turn[other, other] = cos
                    turn[one, other], turn[other, one] = -sin, sin
                    matrix = matrix @ turn
        if scales:
            matrix = np.where(fine, 1 / factor, 1.0)[:, None] * matrix
        return matrix


def with_gamma(channel: Tensor, gamma: float) -> Tensor:
    """A channel whose intensities, between its extremes, are raised to ``gamma``; mean and deviation stay."""
    low, high, deviation = channel.min(), channel.max(), channel.std()
    if not high > low:
        return channel
    changed = ((channel - low) / (high - low)) ** gamma
    return (changed - changed.mean()) / changed.std().clamp_min(1e-8) * deviation + channel.mean()
