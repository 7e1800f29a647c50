"""The recipe: every choice of a training run, frozen, each default with its reason."""

import json
import math
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from segmamba import reading
from segmamba.errors import UserError
from segmamba.network_names import NAMES

Axis = Literal["i", "j", "k"]

# Voxels between the points of an elastic deformation: closer ones would tear at single voxels, and points further apart
# than a patch is wide would shift it as a whole.
_ELASTIC_SPACING = (8, 64)
# Displacement of those points, over the distance between them, up to which space cannot fold (Choi and Lee 2000; see
# segmamba.training.deformation).
MOST_DISPLACED = 0.4
_SMALLEST = 8  # voxels along a side of a patch: smaller ones vanish in the networks' lower levels


class _Struct(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Frozen, and an unknown key is refused with its path."""


class NetworkChoice(_Struct):
    """The network and the options that ``segmamba.networks.build`` takes."""

    name: str = "lightmunet"
    options: dict[str, typing.Any] = {}


class NormalisationChoice(_Struct):
    """How the intensities of every channel are normalised; see ``segmamba.bundle.Normalisation``.

    ``auto`` decides by modality: CT gets a window between the 0.5 and 99.5 percentiles of the labelled voxels of the
    training cases; anything else gets percentile clipping and z-score, over the non-zero voxels where the images are
    mostly zero outside the body (skull-stripped), else over all.
    """

    kind: Literal["auto", "zscore", "window", "percentile", "none"] = "auto"
    region: Literal["nonzero", "all"] = "all"
    window: tuple[float, float] | None = None
    percentiles: tuple[float, float] | None = None


class DataChoice(_Struct):
    """What the network sees of a case."""

    # (i, j, k) voxels after orientation.  None: the median size of the training cases, within max_patch_voxels.
    patch: tuple[int, int, int] | None = None
    # (i, j, k) mm.  None: the median spacing of the training cases.
    spacing: tuple[float, float, float] | None = None
    # Axes increase towards these sides; images are permuted and flipped to it, never resampled to world axes.
    orientation: str = "LPS"
    normalisation: NormalisationChoice = NormalisationChoice()
    # A third of the patches are centred on a labelled voxel, as nnU-Net does: rare structures are seen in every batch.
    foreground: float = 0.33
    # Upper bound of an automatic patch: 96^3, what a laptop trains in reasonable time.
    max_patch_voxels: int = 884_736


class Augmentation(_Struct):
    """Random changes of a patch; probabilities and ranges follow nnU-Net's unless a reason is given."""

    rotate_probability: float = 0.2
    rotate_degrees: float = 30.0
    scale_probability: float = 0.2
    scale_range: tuple[float, float] = (0.7, 1.4)
    # Elastic deformation, in one interpolation with rotation and scale.  Off, as in nnU-Net's second version; the
    # default of its first was 0.2, and SegMamba's paper trains with it.
    elastic_probability: float = 0.0
    # Distance between the points that are displaced, in voxels of the finest axis (and as many mm along the others):
    # a cubic B-spline over 20 is as smooth as Gaussian noise with the sigma of nnU-Net's first, 9 to 13 voxels.
    elastic_spacing: float = 20.0
    # Largest displacement of a point along each axis, over that distance; each patch draws its own between 0 and this.
    # 0.4 is the largest that cannot fold space; on average that displaces three quarters as far as nnU-Net's first did.
    elastic_displacement: float = MOST_DISPLACED
    brightness_probability: float = 0.15
    brightness_range: tuple[float, float] = (0.75, 1.25)
    gamma_probability: float = 0.3
    gamma_range: tuple[float, float] = (0.7, 1.5)
    noise_probability: float = 0.1
    noise_std: float = 0.1
    # Image axes (after orientation).  None: every axis, without those whose mirror would exchange labels (left/right,
    # anterior/posterior, ...).
    mirror_axes: tuple[Axis, ...] | None = None


class Loss(_Struct):
    """``auto``: Dice and cross-entropy for labels, Dice and binary cross-entropy for regions."""

    kind: Literal["auto", "ce", "dice_ce", "dice_bce"] = "auto"


class Optimiser(_Struct):
    """AdamW at 1e-3 learns fastest in the short runs that a CPU allows; SGD with poly decay is the papers'."""

    kind: Literal["adamw", "sgd"] = "adamw"
    lr: float = 1e-3
    weight_decay: float = 1e-2
    momentum: float = 0.99  # of SGD, with Nesterov
    schedule: Literal["cosine", "poly", "constant"] = "cosine"
    warmup_steps: int = 50  # a linear rise: Adam's first estimates of the variance are poor
    poly_power: float = 0.9
    clip: float = 12.0  # largest gradient norm; nnU-Net's value


class Train(_Struct):
    """Length and mechanics of the run."""

    epochs: int | None = None  # None: as many as fit into `hours`, else 100
    hours: float | None = None  # an upper bound: measured with real steps at the start, then frozen as epochs
    steps_per_epoch: int = 50
    batch: int = 2
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    workers: int = 0  # processes that prepare patches; 0 works everywhere
    threads: int | None = None  # None: torch's own choice
    ema: float = 0.99  # decay of the averaged weights, which are what is validated and exported; 0 turns it off


class Validation(_Struct):
    """How often, and how much, is validated during the run; the end always validates every case of the fold."""

    every: int = 5  # epochs
    cases: int | None = 8  # None: all
    overlap: float = 0.5


class Recipe(_Struct):
    """Everything a run needs besides the data.  Written out whole into the run's folder."""

    name: str = "default"
    seed: int = 0
    network: NetworkChoice = NetworkChoice()
    data: DataChoice = DataChoice()
    augmentation: Augmentation = Augmentation()
    loss: Loss = Loss()
    optimiser: Optimiser = Optimiser()
    train: Train = Train()
    validation: Validation = Validation()


def load_recipe(
    source: str | Path | None = None, network: str | None = None, changes: list[str] | None = None
) -> Recipe:
    """Reads a recipe, applies ``--set key=value`` changes and checks everything at once.

    Args:
        source: A JSON file, or the name of a recipe that comes with the package; None gives the defaults.
        network: Name that replaces ``network.name``.
        changes: Texts such as ``train.epochs=20`` or ``data.patch=[64,64,64]``; a value is JSON, or else a string.

    Raises:
        UserError: Naming the file or option, the path of the key and every problem found.
    """
    values: dict = {}
    where = "recipe"
    if source is not None:
        where = f"recipe {source}"
        path = _named().get(str(source), Path(source))
        if not path.is_file():
            raise UserError(f"{where}: no such file and no recipe of that name; those are {', '.join(_named())}")
        values = reading.read_object(path, where)
    if network is not None:
        if network not in NAMES:
            raise UserError(f"--network {network} is unknown; allowed are {', '.join(NAMES)}")
        _assign(values, ["network", "name"], network, "--network")
    for change in changes or []:
        key, sign, text = change.partition("=")
        if not sign or not key.strip():
            raise UserError(f"--set {change!r}: write it as key=value, such as train.epochs=20")
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            value = text
        _assign(values, key.strip().split("."), value, f"--set {change}")
    return from_dict(values, where)


def _named() -> dict[str, Path]:
    """The recipes that come with the package, by name."""
    return {path.stem: path for path in sorted((Path(__file__).parent / "recipes").glob("*.json"))}


def from_dict(values: dict, where: str = "recipe") -> Recipe:
    """A checked recipe from plain values; UserError names the path of every bad key."""
    problems = list(_wrong_keys(values, Recipe, ""))
    if not problems:
        recipe = msgspec.convert(values, Recipe)
        problems = list(_infinite(recipe, "")) or list(_problems(recipe))
    if problems:
        raise UserError(f"{where}: " + "; ".join(problems))
    return recipe


def to_dict(recipe: Recipe) -> dict:
    """Plain JSON values that ``from_dict`` takes back to an equal recipe."""
    return msgspec.json.decode(msgspec.json.encode(recipe))


def _assign(values: dict, path: list[str], value, where: str) -> None:
    inner = values
    for key in path[:-1]:
        inner = inner.setdefault(key, {})
        if not isinstance(inner, dict):
            raise UserError(f"{where}: {key} is not a group of keys")
    inner[path[-1]] = value


def _wrong_keys(values, struct: type, prefix: str) -> Iterator[str]:
    """Every unknown key and every value of a wrong type at once: msgspec alone would stop at the first."""
    if not isinstance(values, dict):
        yield f"{prefix.rstrip('.') or 'the recipe'} is {values!r}; it must be a group of keys"
        return
    fields = {field.name: field.type for field in msgspec.structs.fields(struct)}
    for key, value in values.items():
        if key not in fields:
            yield f"unknown key {prefix}{key} (allowed: {', '.join(fields)})"
        elif isinstance(fields[key], type) and issubclass(fields[key], msgspec.Struct):
            yield from _wrong_keys(value, fields[key], f"{prefix}{key}.")
        else:
            try:
                msgspec.convert(value, fields[key])
            except msgspec.ValidationError as error:
                reason = str(error).partition(" - at `")[0]
                reason = f"{reason[:1].lower()}{reason[1:]}"
                if typing.get_origin(fields[key]) is Literal:
                    reason = f"allowed are {', '.join(map(repr, typing.get_args(fields[key])))}"
                yield f"{prefix}{key} is {value!r}: {reason}"


def _infinite(values, prefix: str) -> Iterator[str]:
    """JSON as Python reads it has NaN and Infinity; no choice may be one, and comparisons let NaN through."""
    if isinstance(values, msgspec.Struct):
        for name in values.__struct_fields__:
            yield from _infinite(getattr(values, name), f"{prefix}.{name}" if prefix else name)
    elif isinstance(values, dict):
        for key, value in values.items():
            yield from _infinite(value, f"{prefix}.{key}")
    elif isinstance(values, (list, tuple)):
        for value in values:
            yield from _infinite(value, prefix)
    elif isinstance(values, float) and not math.isfinite(values):
        yield f"{prefix} is {values}; it must be a finite number"


def _problems(recipe: Recipe) -> Iterator[str]:
    """What types cannot say."""
    data, augment, optimiser, train = recipe.data, recipe.augmentation, recipe.optimiser, recipe.train
    if not 0 <= recipe.seed < 2**63:
        yield f"seed is {recipe.seed}; it must lie between 0 and 2^63 - 1"
    if recipe.network.name not in NAMES:
        yield f"network.name is {recipe.network.name!r}; allowed are {', '.join(NAMES)}"
    if data.patch is not None and min(data.patch) < _SMALLEST:
        yield f"data.patch is {list(data.patch)}; every size must be at least {_SMALLEST}"
    if data.max_patch_voxels < _SMALLEST**3:
        yield f"data.max_patch_voxels is {data.max_patch_voxels}; it must be at least {_SMALLEST**3}"
    if data.spacing is not None and min(data.spacing) <= 0:
        yield f"data.spacing is {list(data.spacing)}; every value must be positive"
    letters = {"R": 0, "L": 0, "A": 1, "P": 1, "S": 2, "I": 2}
    if sorted(letters.get(c, -1) for c in data.orientation) != [0, 1, 2]:
        yield f"data.orientation is {data.orientation!r}; three letters such as LPS or RAS are needed"
    yield from _normalisation_problems(data.normalisation)
    for name in ("rotate", "scale", "elastic", "brightness", "gamma", "noise"):
        value = getattr(augment, f"{name}_probability")
        if not 0 <= value <= 1:
            yield f"augmentation.{name}_probability is {value}; it must lie between 0 and 1"
    low, high = _ELASTIC_SPACING
    if not low <= augment.elastic_spacing <= high:
        yield f"augmentation.elastic_spacing is {augment.elastic_spacing}; it must lie between {low} and {high} voxels"
    if not 0 <= augment.elastic_displacement <= MOST_DISPLACED:
        yield (
            f"augmentation.elastic_displacement is {augment.elastic_displacement}; it must lie between 0 and "
            f"{MOST_DISPLACED}, beyond which space may fold"
        )
    for name in ("scale_range", "brightness_range", "gamma_range"):
        low, high = getattr(augment, name)
        if not 0 < low <= high:
            yield f"augmentation.{name} is {[low, high]}; two positive values, the smaller first, are needed"
    for name, value in (
        ("optimiser.lr", optimiser.lr),
        ("optimiser.clip", optimiser.clip),
        ("train.epochs", train.epochs),
        ("train.hours", train.hours),
        ("train.steps_per_epoch", train.steps_per_epoch),
        ("train.batch", train.batch),
        ("train.threads", train.threads),
        ("validation.every", recipe.validation.every),
        ("validation.cases", recipe.validation.cases),
    ):
        if value is not None and value <= 0:
            yield f"{name} is {value}; it must be positive"
    for name, value in (
        ("augmentation.rotate_degrees", augment.rotate_degrees),
        ("augmentation.noise_std", augment.noise_std),
        ("optimiser.weight_decay", optimiser.weight_decay),
        ("optimiser.warmup_steps", optimiser.warmup_steps),
        ("optimiser.poly_power", optimiser.poly_power),
        ("train.workers", train.workers),
    ):
        if value < 0:
            yield f"{name} is {value}; it must be 0 or more"
    if not 0 <= data.foreground <= 1:
        yield f"data.foreground is {data.foreground}; it must lie between 0 and 1"
    for name, value in (
        ("optimiser.momentum", optimiser.momentum),
        ("train.ema", train.ema),
        ("validation.overlap", recipe.validation.overlap),
    ):
        if not 0 <= value < 1:
            yield f"{name} is {value}; it must be at least 0 and less than 1"
    if optimiser.kind == "sgd" and optimiser.momentum == 0:
        yield "optimiser.momentum is 0; Nesterov's method needs a positive one"


def _normalisation_problems(choice: NormalisationChoice) -> Iterator[str]:
    path = "data.normalisation"
    if choice.kind == "window" and choice.window is None:
        yield f"{path}.window is missing; kind window needs [low, high]"
    for name, pair, owner in (("window", choice.window, "window"), ("percentiles", choice.percentiles, "percentile")):
        if pair is None:
            continue
        if choice.kind != owner:
            yield f"{path}.{name} is given, but kind is {choice.kind!r}; it belongs to kind {owner!r}"
        elif pair[0] >= pair[1]:
            yield f"{path}.{name} is {list(pair)}; the first value must be the smaller"
        elif name == "percentiles" and not 0 <= pair[0] < pair[1] <= 100:
            yield f"{path}.{name} is {list(pair)}; percentiles lie between 0 and 100"
    if choice.kind == "auto" and choice.region != "all":
        yield f"{path}.region is {choice.region!r}, but kind 'auto' chooses the region itself; name a kind"
