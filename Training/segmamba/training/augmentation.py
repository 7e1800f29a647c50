"""Random changes of a training patch, each a function of the patch's own seed."""

import re

import numpy as np
import torch
from monai.transforms import RandAdjustContrast, RandAffine, RandFlip, RandGaussianNoise, RandScaleIntensity
from torch import Tensor

from segmamba.training.recipe import Augmentation

# Words in label names whose structures a mirror along the axis would exchange.
_SIDES = {
    "i": ("left", "right", "lh", "rh", "l", "r"),
    "j": ("anterior", "posterior", "front", "back"),
    "k": ("superior", "inferior", "upper", "lower"),
}
# Anatomical axis of each letter of an orientation code.
_AXIS = {"L": "i", "R": "i", "A": "j", "P": "j", "S": "k", "I": "k"}


def mirror_axes(choice: Augmentation, label_names: list[str], orientation: str) -> tuple[int, ...]:
    """Image axes (0 for i, 1 for j, 2 for k) along which patches may be mirrored.

    A mirror exchanges sides: where label names speak of left and right (anterior and posterior, superior and
    inferior), mirroring along that anatomical axis would teach the wrong name and is left out, unless the recipe
    names the axes itself.
    """
    if choice.mirror_axes is not None:
        return tuple(sorted("ijk".index(axis) for axis in set(choice.mirror_axes)))
    words = {word for name in label_names for word in re.split(r"[^a-z]+", name.lower())}
    return tuple(axis for axis, letter in enumerate(orientation) if not words.intersection(_SIDES[_AXIS[letter]]))


class Augmenter:
    """Applies a recipe's augmentation to one patch.

    Args:
        choice: Probabilities and ranges.
        axes: Image axes (i, j, k as 0, 1, 2) that may be mirrored.
        patch: (i, j, k) size that comes out.
    """

    def __init__(self, choice: Augmentation, axes: tuple[int, ...], patch: tuple[int, int, int]):
        low, high = choice.scale_range
        angle = float(np.deg2rad(choice.rotate_degrees))
        size = tuple(reversed(patch))  # arrays are (k, j, i)
        self._rotate = RandAffine(
            prob=choice.rotate_probability, rotate_range=(angle,) * 3, spatial_size=size, padding_mode="zeros"
        )
        # MONAI scales the sampling grid by 1 + value: a smaller grid is a larger structure.
        self._scale = RandAffine(
            prob=choice.scale_probability,
            scale_range=((1 / high - 1, 1 / low - 1),) * 3,
            spatial_size=size,
            padding_mode="zeros",
        )
        self._mirrors = [RandFlip(prob=0.5, spatial_axis=2 - axis) for axis in axes]
        bright = choice.brightness_range
        self._intensity = [
            RandScaleIntensity(factors=(bright[0] - 1, bright[1] - 1), prob=choice.brightness_probability),
            RandAdjustContrast(prob=choice.gamma_probability, gamma=choice.gamma_range, retain_stats=True),
            RandGaussianNoise(prob=choice.noise_probability, std=choice.noise_std),
        ]

    def __call__(self, image: Tensor, label: Tensor, seed: int) -> tuple[Tensor, Tensor]:
        """Image (C, D, H, W) float32 and label (1 or R, D, H, W) to the same shapes; equal seeds give equal results."""
        random = np.random.RandomState(seed % 2**32)
        for spatial in (self._rotate, self._scale):
            spatial.set_random_state(state=random)
            spatial.randomize()
            if spatial._do_transform:
                image = spatial(image, randomize=False, mode="bilinear")
                label = spatial(label, randomize=False, mode="nearest")
        for mirror in self._mirrors:
            mirror.set_random_state(state=random)
            mirror.randomize(None)
            image, label = mirror(image, randomize=False), mirror(label, randomize=False)
        for change in self._intensity:
            change.set_random_state(state=random)
            image = change(image)
        return _plain(image), _plain(label)


def _plain(x) -> Tensor:
    """MONAI's MetaTensor as an ordinary, contiguous tensor."""
    return (x.as_tensor() if hasattr(x, "as_tensor") else torch.as_tensor(x)).contiguous()
