"""The one model that stays in memory between jobs."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from segmamba import models
from segmamba.bundle import METADATA_FILE, WEIGHTS_FILE, Bundle
from segmamba.inference.devices import resolve_device, resolve_precision
from segmamba.inference.memory_ladder import free_unused
from segmamba.inference.segmenter import Segmenter

_log = logging.getLogger(__name__)


class ModelCache:
    """Keeps one model: the same on the same device is not loaded again, unless its files have changed."""

    def __init__(self) -> None:
        self._key: tuple | None = None
        self._segmenter: Segmenter | None = None
        self._bundle: Bundle | None = None

    def find(self, model: str, device: str, precision: str) -> tuple[tuple, bool]:
        """Looks a model up.

        Returns:
            What identifies it as it is now on its device, and whether it is in memory.

        Raises:
            UserError: There is no such model, device or precision.
        """
        target = resolve_device(device)
        resolve_precision(precision, target)
        bundle = models.find(model)
        key = (str(bundle.path.resolve()), str(target), bundle.metadata, _state(bundle))
        return key, key == self._key

    def get(self, model: str, device: str, precision: str) -> tuple[Segmenter, dict[str, str]]:
        """The model ready to segment, and what is told of it.

        Raises:
            UserError: There is no such model, device or precision, or the weights are damaged.
        """
        key, here = self.find(model, device, precision)
        if not here:
            self.free()  # before another is loaded: two may not fit
            self._segmenter = Segmenter(key[0], device=device, precision=precision)
            self._bundle = Bundle(key[0])
            self._key = key
            _log.info("model %s is loaded on %s", self._bundle.metadata.name, key[1])
        # The weights are the same in every precision: it is a matter of the computation alone.
        self._segmenter.precision = resolve_precision(precision, self._segmenter.device)
        metadata = self._bundle.metadata
        return self._segmenter, {
            "name": metadata.name,
            "version": metadata.version,
            "sha256": self._bundle.weights_sha256,
            "path": str(self._bundle.path),
            "network": metadata.network,
        }

    def free(self) -> None:
        """Gives the model's memory back, on a card, too."""
        if self._segmenter is not None:
            self._key = self._segmenter = self._bundle = None
            free_unused()


def _state(bundle: Bundle) -> tuple:
    """Size and time of the files that a model is made of: quick, where hashing would read all of them."""
    if bundle.path.is_dir():
        weights = bundle.metadata.weights.get("file", WEIGHTS_FILE)
        files = [bundle.path / METADATA_FILE, bundle.path / weights]
    else:
        files = [bundle.path]
    return tuple(_stamp(file) for file in files)


def _stamp(file: Path) -> tuple[int, ...] | None:
    try:
        found = os.stat(file)
    except OSError:  # loading tells what is missing
        return None
    return found.st_size, found.st_mtime_ns, found.st_ino
