"""The recipe: every choice of a training run, frozen, each default with its reason."""

import json
import types
import typing
from pathlib import Path
from typing import Literal

import msgspec

from segmamba.errors import UserError

Axis = Literal["i", "j", "k"]


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
    brightness_probability: float = 0.15
    brightness_range: tuple[float, float] = (0.75, 1.25)
    gamma_probability: float = 0.3
    gamma_range: tuple[float, float] = (0.7, 1.5)
    noise_probability: float = 0.1
    noise_std: float = 0.1
    # None: every axis, without those whose mirror would exchange labels (left/right, anterior/posterior, ...).
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
    hours: float | None = None  # measured with real steps at the start, then frozen as epochs
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
        source: A JSON file; None gives the defaults.
        network: Name that replaces ``network.name``.
        changes: Texts such as ``train.epochs=20`` or ``data.patch=[64,64,64]``; a value is JSON, or else a string.

    Raises:
        UserError: Naming the file or option, the path of the key and every problem found.
    """
    values: dict = {}
    where = "recipe"
    if source is not None:
        path, where = Path(source), f"recipe {source}"
        if not path.is_file():
            raise UserError(f"{where}: no such file; --recipe takes a JSON file")
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except (ValueError, UnicodeDecodeError) as error:
            raise UserError(f"{where} is not valid JSON: {error}") from error
        if not isinstance(values, dict):
            raise UserError(f"{where} must hold a JSON object")
    if network is not None:
        _assign(values, ["network", "name"], network, "--network")
    for change in changes or []:
        key, sign, text = change.partition("=")
        if not sign or not key:
            raise UserError(f"--set {change!r}: write it as key=value, such as train.epochs=20")
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        _assign(values, key.split("."), value, f"--set {change}")
    return from_dict(values, where)


def from_dict(values: dict, where: str = "recipe") -> Recipe:
    """A checked recipe from plain values; UserError names the path of a bad key."""
    unknown = list(_unknown_keys(values, Recipe, ""))
    if unknown:
        raise UserError(f"{where}: unknown key {', '.join(unknown)}")
    try:
        recipe = msgspec.convert(values, Recipe)
    except msgspec.ValidationError as error:
        raise UserError(f"{where}: {_readable(str(error))}") from error
    problems = list(_problems(recipe))
    if problems:
        raise UserError(f"{where}: " + "; ".join(problems))
    return recipe


def to_dict(recipe: Recipe) -> dict:
    """Plain values that ``from_dict`` takes back."""
    return msgspec.to_builtins(recipe)


def _assign(values: dict, path: list[str], value, where: str) -> None:
    inner = values
    for key in path[:-1]:
        inner = inner.setdefault(key, {})
        if not isinstance(inner, dict):
            raise UserError(f"{where}: {key} is not a group of keys")
    inner[path[-1]] = value


def _unknown_keys(values, struct: type, prefix: str):
    """Every unknown key at once: msgspec alone would stop at the first."""
    if not isinstance(values, dict):
        return
    fields = {field.name: field.type for field in msgspec.structs.fields(struct)}
    for key, value in values.items():
        if key not in fields:
            yield f"{prefix}{key} (allowed: {', '.join(fields)})"
            continue
        for kind in typing.get_args(fields[key]) if _is_union(fields[key]) else (fields[key],):
            if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
                yield from _unknown_keys(value, kind, f"{prefix}{key}.")


def _is_union(kind) -> bool:
    return typing.get_origin(kind) in (typing.Union, types.UnionType)


def _readable(message: str) -> str:
    """msgspec's "... - at `$.train.epochs`" with the path in front."""
    text, sign, place = message.partition(" - at `$.")
    return f"{place.rstrip('`')}: {text[:1].lower()}{text[1:]}" if sign else message


def _problems(recipe: Recipe):
    """What types cannot say."""
    data, augment, optimiser, train = recipe.data, recipe.augmentation, recipe.optimiser, recipe.train
    if data.patch is not None and min(data.patch) < 8:
        yield f"data.patch is {list(data.patch)}; every size must be at least 8"
    if data.spacing is not None and min(data.spacing) <= 0:
        yield f"data.spacing is {list(data.spacing)}; every value must be positive"
    letters = {"R": 0, "L": 0, "A": 1, "P": 1, "S": 2, "I": 2}
    if sorted(letters.get(c, -1) for c in data.orientation) != [0, 1, 2]:
        yield f"data.orientation is {data.orientation!r}; three letters such as LPS or RAS are needed"
    normalisation = data.normalisation
    if normalisation.kind == "window" and normalisation.window is None:
        yield "data.normalisation.window is missing; kind window needs [low, high]"
    for name, pair in (("window", normalisation.window), ("percentiles", normalisation.percentiles)):
        if pair is not None and pair[0] >= pair[1]:
            yield f"data.normalisation.{name} is {list(pair)}; the first value must be the smaller"
    if not 0 <= data.foreground <= 1:
        yield f"data.foreground is {data.foreground}; it must lie between 0 and 1"
    for name in ("rotate", "scale", "brightness", "gamma", "noise"):
        value = getattr(augment, f"{name}_probability")
        if not 0 <= value <= 1:
            yield f"augmentation.{name}_probability is {value}; it must lie between 0 and 1"
    for name in ("scale_range", "brightness_range", "gamma_range"):
        low, high = getattr(augment, name)
        if not 0 < low <= high:
            yield f"augmentation.{name} is {[low, high]}; two positive values, the smaller first, are needed"
    if optimiser.lr <= 0:
        yield f"optimiser.lr is {optimiser.lr}; it must be positive"
    for name, value in (
        ("epochs", train.epochs),
        ("hours", train.hours),
        ("steps_per_epoch", train.steps_per_epoch),
        ("batch", train.batch),
        ("threads", train.threads),
    ):
        if value is not None and value <= 0:
            yield f"train.{name} is {value}; it must be positive"
    if train.workers < 0:
        yield f"train.workers is {train.workers}; it must be 0 or more"
    if not 0 <= train.ema < 1:
        yield f"train.ema is {train.ema}; it must lie in [0, 1)"
    if recipe.validation.every < 1:
        yield f"validation.every is {recipe.validation.every}; it must be at least 1"
    if not 0 <= recipe.validation.overlap < 1:
        yield f"validation.overlap is {recipe.validation.overlap}; it must lie in [0, 1)"
