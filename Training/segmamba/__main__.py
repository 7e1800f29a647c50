"""``python -m segmamba`` is the command ``segmamba``."""

from segmamba.cli import entry

entry()
