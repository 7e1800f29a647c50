"""Checks of the chosen volumes before a job: what cannot work, and what is likely a mistake."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import slicer

from segmamba.errors import UserError
from segmamba.metadata import Channel, Metadata

from . import exchange, geometry, picking
from .picking import pick_inputs
from .text import _

__all__ = ["InputWarning", "check_inputs", "pick_inputs"]

# Enough voxels to know the range by, few enough for a check at each click.
_SAMPLES = 100_000
_FAR = 1.5  # times the field of view that the model is meant for, as the worker warns
_FEW_VALUES = 8


@dataclass(frozen=True)
class InputWarning:
    """What is wrong with the inputs.

    Attributes:
        message: one sentence that names the volume or the channel.
        channel: its position, or None.
        blocking: whether the job cannot run so.
    """

    message: str
    channel: int | None = None
    blocking: bool = False


def check_inputs(nodes: Sequence[slicer.vtkMRMLNode | None], metadata: Metadata) -> list[InputWarning]:
    """All that is wrong with the volumes chosen for a model's channels, what blocks first.

    Args:
        nodes: a volume or None for each channel.
        metadata: of the model.
    """
    if len(nodes) != len(metadata.channels):
        text = _("Model {model} takes {count} volumes, {given} are given.")
        text = text.format(model=metadata.name, count=len(metadata.channels), given=len(nodes))
        return [InputWarning(text, None, True)]
    found: list[InputWarning] = []
    sound: list[int] = []
    for n, (node, channel) in enumerate(zip(nodes, metadata.channels, strict=True)):
        trouble = _cannot_be_used(node, channel, sound_reference=nodes[0] if n else None)
        if trouble is None and any(node is other for other in nodes[:n]):
            trouble = _("Volume {name} is chosen twice: choose another one for channel {channel}.")
            trouble = trouble.format(name=node.GetName(), channel=channel.name)
        if trouble is not None:
            found.append(InputWarning(trouble, n, True))
        else:
            sound.append(n)
    for n in sound:
        node, channel = nodes[n], metadata.channels[n]
        found += [InputWarning(text, n) for text in _implausible(node, channel)]
        if n and 0 in sound:
            found += [InputWarning(text, n) for text in _apart(nodes[0], node)]
    if 0 in sound:
        found += [InputWarning(text, 0) for text in _wrong_extent(nodes[0], metadata)]
    return sorted(found, key=lambda warning: not warning.blocking)


def _cannot_be_used(
    node: slicer.vtkMRMLNode | None, channel: Channel, sound_reference: slicer.vtkMRMLNode | None
) -> str | None:
    if node is None:
        return _("Choose a volume for channel {channel}.").format(channel=channel.name)
    if node.IsA("vtkMRMLLabelMapVolumeNode"):
        text = _("{name} is a label map: choose an image for channel {channel}.")
        return text.format(name=node.GetName(), channel=channel.name)
    if not node.IsA("vtkMRMLVolumeNode"):
        return _("{name} is no volume: choose one for channel {channel}.").format(
            name=node.GetName(), channel=channel.name)  # fmt: skip
    try:
        exchange.scalar_array(node)
        geometry.lps_geometry(node)
    except geometry.UnsuitableTransform as error:
        return str(error) if sound_reference is None else None  # other channels are resampled through it
    except UserError as error:
        return str(error)
    return None


def _implausible(node: slicer.vtkMRMLVolumeNode, channel: Channel) -> list[str]:
    """What the intensities, the name and DICOM say against this channel."""
    names = {"name": node.GetName(), "channel": channel.name, "modality": channel.modality}
    values = sample(exchange.scalar_array(node))
    finite = values[np.isfinite(values)]
    if finite.size < values.size:
        return [_("Volume {name} holds values that are no numbers; they are replaced.").format(**names)]
    low, high = float(finite.min()), float(finite.max())
    if low == high:
        return [_("Volume {name} has the same value {value} everywhere.").format(**names, value=f"{low:g}")]
    found = []
    wanted, kind, modality = picking.kind_of_channel(channel), picking.kind_of_volume(node), picking.modality_of(node)
    is_ct = channel.modality.upper() == "CT" or wanted == "ct"
    if kind is not None and wanted is not None and kind != wanted:
        found.append(_("Volume {name} does not look like channel {channel} by its name.").format(**names))
    elif modality and channel.modality in ("MR", "CT", "PT") and modality != channel.modality:
        text = _("Volume {name} is of modality {found}; channel {channel} is meant for {modality}.")
        found.append(text.format(**names, found=modality))
    if is_ct and low >= 0:
        text = _("Volume {name} has no negative values; channel {channel} is meant for CT in Hounsfield units.")
        found.append(text.format(**names))
    if not is_ct and channel.modality.upper() == "MR" and low <= -500:
        text = _("Volume {name} reaches down to {value} as CT does; channel {channel} is meant for {modality}.")
        found.append(text.format(**names, value=f"{low:g}"))
    window = channel.normalisation.window
    if window is not None and np.mean((finite > window[0]) & (finite < window[1])) < 0.01:
        text = _("Hardly any value of volume {name} lies between {low} and {high}, where channel {channel} looks.")
        found.append(text.format(**names, low=f"{window[0]:g}", high=f"{window[1]:g}"))
    if high - low < 256 and np.unique(finite[:10_000]).size <= _FEW_VALUES and np.all(finite == np.round(finite)):
        text = _("Volume {name} has very few different values, as a mask has; channel {channel} needs an image.")
        found.append(text.format(**names))
    return found


def _apart(first: slicer.vtkMRMLVolumeNode, node: slicer.vtkMRMLVolumeNode) -> list[str]:
    names = {"name": node.GetName(), "first": first.GetName()}
    if geometry.same_grid(first, node):
        return []
    boxes = [_world_box(volume) for volume in (first, node)]
    if np.any(boxes[0][0] > boxes[1][1]) or np.any(boxes[1][0] > boxes[0][1]):
        return [_("Volume {name} lies elsewhere than volume {first}: they do not overlap.").format(**names)]
    return [_("Volume {name} has another grid than volume {first}; it is resampled onto it.").format(**names)]


def _wrong_extent(first: slicer.vtkMRMLVolumeNode, metadata: Metadata) -> list[str]:
    extent = np.array(geometry.size(first)) * geometry.lps_geometry(first)[1]
    found = []
    if min(geometry.size(first)) < 2:
        found.append(_("Volume {name} has a single slice; models see volumes.").format(name=first.GetName()))
    if metadata.field_of_view is not None:
        low, high = metadata.field_of_view
        if extent.min() * _FAR < low or extent.max() > high * _FAR:
            text = _("Volume {name} measures {size} mm; model {model} is meant for {low} to {high} mm, choose a region "
                     "of interest or crop the volume.")  # fmt: skip
            measured = " x ".join(f"{mm:.0f}" for mm in extent)
            found.append(
                text.format(
                    name=first.GetName(), size=measured, model=metadata.name, low=f"{low:.0f}", high=f"{high:.0f}"
                )
            )
    return found


def sample(values: np.ndarray) -> np.ndarray:
    """Some voxels spread over the whole volume, as floats."""
    step = max(1, int(np.ceil((values.size / _SAMPLES) ** (1 / 3))))
    return values[::step, ::step, ::step].astype(np.float64).ravel()


def _world_box(volume: slicer.vtkMRMLVolumeNode) -> tuple[np.ndarray, np.ndarray]:
    bounds = [0.0] * 6
    volume.GetRASBounds(bounds)
    return np.array(bounds[::2]), np.array(bounds[1::2])
