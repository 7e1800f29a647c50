"""Names of the networks and the one function that builds them."""

import importlib
import inspect

from torch import nn

from segmamba.errors import UserError

_NETWORKS = {
    "segmamba": ("segmamba.networks.segmamba", "SegMamba"),
    "segmamba_v1": ("segmamba.networks.segmamba_v1", "SegMambaV1"),
    "segresmamba": ("segmamba.networks.segresmamba", "SegResMamba"),
    "lightmunet": ("segmamba.networks.lightmunet", "LightMUNet"),
}


def names() -> tuple[str, ...]:
    """The names that :func:`build` knows."""
    return tuple(_NETWORKS)


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
    if name not in _NETWORKS:
        raise UserError(f"network is {name!r}; allowed are {', '.join(_NETWORKS)}")
    module, class_name = _NETWORKS[name]
    network = getattr(importlib.import_module(module), class_name)
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
