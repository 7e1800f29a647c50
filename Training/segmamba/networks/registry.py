"""Names of the networks and the one function that builds them."""

import importlib
import inspect

from torch import nn

from segmamba.errors import UserError
from segmamba.network_names import NAMES

# The class of each name, in the module of that name.
_CLASSES = dict(zip(NAMES, ("SegMamba", "SegMambaV1", "SegResMamba", "LightMUNet"), strict=True))


def names() -> tuple[str, ...]:
    """The names that :func:`build` knows."""
    return NAMES


def build(name: str, in_channels: int, out_channels: int, **options) -> nn.Module:
    """Builds a network with freshly initialised weights.

    Args:
        name: One of :func:`names`.
        in_channels: Number of image channels, at least 1.
        out_channels: Number of output maps (classes including background, or regions), at least 1.
        **options: Keyword arguments of the network's class, such as ``init_filters`` or ``depths``.

    Returns:
        A module that takes (B, in_channels, D, H, W) of any size and returns (B, out_channels, D, H, W).

    Raises:
        UserError: For an unknown name, an unknown option or a value that the network refuses.
    """
    if name not in _CLASSES:
        raise UserError(f"network is {name!r}; allowed are {', '.join(NAMES)}")
    network = getattr(importlib.import_module(f"segmamba.networks.{name}"), _CLASSES[name])
    allowed = [key for key in inspect.signature(network).parameters if key not in ("in_channels", "out_channels")]
    unknown = sorted(set(options) - set(allowed))
    if unknown:
        raise UserError(
            f"network {name} has no option {', '.join(map(repr, unknown))}; its options are {', '.join(allowed)}"
        )
    try:
        return network(in_channels=in_channels, out_channels=out_channels, **options)
    except (ValueError, TypeError) as error:
        raise UserError(f"network {name} cannot be built: {error}") from error
