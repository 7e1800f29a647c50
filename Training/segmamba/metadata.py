"""What a model package says about itself: the dataclasses behind ``configs/metadata.json``.

Standard library only, so that a program without torch or numpy (3D Slicer before the packages are installed) reads
model cards.  The file keeps MONAI's usual top-level keys, for MONAI's own tools; what SegMamba runs by stands under
the key ``segmamba``.  Other top-level keys are left to MONAI and ignored; unknown keys of ours are refused.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from segmamba import reading
from segmamba.errors import UserError
from segmamba.reading import Problems, Table

__all__ = ["FORMAT", "METADATA_FILE", "Channel", "Label", "Metadata", "Normalisation"]

FORMAT = 1
METADATA_FILE = "configs/metadata.json"
SCHEMA = "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"
# MONAI wants versions of what a package was made with; these oldest supported ones stand where nothing is known.
OLDEST = {"monai": "1.4.0", "torch": "2.6.0", "numpy": "1.26.0", "segmamba": "0.1.0"}
KINDS = ("zscore", "window", "percentile", "none")
REGIONS = ("nonzero", "all")
DTYPES = ("float16", "float32", "mixed")


@dataclass(frozen=True)
class Normalisation:
    """How the intensities of one channel are brought to the network's range.

    Attributes:
        kind: ``zscore``: (x - mean) / standard deviation over the region; ``window``: clip to ``window`` and scale
            to [0, 1]; ``percentile``: clip to ``percentiles`` of the region, then zscore; ``none``: left as is.
        region: voxels that the statistics are taken over, ``nonzero`` or ``all``.
        window: (low, high) in the image's own units; only with ``window``.
        percentiles: (low, high), 0 to 100; only with ``percentile``.
    """

    kind: str = "zscore"
    region: str = "all"
    window: tuple[float, float] | None = None
    percentiles: tuple[float, float] | None = None

    @classmethod
    def from_dict(cls, data: Any, path: str = "normalisation", file: str = METADATA_FILE) -> Normalisation:
        """Reads it from JSON values; UserError names ``file`` and every wrong field below ``path``."""
        return reading.read(cls._read, data, path, file)

    @classmethod
    def _read(cls, data: Any, path: str, problems: Problems) -> Normalisation:
        table = Table(data, path, problems, [f.name for f in fields(cls)])
        kind = table.take("kind", reading.one_of(KINDS))
        window = table.take("window", reading.interval(), None)
        percentiles = table.take("percentiles", reading.interval(0, 100), None)
        for key, value, owner in (("window", window, "window"), ("percentiles", percentiles, "percentile")):
            if kind == owner and table.data.get(key) is None:
                problems.add(table.at(key), f"is missing, kind {owner!r} needs it as [low, high]")
            elif kind not in (owner, None) and value is not None:
                problems.add(table.at(key), f"is given, but belongs to kind {owner!r} and kind is {kind!r}")
        return cls(kind, table.take("region", reading.one_of(REGIONS), "all"), window, percentiles)

    def to_dict(self) -> dict[str, Any]:
        """JSON values that ``from_dict`` reads back to an equal object."""
        return {
            "kind": self.kind,
            "region": self.region,
            "window": None if self.window is None else list(self.window),
            "percentiles": None if self.percentiles is None else list(self.percentiles),
        }


@dataclass(frozen=True)
class Channel:
    """One input image of a case: its name (``T2w``), its modality (``MR``, ``CT``) and its normalisation."""

    name: str
    modality: str
    normalisation: Normalisation = field(default_factory=Normalisation)

    @classmethod
    def from_dict(cls, data: Any, path: str = "channel", file: str = METADATA_FILE) -> Channel:
        """Reads it from JSON values; UserError names ``file`` and every wrong field below ``path``."""
        return reading.read(cls._read, data, path, file)

    @classmethod
    def _read(cls, data: Any, path: str, problems: Problems) -> Channel:
        table = Table(data, path, problems, [f.name for f in fields(cls)])
        return cls(
            table.take("name", reading.text),
            table.take("modality", reading.text),
            table.nested("normalisation", Normalisation._read),
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON values that ``from_dict`` reads back to an equal object."""
        return {"name": self.name, "modality": self.modality, "normalisation": self.normalisation.to_dict()}


@dataclass(frozen=True)
class Label:
    """One structure that the model finds.

    Attributes:
        value: its value in the label map, 1 to 65535.
        name: its name, unique in the model.
        colour: (red, green, blue), 0 to 255.
        members: label values of the training data that make up this label or region; ``(value,)`` when left empty.
        terminology: coded names of the structure (category, type, ...) as JSON values, or None.
    """

    value: int
    name: str
    colour: tuple[int, int, int]
    members: tuple[int, ...] = ()
    terminology: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "members", tuple(self.members or (self.value,)))
        object.__setattr__(self, "terminology", reading.plain(self.terminology))

    @classmethod
    def from_dict(cls, data: Any, path: str = "label", file: str = METADATA_FILE) -> Label:
        """Reads it from JSON values; UserError names ``file`` and every wrong field below ``path``."""
        return reading.read(cls._read, data, path, file)

    @classmethod
    def _read(cls, data: Any, path: str, problems: Problems) -> Label:
        table = Table(data, path, problems, [f.name for f in fields(cls)])
        return cls(
            table.take("value", reading.integer(1, 65535)),
            table.take("name", reading.text),
            table.take("colour", reading.integers(0, 255, length=3)),
            table.take("members", reading.integers(1, 65535, unique=True), ()) or (),
            table.take("terminology", reading.json_object, None),
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON values that ``from_dict`` reads back to an equal object."""
        return {
            "value": self.value,
            "name": self.name,
            "colour": list(self.colour),
            "members": list(self.members),
            "terminology": reading.plain(self.terminology),
        }


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """The whole description of a model: what goes in, what comes out, how it was trained and measured.

    Attributes:
        name: name in the catalogue: letters, digits, ``-``, ``_``, ``.``; no leading dot.
        version, description: of the model, for people.
        network: name for ``segmamba.networks.build``; ``options``: its options, JSON values.
        channels: input images in their order, at least one.
        labels: structures in painting order (a later one overwrites an earlier one), at least one.
        regions: False: the network gives 1 + len(labels) channels, softmax, channel 0 is the background and channel
            n is ``labels[n - 1]``.  True: len(labels) channels, each sigmoid > 0.5, which may overlap.
        spacing: mm along (i, j, k) that images are resampled to; None: each image's own.
        orientation: axes that the network sees, e.g. ``LPS`` (axes increase towards left, posterior, superior).
        patch: voxels along (i, j, k) that the network sees at once.
        field_of_view: (smallest, largest) extent in mm of images that the model is meant for, or None.
        postprocessing, training, scores: JSON values.  ``training`` holds data, licence, cases, recipe, split_hash,
            versions, date and ``mirror_axes`` (i, j, k or 0 to 2); ``scores`` holds ``mean_dice`` or ``dice``
            {label name: Dice} and ``how`` they were measured.
        licence, attribution: of the weights; ``authors``, ``copyright``: MONAI's keys of these names.
        weights: ``file`` (``models/....safetensors``), ``sha256``, ``dtype``; ``write_bundle`` fills it in.
    """

    name: str
    version: str
    description: str
    network: str
    options: dict[str, Any] = field(default_factory=dict)
    channels: tuple[Channel, ...]
    labels: tuple[Label, ...]
    regions: bool = False
    spacing: tuple[float, float, float] | None = None
    orientation: str = "LPS"
    patch: tuple[int, int, int]
    field_of_view: tuple[float, float] | None = None
    postprocessing: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    scores: dict[str, Any] = field(default_factory=dict)
    licence: str = ""
    attribution: str = ""
    authors: str = ""
    copyright: str = ""
    weights: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for key in ("channels", "labels", "patch"):
            object.__setattr__(self, key, tuple(getattr(self, key)))
        for key in ("options", "postprocessing", "training", "scores", "weights"):
            object.__setattr__(self, key, reading.plain(getattr(self, key)))

    @property
    def output_channels(self) -> int:
        """Number of channels that the network gives."""
        return len(self.labels) + (0 if self.regions else 1)

    @property
    def names(self) -> dict[int, str]:
        """Name of each label by its value, in painting order."""
        return {label.value: label.name for label in self.labels}

    @property
    def spacing_text(self) -> str:
        """The spacing for people."""
        return "each image's own" if self.spacing is None else " x ".join(f"{v:g}" for v in self.spacing) + " mm"

    @property
    def mean_dice(self) -> float | None:
        """``scores["mean_dice"]``, else the mean of ``scores["dice"]`` over the labels, else None."""
        mean = self.scores.get("mean_dice")
        if reading.is_number(mean):
            return float(mean)
        dice = self.scores.get("dice")
        values = [v for v in dice.values() if reading.is_number(v)] if isinstance(dice, dict) else []
        return sum(values) / len(values) if values else None

    @classmethod
    def from_dict(cls, data: Any, file: str = METADATA_FILE) -> Metadata:
        """Reads the whole of ``configs/metadata.json``.

        Raises:
            UserError: names ``file`` and the path of every wrong, missing or unknown field; or says that the
                package was made by a newer version or by another program.
        """
        if not isinstance(data, dict):
            raise UserError(f"{file} holds {reading.show(data)}, not a JSON object; it is no model's metadata")
        if "segmamba" not in data:
            foreign = any(key in data for key in ("monai_version", "network_data_format", "pytorch_version"))
            what = "is of a MONAI bundle made by another program" if foreign else "is of another program"
            raise UserError(
                f"{file} {what} (it has no key 'segmamba'); only packages exported by segmamba are run, and "
                "nothing of a foreign package is executed"
            )
        made = data["segmamba"].get("format") if isinstance(data["segmamba"], dict) else None
        if isinstance(made, int) and made > FORMAT:
            raise UserError(
                f"{file} was made by a newer version of segmamba (package format {made}, this version reads up to "
                f"{FORMAT}); update segmamba to use this model"
            )
        return reading.read(cls._read, data, "", file)

    @classmethod
    def _read(cls, data: Any, path: str, problems: Problems) -> Metadata:
        top = Table(data, path, problems)
        own = Table(data["segmamba"], "segmamba", problems, ["format", *OWN_KEYS])
        own.take("format", reading.integer(1, FORMAT))
        labels = own.nested_list("labels", Label._read)
        metadata = {
            "name": top.take("name", reading.model_name),
            "version": top.take("version", reading.text),
            "description": top.take("description", reading.any_text),
            "authors": top.take("authors", reading.any_text, ""),
            "copyright": top.take("copyright", reading.any_text, ""),
            "network": own.take("network", reading.text),
            "channels": own.nested_list("channels", Channel._read),
            "labels": labels,
            "regions": own.take("regions", reading.flag, False),
            "spacing": own.take("spacing", reading.positive_numbers(3), None),
            "orientation": own.take("orientation", reading.orientation, "LPS"),
            "patch": own.take("patch", reading.integers(1, 65535, length=3)) or (),
            "field_of_view": own.take("field_of_view", reading.interval(0, low_open=True, same=True), None),
            "licence": own.take("licence", reading.any_text, ""),
            "attribution": own.take("attribution", reading.any_text, ""),
            "weights": own.nested("weights", _read_weights, {}),
        }
        for key in ("options", "postprocessing", "training", "scores"):
            metadata[key] = own.take(key, reading.json_object, {})
        # Of these objects, the values that the program itself reads.
        training = Table(metadata["training"] or {}, own.at("training"), problems)
        training.take("mirror_axes", reading.image_axes, None)
        scores = Table(metadata["scores"] or {}, own.at("scores"), problems)
        scores.take("dice", reading.named_numbers, {})
        scores.take("mean_dice", reading.number, None)
        scores.take("how", reading.any_text, "")
        _check_labels(labels, bool(metadata["regions"]), problems)
        return cls(**metadata)

    def to_dict(self) -> dict[str, Any]:
        """The whole of ``configs/metadata.json``; ``from_dict`` reads it back to an equal object."""
        made_with = self.training.get("versions")
        made_with = {**OLDEST, **(made_with if isinstance(made_with, dict) else {})}
        # As MONAI writes them: without the local part ("2.5.1+cu121").
        made_with = {package: str(version).split("+")[0] for package, version in made_with.items()}
        own: dict[str, Any] = {"format": FORMAT}
        for key in OWN_KEYS:
            value = getattr(self, key)
            own[key] = [v.to_dict() for v in value] if key in ("channels", "labels") else reading.plain(value)
        return {
            "schema": SCHEMA,
            "version": self.version,
            "changelog": {self.version: "written by segmamba"},
            "monai_version": made_with["monai"],
            "pytorch_version": made_with["torch"],
            "numpy_version": made_with["numpy"],
            "required_packages_version": {"segmamba": made_with["segmamba"]},
            "name": self.name,
            "task": "Segmentation of " + ", ".join(label.name for label in self.labels),
            "description": self.description,
            "authors": self.authors,
            "copyright": self.copyright,
            "network_data_format": _network_data_format(self),
            "segmamba": own,
        }


_TOP_KEYS = ("name", "version", "description", "authors", "copyright")
OWN_KEYS = tuple(f.name for f in fields(Metadata) if f.name not in _TOP_KEYS)


def _read_weights(data: Any, path: str, problems: Problems) -> dict[str, str]:
    if data == {}:  # before write_bundle has filled it in
        return {}
    table = Table(data, path, problems, ["file", "sha256", "dtype"])
    return {
        "file": table.take("file", reading.weights_file),
        "sha256": table.take("sha256", reading.sha256),
        "dtype": table.take("dtype", reading.one_of(DTYPES), "float32"),
    }


def _check_labels(labels: tuple[Label, ...], regions: bool, problems: Problems) -> None:
    """Labels are told apart by value and name; without regions no training value belongs to two of them."""
    values: dict[Any, int] = {}
    names: dict[Any, int] = {}
    owners: dict[Any, int] = {}
    for index, label in enumerate(labels):
        for key, value, seen in (("value", label.value, values), ("name", label.name, names)):
            first = seen.setdefault(value, index)
            if first != index and value is not None:
                path = f"segmamba.labels[{index}].{key}"
                problems.add(path, f"is {value!r}, the same as segmamba.labels[{first}].{key}")
        for member in label.members if not regions else ():
            first = owners.setdefault(member, index)
            if first != index and label.value != labels[first].value and member is not None:
                path = f"segmamba.labels[{index}].members"
                problems.add(path, f"holds {member}, which segmamba.labels[{first}] holds too")


def _network_data_format(metadata: Metadata) -> dict[str, Any]:
    """MONAI's description of the network's tensors; ``spatial_shape`` is in the tensor's order (k, j, i)."""
    modalities = list(dict.fromkeys(channel.modality for channel in metadata.channels))
    background = [] if metadata.regions else ["background"]
    outputs = background + [label.name for label in metadata.labels]
    shape = list(reversed(metadata.patch))
    return {
        "inputs": {
            "image": {
                "type": "image",
                "format": {"MR": "magnitude", "CT": "hounsfield"}.get(modalities[0], "raw"),
                "modality": ", ".join(modalities),
                "num_channels": len(metadata.channels),
                "spatial_shape": shape,
                "dtype": "float32",
                "value_range": [],
                "is_patch_data": True,
                "channel_def": {str(n): channel.name for n, channel in enumerate(metadata.channels)},
            }
        },
        "outputs": {
            "pred": {
                "type": "image",
                "format": "segmentation",
                "num_channels": metadata.output_channels,
                "spatial_shape": shape,
                "dtype": "float32",
                "value_range": [0, 1],
                "is_patch_data": True,
                "channel_def": {str(n): name for n, name in enumerate(outputs)},
            }
        },
    }
