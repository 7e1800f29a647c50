"""From a data set and a recipe to what the network will see: spacing, patch, normalisation, labels."""

import colorsys
import logging
from dataclasses import dataclass

import numpy as np

from segmamba import images
from segmamba.bundle import Channel, Label, Metadata, Normalisation
from segmamba.data.datasets import GEOMETRY_TOLERANCE, Dataset
from segmamba.errors import UserError
from segmamba.grid import Grid
from segmamba.training.cases import read_case
from segmamba.training.recipe import DataChoice, NormalisationChoice, Recipe

log = logging.getLogger(__name__)

_SURVEYED = 64  # cases looked at, evenly spread: medians and percentiles need no more
_FOREGROUND_SAMPLES = 10_000  # voxels a case gives to the intensity percentiles


@dataclass(frozen=True)
class Survey:
    """Median geometry and the intensities of a data set's training cases, after orientation."""

    size: tuple[int, int, int]
    spacing: tuple[float, float, float]
    extent_mm: tuple[float, float]
    zero_fraction: tuple[float, ...]  # per channel, the median over cases
    foreground: tuple[tuple[float, float], ...]  # per channel, 0.5 and 99.5 percentiles of labelled voxels


def survey(dataset: Dataset, names: list[str], orientation: str) -> Survey:
    """Looks at up to 64 of the named cases."""
    wanted = set(names)
    cases = [case for case in dataset.cases if case.name in wanted]
    cases = [cases[n] for n in np.unique(np.linspace(0, len(cases) - 1, _SURVEYED).astype(int))]
    sizes, spacings, zeros, foreground = [], [], [], [[] for _ in dataset.channels]
    for case in cases:
        channels, label = read_case(case, dataset)
        oriented = images.orient(channels[0], orientation)
        sizes.append(oriented.GetSize())
        spacings.append(oriented.GetSpacing())
        marked = images.array(label) > 0
        zeros.append([float(np.mean(images.array(channel) == 0)) for channel in channels])
        for channel, found in zip(channels, foreground, strict=True):
            if marked.any():
                if not Grid.of(channel).same_as(Grid.of(label), GEOMETRY_TOLERANCE):
                    channel = images.resample(channel, Grid.of(label))
                values = images.array(channel)[marked]
                found.append(values[:: max(1, len(values) // _FOREGROUND_SAMPLES)].astype(np.float64))
    spacing = np.median(spacings, axis=0)
    extents = np.array(sizes) * np.array(spacings)
    percentiles = []
    for found in foreground:
        values = np.concatenate(found) if found else np.array([0.0, 1.0])
        values = values[np.isfinite(values)]
        values = values if len(values) else np.array([0.0, 1.0])  # the cases' preparation will refuse them by name
        percentiles.append(tuple(float(v) for v in np.percentile(values, [0.5, 99.5])))
    return Survey(
        size=tuple(int(n) for n in np.median(np.round(extents / spacing), axis=0)),
        spacing=tuple(round(float(v), 4) for v in spacing),
        extent_mm=(float(extents.min()), float(extents.max())),
        zero_fraction=tuple(float(v) for v in np.median(zeros, axis=0)),
        foreground=tuple(percentiles),
    )


def make_metadata(dataset: Dataset, names: list[str], recipe: Recipe) -> Metadata:
    """The model's description as far as it is known before training.

    Args:
        dataset: The data set.
        names: Names of the training cases; the validation cases have no say.
        recipe: Values given there win over what the data suggest.

    Raises:
        UserError: Where a case cannot be read.
    """
    found = survey(dataset, names, recipe.data.orientation)
    spacing = recipe.data.spacing or found.spacing
    size = tuple(round(n * own / new) for n, own, new in zip(found.size, found.spacing, spacing, strict=True))
    patch = recipe.data.patch or automatic_patch(size, recipe.data)
    log.info("spacing %s mm, patch %s (i, j, k); median size of the training cases %s", spacing, patch, size)
    channels = tuple(
        Channel(name, modality, normalisation(recipe.data.normalisation, modality, zero, window))
        for name, modality, zero, window in zip(
            dataset.channels, dataset.modalities, found.zero_fraction, found.foreground, strict=True
        )
    )
    return Metadata(
        name="model",
        version="0.0.0",
        description=dataset.description or f"Trained on {dataset.name}",
        network=recipe.network.name,
        options=recipe.network.options,
        channels=channels,
        labels=tuple(
            Label(label.value, label.name, colour(n, len(dataset.labels)), label.members)
            for n, label in enumerate(dataset.labels)
        ),
        regions=dataset.regions,
        spacing=tuple(float(v) for v in spacing),
        orientation=recipe.data.orientation,
        patch=tuple(int(n) for n in patch),
        field_of_view=tuple(round(v, 1) for v in found.extent_mm),
        licence=dataset.licence,
    )


def automatic_patch(size: tuple[int, int, int], choice: DataChoice) -> tuple[int, int, int]:
    """The median size rounded up to multiples of 8, shrunk along its longest axis until it is small enough."""
    patch = [max(8, -(-n // 8) * 8) for n in size]
    while np.prod(patch) > choice.max_patch_voxels and max(patch) > 8:
        longest = int(np.argmax(patch))
        patch[longest] -= 8
    return tuple(patch)


def normalisation(
    choice: NormalisationChoice, modality: str, zero_fraction: float, foreground: tuple[float, float]
) -> Normalisation:
    """What the recipe says of one channel, ``auto`` resolved (see :class:`NormalisationChoice`)."""
    if choice.kind != "auto":
        percentiles = choice.percentiles or ((0.5, 99.5) if choice.kind == "percentile" else None)
        return Normalisation(choice.kind, choice.region, choice.window, percentiles)
    if modality.upper().startswith("CT"):
        if foreground[0] >= foreground[1]:
            raise UserError("data.normalisation: the labelled voxels are constant; give a window, such as [-160, 240]")
        return Normalisation("window", "all", foreground, None)
    return Normalisation("percentile", "nonzero" if zero_fraction > 0.3 else "all", None, (0.5, 99.5))


def colour(number: int, count: int) -> tuple[int, int, int]:
    """The ``number``-th of ``count`` colours, evenly spread over the hues."""
    red, green, blue = colorsys.hsv_to_rgb(number / max(count, 1), 0.65, 0.95)
    return round(255 * red), round(255 * green), round(255 * blue)
