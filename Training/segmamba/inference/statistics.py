"""A table of what was found: voxels and millilitres of every label."""

from __future__ import annotations

import csv
from dataclasses import asdict, dataclass
from pathlib import Path

from segmamba.atomic import replacing
from segmamba.errors import UserError
from segmamba.inference.segmentation import Segmentation


@dataclass(frozen=True)
class Row:
    """One label; of a model with regions the whole region, with what later ones paint over.

    Attributes:
        name, value: As in the label map.
        voxels: Their number.
        millilitres: Their volume.
        percent: Of the image's voxels.
    """

    name: str
    value: int
    voxels: int
    millilitres: float
    percent: float


def table(segmentation: Segmentation) -> list[Row]:
    """A row for each label, in the model's order; labels that were not found have zeros."""
    total = segmentation.labels.GetNumberOfPixels()
    return [
        Row(
            name,
            value,
            segmentation.voxels[name],
            segmentation.volumes_ml[name],
            100 * segmentation.voxels[name] / total,
        )
        for value, name in segmentation.names.items()
    ]


def write_statistics(segmentation: Segmentation, path: str | Path) -> None:
    """Writes the table as CSV (UTF-8, comma, decimal point), whole or not at all.

    Raises:
        UserError: The file cannot be written.
    """
    try:
        with replacing(path, ".csv") as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(Row.__dataclass_fields__)
            for row in table(segmentation):
                values = asdict(row) | {"millilitres": f"{row.millilitres:.4f}", "percent": f"{row.percent:.4f}"}
                writer.writerow(values.values())
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}") from error
