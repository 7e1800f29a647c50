"""The networks: ``build`` makes one by name, ``names`` lists them."""

from segmamba.networks.registry import build, names

__all__ = ["build", "names"]
