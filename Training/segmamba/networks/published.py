"""From a published state dict to our network: whose it is, its sizes, its weights."""

import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from segmamba.errors import UserError
from segmamba.networks.registry import build
from segmamba.networks.segresmamba import is_dead

# Under these keys training programs put the weights; nnU-Net's is the first.
_WRAPPERS = ("network_weights", "module", "state_dict", "model_state_dict", "model")


@dataclass
class Report:
    """What was recognised.

    Attributes:
        network: Name for :func:`segmamba.networks.build`.
        in_channels, out_channels, options: Its sizes, read off the shapes.
        unused: Keys of the state dict that the network has no place for; ``dead`` are those of them that the
            published network itself never computes with.
        missing: Keys of the network that the state dict lacks; they keep their initial values.
    """

    network: str
    in_channels: int
    out_channels: int
    options: dict[str, Any]
    unused: list[str] = field(default_factory=list)
    dead: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        sizes = ", ".join(f"{key}={value}" for key, value in self.options.items())
        return (
            f"{self.network} with {self.in_channels} channels and {self.out_channels} outputs ({sizes}); "
            f"{len(self.missing)} keys missing, {len(self.unused)} unused, {len(self.dead)} of no effect"
        )


def from_published(state_dict: Mapping[str, Any], **options) -> tuple[nn.Module, Report]:
    """Builds the network that a published state dict belongs to and loads it.

    Args:
        state_dict: Tensors by key: raw, wrapped as training programs do (``{"module": ...}``,
            ``{"network_weights": ...}``), or with a leading ``module.``.
        **options: Options that no shape tells, such as ``call_mamba=True`` for SegResMamba.

    Returns:
        The network in eval mode, and the report.

    Raises:
        UserError: Where the state dict is of none of our networks, or its shapes contradict each other.
    """
    weights = unwrap(state_dict)
    report = recognise(weights)
    report.options.update(options)
    network = build(report.network, report.in_channels, report.out_channels, **report.options)
    ours = network.state_dict()
    wrong = [key for key in ours if key in weights and weights[key].shape != ours[key].shape]
    if wrong:
        key = wrong[0]
        raise UserError(
            f"the state dict looks like {report.network}, but {key} has shape {tuple(weights[key].shape)} where "
            f"{tuple(ours[key].shape)} is needed; it was changed, or is of another network"
        )
    extra = [key for key in weights if key not in ours]
    called = bool(report.options.get("call_mamba"))
    if report.network == "segresmamba":
        report.dead = [key for key in extra if is_dead(key, called)]
    report.unused = [key for key in extra if key not in set(report.dead)]
    report.missing = [key for key in ours if key not in weights]
    network.load_state_dict({key: value for key, value in weights.items() if key in ours}, strict=False)
    return network.eval(), report


def unwrap(content: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors of a state dict, out of the wrappers of training programs and without a leading ``module.``."""
    while isinstance(content, Mapping) and not _holds_tensors(content):
        inner = next((content[key] for key in _WRAPPERS if isinstance(content.get(key), Mapping)), None)
        if inner is None:
            keys = ", ".join(map(str, list(content)[:5])) or "none"
            raise UserError(f"the file holds no weights; its keys are {keys}, not one of {', '.join(_WRAPPERS)}")
        content = inner
    weights = {str(key): value for key, value in content.items() if isinstance(value, Tensor)}
    if all(key.startswith("module.") for key in weights):
        weights = {key.removeprefix("module."): value for key, value in weights.items()}
    return weights


def _holds_tensors(content: Mapping[str, Any]) -> bool:
    return any(isinstance(value, Tensor) for value in content.values())


def recognise(weights: Mapping[str, Tensor]) -> Report:
    """Network, channels and sizes of a state dict, by its keys and shapes.

    Raises:
        UserError: Where it is of none of our networks.
    """
    for test, read in (
        (lambda key: key.startswith("mamba_encoder."), _segmamba_v1),
        (lambda key: key.startswith("segresnet."), _segresmamba),
        (lambda key: key.startswith("vit.gscs.") and ".proj2." in key, _segmamba),
        (lambda key: key.startswith("down_layers.") and ".mamba." in key, _lightmunet),
    ):
        if any(test(key) for key in weights):
            try:
                return read(weights)
            except KeyError as error:
                raise UserError(f"the state dict is not whole: {error.args[0]} is missing") from error
    first = ", ".join(list(weights)[:3])
    raise UserError(
        f"the state dict (beginning with {first}) is none of segmamba, segmamba_v1, segresmamba, lightmunet"
    )


def _numbers(weights: Mapping[str, Tensor], prefix: str) -> list[int]:
    """The different numbers that follow a prefix in the keys, in order."""
    found = {key[len(prefix) :].partition(".")[0] for key in weights if key.startswith(prefix)}
    return sorted(int(text) for text in found if text.isdigit())


def _encoder(weights: Mapping[str, Tensor], prefix: str) -> tuple[int, list[int], list[int]]:
    """Channels, widths and depths of the encoders that the SegMambas share."""
    widths = []
    for stage in _numbers(weights, f"{prefix}downsample_layers."):
        last = max(
            n
            for n in _numbers(weights, f"{prefix}downsample_layers.{stage}.")
            if weights[f"{prefix}downsample_layers.{stage}.{n}.weight"].ndim == 5
        )
        widths.append(weights[f"{prefix}downsample_layers.{stage}.{last}.weight"].shape[0])
    depths = [len(_numbers(weights, f"{prefix}stages.{stage}.")) for stage in range(len(widths))]
    # The decoder's first convolution is always dense; the encoder's stem may be depthwise.
    first = weights.get("encoder1.layer.conv1.conv.weight", weights[f"{prefix}downsample_layers.0.0.weight"])
    return first.shape[1], widths, depths


def _segmamba(weights: Mapping[str, Tensor]) -> Report:
    channels, widths, depths = _encoder(weights, "vit.")
    hidden = weights["encoder5.layer.conv2.conv.weight"].shape[0]
    options = {"depths": depths, "feat_size": widths, "hidden_size": hidden}
    return Report("segmamba", channels, weights["out.conv.conv.weight"].shape[0], options)


def _segmamba_v1(weights: Mapping[str, Tensor]) -> Report:
    channels, widths, depths = _encoder(weights, "mamba_encoder.")
    hidden = weights["encoder5.layer.conv2.conv.weight"].shape[0]
    paper = "mamba_encoder.stages.0.0.mlp.fc1.weight" in weights
    options = {"depths": depths, "feat_size": widths, "hidden_size": hidden}
    options["variant"] = "paper" if paper else "published"
    return Report("segmamba_v1", channels, weights["out.conv.conv.weight"].shape[0], options)


def _segresmamba(weights: Mapping[str, Tensor]) -> Report:
    channels, widths, _ = _encoder(weights, "vit.")
    paper = "vit.stages.0.0.norm.weight" in weights
    options = {"feat_size": widths, "variant": "paper" if paper else "published"}
    return Report("segresmamba", channels, weights["out.weight"].shape[1], options)


def _lightmunet(weights: Mapping[str, Tensor]) -> Report:
    stem = weights["convInit.1.conv.weight"]
    levels = _numbers(weights, "down_layers.")
    down = [sum(n > 0 for n in _numbers(weights, f"down_layers.{level}.")) for level in levels]
    up = [len(_numbers(weights, f"up_layers.{level}.")) for level in _numbers(weights, "up_layers.")]
    options = {"init_filters": stem.shape[0], "blocks_down": down, "blocks_up": up, "spatial_dims": stem.ndim - 2}
    return Report("lightmunet", stem.shape[1], weights["conv_final.2.1.conv.weight"].shape[0], options)


def read_checkpoint(path: str) -> dict[str, Any]:
    """The content of a file of weights (safetensors, or torch's own format) without executing anything in it.

    NumPy scalars, which nnU-Net's trainers save beside the weights, are allowed; any other object is refused.

    Raises:
        UserError: Where the file is missing, damaged, or holds objects that would have to be executed.
    """
    if not Path(path).is_file():
        raise UserError(f"{path} does not exist; name a file of published weights")
    if str(path).endswith(".safetensors"):
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            raise UserError(f"{path} is no whole safetensors file ({error})") from error
    scalars = [np.dtype, np.dtypes.Float64DType, np.dtypes.Float32DType, np.dtypes.Int64DType]
    core = getattr(np, "_core", None) or np.core
    allowed = [core.multiarray.scalar, *scalars]
    if hasattr(torch.serialization, "add_safe_globals"):
        # Files written by older NumPy name the same function by its old place.
        allowed.append((core.multiarray.scalar, "numpy.core.multiarray.scalar"))
    try:
        with torch.serialization.safe_globals(allowed):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{path} holds objects that would have to be executed to be read, or is damaged; save its weights alone "
            "(torch.save(network.state_dict(), FILE)) and import that"
        ) from error
    except (RuntimeError, OSError, EOFError, ValueError, KeyError) as error:
        raise UserError(f"{path} cannot be read as a file of weights; it is damaged or of another kind") from error
    if not isinstance(content, Mapping):
        raise UserError(f"{path} holds a {type(content).__name__}, not weights by name")
    return dict(content)
