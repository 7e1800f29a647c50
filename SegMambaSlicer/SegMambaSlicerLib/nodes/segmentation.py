"""A result as a segmentation node: on the anatomy, named, coloured and coded, without harm to what the user did.

Placing.  The segments have the first volume's own grid and its parent transform, so they lie where the volume lies,
to the voxel, and go on lying there when the transform changes.  A chosen output that already holds the user's
segments keeps its own transform; ours are then brought into its frame.

Reuse.  Segments that we made and nobody edited are replaced, whichever model made them; a name, colour or visibility
that the user gave to one stays.  One that was edited is never replaced without being told to.  All others stay.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import slicer

from segmamba.errors import UserError
from segmamba.metadata import Metadata

from . import dicom, edited, geometry, hierarchy, labelmaps, naming, undo
from .edited import EditedSegments
from .exchange import Result
from .looks import Looks
from .provenance import Provenance
from .text import _

__all__ = ["EditedSegments", "Result", "check_output", "edited_segments", "place_result"]


def edited_segments(metadata: Metadata, output: slicer.vtkMRMLSegmentationNode | None) -> list[str]:
    """Ids of the segments of ``output`` that a result of this model would replace, but that the user has edited.

    To ask before the computation rather than after it.
    """
    if output is None:
        return []
    segmentation = output.GetSegmentation()
    wanted = set(naming.segment_ids(metadata))
    found = [segment_id for segment_id in segmentation.GetSegmentIDs() if segment_id in wanted]
    return [i for i in found if not _replaceable(segmentation, i)]


def check_output(
    metadata: Metadata,
    reference: slicer.vtkMRMLVolumeNode,
    output: slicer.vtkMRMLSegmentationNode | None,
    replace_edited: bool | Collection[str] | None = None,
) -> None:
    """Raises what :func:`place_result` would of the output, with the same arguments; changes nothing.

    To know before the computation rather than after it.
    """
    if output is None:
        return
    changed = edited_segments(metadata, output)
    if changed and replace_edited is None:
        raise EditedSegments(output, changed)
    going = _going(output, _told(changed, replace_edited))
    _frame(reference, output if _stay(output, going) else None)
    segmentation, binary = output.GetSegmentation(), labelmaps.binary_labelmap()
    if segmentation.GetNumberOfSegments() and segmentation.GetSourceRepresentationName() != binary:
        trial = slicer.vtkSegmentation()
        trial.DeepCopy(segmentation)
        _as_labelmaps(trial, output)


def place_result(
    result: Result,
    metadata: Metadata,
    reference: slicer.vtkMRMLVolumeNode,
    output: slicer.vtkMRMLSegmentationNode | None = None,
    provenance: Provenance | None = None,
    *,
    replace_edited: bool | Collection[str] | None = None,
    name: str | None = None,
) -> slicer.vtkMRMLSegmentationNode:
    """Puts a result into the scene.

    Args:
        result: arrays on the grid of ``reference``.
        metadata: of the model.
        reference: the first volume of the case.
        output: the node to use; None makes one.
        provenance: written on the node.
        replace_edited: True replaces segments that were edited since we made them, or those with these ids; False
            keeps them, and the new ones get a number; None raises if there are any.
        name: of a new node; by default after the volume.

    Returns:
        The segmentation node.

    Raises:
        EditedSegments: with ``replace_edited`` None; nothing was changed.
        UserError: the chosen output lies under a transform that the result cannot be brought under, or its segments
            cannot become labelmaps; nothing was changed.
    """
    shape = tuple(reversed(geometry.size(reference)))
    if result.labels.shape != shape:
        raise ValueError(f"labels of shape {result.labels.shape} do not lie on volume {reference.GetName()}, {shape}")
    check_output(metadata, reference, output, replace_edited)
    layers = labelmaps.layers(result.labels, result.regions, [label.value for label in metadata.labels])
    going = _going(output, _told(edited_segments(metadata, output), replace_edited))
    stay = _stay(output, going)
    matrix = _frame(reference, output if stay else None)

    scene_keeps = undo.scene_keeps(output)
    is_new = output is None
    if is_new:
        title = name or _("{volume} segmentation").format(volume=reference.GetName())
        output = slicer.mrmlScene.AddNewNodeByClass(
            "vtkMRMLSegmentationNode", slicer.mrmlScene.GenerateUniqueName(title)
        )
        output.SetUndoEnabled(scene_keeps)
    if not scene_keeps:
        undo.remember(output, is_new)
    output.CreateDefaultDisplayNodes()
    output.GetDisplayNode().SetUndoEnabled(scene_keeps)

    modified = output.StartModify()
    try:
        if not stay:
            output.SetAndObserveTransformNodeID(reference.GetTransformNodeID())
        _replace(output, going, layers, matrix, metadata)
        output.SetReferenceImageGeometryParameterFromVolumeNode(reference)
        if provenance is not None:
            provenance.write(output)
    finally:
        output.EndModify(modified)
    hierarchy.place_beside(output, reference)
    dicom.refer(output, reference)
    undo.leave(output)
    return output


def _replaceable(segmentation: slicer.vtkSegmentation, segment_id: str) -> bool:
    """Whether we made it and nobody edited it.  One of our ids without our mark counts as the user's work."""
    segment = segmentation.GetSegment(segment_id)
    return edited.ours(segment, segment_id) and not edited.is_edited(segment)


def _told(changed: list[str], replace_edited: bool | Collection[str] | None) -> list[str]:
    """Those of the edited segments that are replaced nevertheless."""
    if replace_edited is None or isinstance(replace_edited, bool):
        return changed if replace_edited else []
    return [segment_id for segment_id in changed if segment_id in replace_edited]


def _stay(output: slicer.vtkMRMLSegmentationNode | None, going: list[str]) -> bool:
    """Whether segments stay, so that the output's transform has to stay, too."""
    return output is not None and output.GetSegmentation().GetNumberOfSegments() > len(going)


def _going(output: slicer.vtkMRMLSegmentationNode | None, also: list[str]) -> list[str]:
    if output is None:
        return []
    segmentation = output.GetSegmentation()
    return [i for i in segmentation.GetSegmentIDs() if i in also or _replaceable(segmentation, i)]


def _frame(reference: slicer.vtkMRMLVolumeNode, output: slicer.vtkMRMLSegmentationNode | None) -> np.ndarray:
    """(4, 4): voxels to RAS before the transform of the output, which is the reference's unless ``output`` is given."""
    matrix = geometry.ijk_to_local(reference)
    if output is None:
        return matrix
    to_output = geometry.between(reference, output)
    try:
        if to_output is None:
            raise geometry.UnsuitableTransform
        geometry.check_axes((to_output @ matrix)[:3, :3], reference.GetName())
    except geometry.UnsuitableTransform:
        raise UserError(
            _("Segmentation {output} lies under another transform than volume {volume}, and the result cannot be "
              "brought under it: choose a new output.").format(output=output.GetName(), volume=reference.GetName())
        ) from None  # fmt: skip
    return to_output @ matrix


def _as_labelmaps(segmentation: slicer.vtkSegmentation, output: slicer.vtkMRMLSegmentationNode) -> None:
    if not segmentation.CreateRepresentation(labelmaps.binary_labelmap()):
        raise UserError(
            _("Segmentation {output} cannot be turned into labelmaps: choose a new output.").format(
                output=output.GetName())
        )  # fmt: skip


def _replace(
    output: slicer.vtkMRMLSegmentationNode,
    going: list[str],
    layers: list[labelmaps.Layer],
    matrix: np.ndarray,
    metadata: Metadata,
) -> None:
    """Takes away the segments ``going`` and adds the layers' ones, in the model's order, at the place of the old."""
    segmentation = output.GetSegmentation()
    binary, surface = labelmaps.binary_labelmap(), labelmaps.closed_surface()
    if segmentation.GetNumberOfSegments() == 0:
        segmentation.SetSourceRepresentationName(binary)
    elif segmentation.GetSourceRepresentationName() != binary:
        _as_labelmaps(segmentation, output)
        segmentation.SetSourceRepresentationName(binary)
    shown = segmentation.ContainsRepresentation(surface)
    before = {i: Looks(output, i) for i in going}
    ids = segmentation.GetSegmentIDs()
    follower = next((i for i in ids[ids.index(going[0]) :] if i not in going), "") if going else ""
    for segment_id in going:
        segmentation.RemoveSegment(segment_id)

    images = [labelmaps.oriented_image(layer, matrix) for layer in layers]
    for position, (wanted, label) in enumerate(zip(naming.segment_ids(metadata), metadata.labels, strict=True)):
        layer = next(n for n, layer in enumerate(layers) if position in layer.values)
        segment = slicer.vtkSegment()
        naming.describe(segment, label, metadata)
        segment.SetLabelValue(layers[layer].values[position])
        segment.AddRepresentation(binary, images[layer])
        segment_id, number = wanted, 1
        while segmentation.GetSegment(segment_id) is not None:
            number += 1
            segment_id = f"{wanted}_{number}"
        if number > 1:
            segment.SetName(f"{label.name} {number}")
        edited.mark(segment, segment_id)
        looks = before.get(segment_id)
        if looks is not None:
            looks.give_names(segment)
        segmentation.AddSegment(segment, segment_id, follower)
        if looks is not None:
            looks.give_display(output, segment_id)
    if shown:
        segmentation.CreateRepresentation(surface, True)
