"""What segmenting a case gives: the mask on the first image's grid and what is known about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from segmamba import images as files
from segmamba.errors import UserError
from segmamba.metadata import Metadata


@dataclass
class Segmentation:
    """The result of one case.

    Attributes:
        labels: Label map, 8 or 16 bits unsigned, on the first image's own grid.
        names: Name of each label by its value, in painting order.
        volumes_ml: Volume of each label by its name, in millilitres; of a model with regions each whole region, with
            what later ones paint over.
        seconds: Wall time of reading, preparing, computing and going back.
        backend: Scan backend of the device that computed it.
        warnings: What the user should know, one sentence each.
        metadata: Of the model.
        voxels: Number of voxels of each label by its name, counted as for ``volumes_ml``.
        regions: (D, H, W) bitmask, bit r set where ``metadata.labels[r]`` is present; None without regions.
        probabilities: (classes, D, H, W) float32 on the first image's grid if asked for; class 0 is the background
            of a model without regions.
        uncertainty: Normalised entropy in [0, 1], float32, on the first image's grid if asked for.
        image: The first image on its own grid if asked for; values that were no numbers are replaced.
        device: Where it was computed: another than asked for where that had not enough memory.
        precision: ``fp32``, ``bf16`` or ``fp16``, likewise.
        window_batch: Windows in one call of the network, likewise.
        windows: Windows that the network ran on.
        compute_seconds: Time in the network for all of them.
    """

    labels: sitk.Image
    names: dict[int, str]
    volumes_ml: dict[str, float]
    seconds: float
    backend: str
    warnings: list[str]
    metadata: Metadata
    voxels: dict[str, int] = field(default_factory=dict)
    regions: np.ndarray | None = None
    probabilities: np.ndarray | None = None
    uncertainty: sitk.Image | None = None
    image: sitk.Image | None = None
    device: str = ""
    precision: str = ""
    window_batch: int = 1
    windows: int = 0
    compute_seconds: float = 0.0

    def save(self, path: str | Path) -> None:
        """Writes the mask; ``.seg.nrrd`` keeps names, colours, terminology and overlapping regions.

        Raises:
            UserError: The format is unknown or the file cannot be written.
        """
        files.write_segmentation(self.labels, path, self.metadata.labels, regions=self.regions)

    def save_probabilities(self, path: str | Path) -> None:
        """Writes the probabilities as a 4-D image whose last axis is the class.

        Raises:
            UserError: They were not asked for, the format is unknown or the file cannot be written.
        """
        if self.probabilities is None:
            raise UserError(f"{path}: there are no probabilities to write; ask for them when segmenting")
        image = sitk.GetImageFromArray(self.probabilities, isVector=False)
        direction = np.eye(4)
        direction[:3, :3] = np.reshape(self.labels.GetDirection(), (3, 3))
        image.SetSpacing((*self.labels.GetSpacing(), 1.0))
        image.SetOrigin((*self.labels.GetOrigin(), 0.0))
        image.SetDirection(direction.ravel().tolist())
        files.write_image(image, path)

    def save_uncertainty(self, path: str | Path) -> None:
        """Writes the uncertainty.

        Raises:
            UserError: It was not asked for, the format is unknown or the file cannot be written.
        """
        if self.uncertainty is None:
            raise UserError(f"{path}: there is no uncertainty to write; ask for it when segmenting")
        files.write_image(self.uncertainty, path)
