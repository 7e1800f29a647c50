"""The networks: ``build`` makes one by name, ``names`` lists them, ``from_published`` takes published weights."""

from segmamba.networks.published import from_published
from segmamba.networks.registry import build, names

__all__ = ["build", "from_published", "names"]
