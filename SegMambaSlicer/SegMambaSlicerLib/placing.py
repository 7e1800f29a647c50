"""A finished case into the scene: segments, table of volumes, probabilities, uncertainty, and how they were made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import slicer
from slicer.i18n import tr as _

from segmamba.errors import UserError

from .nodes import edited, exchange, segmentation, tables, undo, volumes
from .nodes.provenance import Provenance
from .nodes.segmentation import edited_segments, place_result

if TYPE_CHECKING:
    from .run import Run

__all__ = ["agreed", "bring_again", "check_output", "place", "table_of", "take_back"]

TABLE_ROLE = "SegMamba.Volumes"


def check_output(output: Any, bundle: Any, replace_edited: bool | None, reference: Any) -> None:
    """Before anything is computed: whether a result on the grid of ``reference`` can be placed into ``output``.

    Raises:
        EditedSegments: edited segments are in the way, and nobody has said what shall become of them.
        UserError: it cannot.
    """
    if output is not None and output.GetScene() is not None:
        segmentation.check_output(bundle.metadata, reference, output, replace_edited)


def agreed(output: Any, bundle: Any) -> dict[str, str]:
    """The segments that are edited as of now, whose loss the user agrees to: fingerprint by id."""
    return {i: _fingerprint(output, i) for i in edited_segments(bundle.metadata, output)}


def place(run: Run, output: Any, moved: bool = False) -> None:
    """Makes the nodes of a run whose job is done; its files are there until this returns.

    Segments that were edited while the case was computed stay: nobody could be asked about them.  A result that does
    not fit any more what was chosen for it comes into a new segmentation, with a warning.

    Args:
        run: gets the nodes, and the warnings.
        output: segmentation to use; None, or one that is no longer in the scene: a new one.
        moved: whether the first volume shows something else by now.
    """
    reference = run.volumes[0]
    if moved or not run.snapshot.fits(reference):
        if not moved:
            sentence = _("Volume {name} was changed or removed while it was segmented; the result is in a new "
                         "segmentation, where the volume was.")  # fmt: skip
            run.warnings.append(sentence.format(name=run.snapshot.name))
        with run.snapshot.stand_in() as reference:
            _place(run, None, reference)
        return
    _place(run, output if output is not None and output.GetScene() is not None else None, reference)


def _place(run: Run, output: Any, reference: Any) -> None:
    done, metadata, earlier = run.result, run.bundle.metadata, run.earlier
    settings = {**run.options.asked(), "roi": None if run.roi is None else run.roi.GetName()}
    provenance = Provenance.of_job(done, settings, [volume.GetName() for volume in run.volumes])
    result = exchange.Result.load(done)
    replace = [i for i in edited_segments(metadata, output) if run.agreed.get(i) == _fingerprint(output, i)]
    _warn_of_kept(run, output, replace)
    try:
        run.segmentation = place_result(result, metadata, reference, output, provenance, replace_edited=replace)
    except UserError as error:  # nothing was changed
        if output is None:
            raise
        run.warnings.append(_("{error} This result is in a new one already.").format(error=error))
        run.segmentation = place_result(result, metadata, reference, None, provenance)
    run.table = tables.place_table(run.segmentation)
    if done.get("probabilities"):
        nodes = earlier.probabilities if earlier is not None and output is not None else ()
        files = done["probabilities"]
        run.probabilities = volumes.place_probabilities(files, metadata, reference, provenance, nodes)
    if done.get("uncertainty"):
        node = earlier.uncertainty if earlier is not None and output is not None else None
        run.uncertainty = volumes.place_uncertainty(done["uncertainty"], metadata, reference, provenance, node)


def _warn_of_kept(run: Run, output: Any, replace: list[str]) -> None:
    """Says which segments stay that nobody was asked about: they were edited since the click."""
    if run.replace_edited is False or output is None:
        return
    names = output.GetSegmentation()
    kept = [i for i in edited_segments(run.bundle.metadata, output) if i not in replace]
    if kept:
        sentence = _("{segments} of {node} was edited meanwhile and stays; the new result is beside it.")
        segments = ", ".join(names.GetSegment(i).GetName() for i in kept)
        run.warnings.append(sentence.format(segments=segments, node=output.GetName()))


def _fingerprint(output: Any, segment_id: str) -> str:
    return edited.fingerprint(output.GetSegmentation().GetSegment(segment_id))


def table_of(node: Any) -> Any:
    """The table of volumes that belongs to a segmentation, or None."""
    return node.GetNodeReference(TABLE_ROLE)


def take_back(node: Any, force: bool = False) -> None:
    """Undoes the last result in a segmentation; its table follows, and goes with a node made for that result.

    Args:
        node: the segmentation.
        force: also where the user has worked on it since.

    Raises:
        ChangedSince: the user has; nothing was changed.
    """
    table = table_of(node)
    undo.undo(node, force)
    if node.GetScene() is not None:
        tables.place_table(node)
    elif table is not None:
        slicer.mrmlScene.RemoveNode(table)


def bring_again(node: Any, force: bool = False) -> None:
    """The result again that :func:`take_back` took; the same arguments and errors."""
    undo.redo(node, force)
    tables.place_table(node)
