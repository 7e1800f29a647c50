"""Small networks, metadata and images that the inference tests share."""

import itertools

import numpy as np
import SimpleITK as sitk
import torch
from torch import nn

from segmamba.metadata import Channel, Label, Metadata, Normalisation


class Threshold(nn.Module):
    """Class 1 where the (first) channel is above ``level``, class 2 above ``upper``: knows nothing of position."""

    def __init__(self, level=0.5, upper=None):
        super().__init__()
        self.level, self.upper = level, upper

    def forward(self, x):
        x = x[:, :1]
        one = torch.full_like(x, self.level)
        two = [torch.where(x > self.upper, 2 * x, torch.full_like(x, -1e3))] if self.upper is not None else []
        return torch.cat([one, x, *two], dim=1) * 20


class Nested(nn.Module):
    """Three nested regions: above 0.2, 0.5 and 0.8."""

    def forward(self, x):
        return torch.cat([(x[:, :1] - level) * 50 for level in (0.2, 0.5, 0.8)], dim=1)


class Position(nn.Module):
    """Class 1 in the half of the window with small i: sees the orientation of what it is given."""

    def forward(self, x):
        half = torch.linspace(-1, 1, x.shape[-1]).expand_as(x[:, :1])
        return torch.cat([half, -half], dim=1) * 20


COLOURS = [(228, 26, 28), (55, 126, 184), (77, 175, 74)]


def metadata(names=("one",), regions=False, kind="none", channels=1, values=None, **changes):
    normalisation = changes.pop("normalisation", Normalisation(kind))
    labels = tuple(Label((values or range(1, 1 + len(names)))[n], name, COLOURS[n % 3]) for n, name in enumerate(names))
    settings = {
        "name": "small",
        "version": "1.0.0",
        "description": "",
        "network": "lightmunet",
        "channels": tuple(Channel(f"c{n}", "MR", normalisation) for n in range(channels)),
        "labels": labels,
        "regions": regions,
        "patch": (16, 16, 16),
    }
    return Metadata(**(settings | changes))


def image(array, spacing=(1.0, 1.0, 1.0), origin=(0.0, 0.0, 0.0), direction=None):
    result = sitk.GetImageFromArray(np.asarray(array))
    result.SetSpacing(spacing)
    result.SetOrigin(origin)
    if direction is not None:
        result.SetDirection(np.ravel(direction).tolist())
    return result


def blob(size=(26, 30, 34), seed=0):
    """A smooth, lopsided blob in [0, 1], axes (k, j, i)."""
    k, j, i = np.meshgrid(*(np.linspace(-1, 1, n) for n in size), indexing="ij")
    bump = np.exp(-3 * ((k - 0.2) ** 2 + (j + 0.3) ** 2 + 0.5 * (i - 0.1) ** 2))
    second = 0.9 * np.exp(-9 * ((k + 0.4) ** 2 + (j - 0.5) ** 2 + (i + 0.5) ** 2))
    return np.maximum(bump, second).astype(np.float32)


def rotation(degrees=(12, -20, 33)):
    """An oblique direction matrix, orthonormal to the last bit that matters."""
    a, b, c = np.radians(degrees)
    rx = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    ry = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    rz = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return rz @ ry @ rx


def arrangements(picture):
    """The same physical image stored with its axes permuted and flipped, all 48 ways."""
    for order in itertools.permutations(range(3)):
        permuted = sitk.PermuteAxes(picture, order)
        for flips in itertools.product((False, True), repeat=3):
            yield sitk.Flip(permuted, flips)


def same_place(one, other):
    """Whether two images are on one grid, to the bit."""
    return (
        one.GetSize() == other.GetSize()
        and one.GetSpacing() == other.GetSpacing()
        and one.GetOrigin() == other.GetOrigin()
        and one.GetDirection() == other.GetDirection()
    )
