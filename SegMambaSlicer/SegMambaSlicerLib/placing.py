"""A finished case into the scene: segments, table of volumes, probabilities, uncertainty, and how they were made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import slicer

from .nodes import exchange, tables, undo, volumes
from .nodes.provenance import Provenance
from .nodes.segmentation import EditedSegments, edited_segments, place_result

if TYPE_CHECKING:
    from .run import Run

__all__ = ["check_output", "place", "table_of", "take_back"]

TABLE_ROLE = "SegMamba.Volumes"


def check_output(output: Any, bundle: Any, replace_edited: bool | None) -> None:
    """Before anything is computed: whether edited segments are in the way.

    Raises:
        EditedSegments: they are, and nobody has said what shall become of them.
    """
    if replace_edited is None and (edited := edited_segments(bundle.metadata, output)):
        raise EditedSegments(output, edited)


def place(run: Run, output: Any) -> None:
    """Makes the nodes of a run whose job is done; its files are there until this returns.

    Segments that were edited while the case was computed stay: nobody could be asked about them.

    Args:
        run: gets the nodes.
        output: segmentation to use; None, or one that is no longer in the scene: a new one.
    """
    done, metadata, reference = run.result, run.bundle.metadata, run.volumes[0]
    if output is not None and output.GetScene() is None:
        output = None
    settings = {**run.options.asked(), "roi": None if run.roi is None else run.roi.GetName()}
    provenance = Provenance.of_job(done, settings, [volume.GetName() for volume in run.volumes])
    result = exchange.Result.load(done)
    replace = bool(run.replace_edited)
    run.segmentation = place_result(result, metadata, reference, output, provenance, replace_edited=replace)
    run.table = tables.place_table(run.segmentation)
    if done.get("probabilities"):
        run.probabilities = volumes.place_probabilities(done["probabilities"], metadata, reference, provenance)
    if done.get("uncertainty"):
        run.uncertainty = volumes.place_uncertainty(done["uncertainty"], metadata, reference, provenance)


def table_of(segmentation: Any) -> Any:
    """The table of volumes that belongs to a segmentation, or None."""
    return segmentation.GetNodeReference(TABLE_ROLE)


def take_back(segmentation: Any) -> None:
    """Undoes the last result; the table of volumes follows, and goes with a node that was made for that result."""
    table = table_of(segmentation)
    undo.undo(segmentation)
    if segmentation.GetScene() is not None:
        tables.place_table(segmentation)
    elif table is not None:
        slicer.mrmlScene.RemoveNode(table)
