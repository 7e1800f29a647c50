"""Which volume is which channel: by the names of nodes, by DICOM, and by the study they lie in."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import slicer

from segmamba.metadata import Channel

from . import dicom, hierarchy, volumes

# Words of a name, once joined parts such as "t1_gd" or "T1-weighted" have been parted.
_CONTRAST = {"gd", "gad", "gado", "gadolinium", "ce", "c", "+c", "post", "postcontrast", "contrast", "km", "enhanced",
             "dotarem", "gadovist"}  # fmt: skip
_PLAIN = {"pre", "precontrast", "native", "nativ", "nonenhanced", "unenhanced", "plain"}
_T1 = {"mprage", "spgr", "bravo", "tfl", "fspgr"}
_FLAIR = {"flair", "tirm", "darkfluid", "t2f"}
_OTHER = {"swi", "dwi", "adc", "dti", "bold", "asl", "perf", "perfusion", "mra", "tof", "localizer", "localiser",
          "scout"}  # fmt: skip
_CT = {"ct", "cta", "cect", "ncct"}
_PET = {"pet", "pt", "fdg", "suv"}
# BraTS: t1n, t1c, t2w, t2f.  Other ways to write them in one word; "sT1W" is Philips' spin echo.
_ONE_WORD = re.compile(r"s?t([12])(n|w|wi|f|c|ce|cw|gd|gad|post|km|weighted|flair|star)?")
SERIES_DESCRIPTION = "DICOM.SeriesDescription"
# nnU-Net: CASE_0000.nii.gz is the first channel.
_NUMBERED = re.compile(r"^(?P<case>.+)_(?P<channel>\d{4})$")


def kind_of(text: str) -> str | None:
    """What a name speaks of: ``t1``, ``t1c``, ``t2``, ``flair``, ``ct``, ``pet``, ``other``; None: nothing known."""
    words = [word for word in re.split(r"[^a-z0-9+*]+", re.sub(r"\+\s*c\b", " +c ", text.lower())) if word]
    tags = set(words)
    found = set()
    for word in words:
        match = _ONE_WORD.fullmatch(word)
        if not match:
            continue
        number, suffix = match.groups()
        if suffix in ("f", "flair"):
            found.add("flair")
        elif suffix == "star":
            found.add("other")
        elif number == "1" and suffix in ("c", "ce", "cw", "gd", "gad", "post", "km"):
            found.add("t1c")
        else:
            found.add(f"t{number}")
            if suffix == "n":
                tags.add("native")
    if tags & _T1:
        found.add("t1")
    if tags & _FLAIR or {"dark", "fluid"} <= tags:
        return "flair"
    for kind in ("flair", "other", "t1c"):
        if kind in found:
            return kind
    if "t2*" in tags or "t2s" in tags or tags & _OTHER:
        return "other"
    if "t1" in found and "t2" not in found:
        return "t1c" if tags & _CONTRAST and not tags & _PLAIN else "t1"
    if "t2" in found and "t1" not in found:
        return "t2"
    if tags & _CT:
        return "ct"
    return "pet" if tags & _PET else None


def kind_of_channel(channel: Channel) -> str | None:
    """What a channel of a model is; the modality counts where the name says nothing."""
    return kind_of(channel.name) or kind_of(channel.modality)


def kind_of_volume(volume: slicer.vtkMRMLVolumeNode) -> str | None:
    """What a volume is: by its name, then by DICOM's series description, contrast agent and modality."""
    description = _of_item(volume, SERIES_DESCRIPTION) or dicom.value(volume, "0008,103e")
    agent = dicom.value(volume, "0018,0010").strip()
    for text in (volume.GetName() or "", description):
        kind = kind_of(text)
        if kind == "t1" and agent and agent.lower() not in ("no", "none"):
            return "t1c"
        if kind is not None:
            return kind
    return {"CT": "ct", "PT": "pet"}.get(modality_of(volume))


def modality_of(volume: slicer.vtkMRMLVolumeNode) -> str:
    """DICOM's modality, e.g. ``MR``; nothing if the volume was not loaded from DICOM."""
    name = slicer.vtkMRMLSubjectHierarchyConstants.GetDICOMSeriesModalityAttributeName()
    return _of_item(volume, name) or dicom.value(volume, "0008,0060")


def _of_item(volume: slicer.vtkMRMLVolumeNode, name: str) -> str:
    """An attribute where Slicer's DICOM module puts it, on the item of the subject hierarchy; else of the node."""
    tree = hierarchy.tree()
    item = tree.GetItemByDataNode(volume)
    return (tree.GetItemAttribute(item, name) if item else "") or volume.GetAttribute(name) or ""


def usable(node: slicer.vtkMRMLNode | None) -> bool:
    """Whether a node can be an input: a scalar volume with voxels that is no label map and none of our results."""
    if node is None or not node.IsA("vtkMRMLScalarVolumeNode") or node.IsA("vtkMRMLLabelMapVolumeNode"):
        return False
    if node.IsA("vtkMRMLVectorVolumeNode") or node.IsA("vtkMRMLTensorVolumeNode") or volumes.is_output(node):
        return False
    image = node.GetImageData()
    return image is not None and all(image.GetDimensions()) and image.GetNumberOfScalarComponents() == 1


def pick_inputs(
    nodes: Iterable[slicer.vtkMRMLNode], channels: Sequence[Channel]
) -> list[slicer.vtkMRMLScalarVolumeNode | None]:
    """A volume for each channel, never the same twice, all of one study; None where none fits.

    Args:
        nodes: candidates in order of preference; what cannot be an input is passed over.
        channels: of the model.

    Returns:
        As many as there are channels.  A model with one channel takes the first volume where no name fits.
    """
    candidates = [node for node in nodes if usable(node)]
    groups: dict[object, list] = {}
    for node in candidates:
        groups.setdefault(hierarchy.study_of(node) or ("name", _stem(node.GetName())), []).append(node)
    best: list[slicer.vtkMRMLScalarVolumeNode | None] = [None] * len(channels)
    # Volumes outside of any study whose names have nothing in common may still belong together.
    loose = [node for node in candidates if not hierarchy.study_of(node)]
    for group in [*groups.values(), loose]:
        picked = _pick(group, channels)
        if sum(node is not None for node in picked) > sum(node is not None for node in best):
            best = picked
    if len(channels) == 1 and best == [None] and candidates:
        return [candidates[0]]
    return best


def _pick(group: list, channels: Sequence[Channel]) -> list:
    numbered = {int(m["channel"]): node for node in group if (m := _NUMBERED.match(node.GetName() or ""))}
    kinds = [kind_of_volume(node) for node in group]
    if len(channels) > 1 and not any(kinds) and set(range(len(channels))) <= set(numbered):
        return [numbered[n] for n in range(len(channels))]
    taken: list = []
    for channel in channels:
        wanted = kind_of_channel(channel)
        same = [node for node in group if (node.GetName() or "").lower() == channel.name.lower()]
        fits = [node for node, kind in zip(group, kinds, strict=True) if kind == wanted and wanted is not None]
        taken.append(next((node for node in same + fits if not any(node is other for other in taken)), None))
    return taken


def _stem(name: str) -> str:
    """A name without what tells channels apart, so that those of one case agree."""
    words = re.split(r"[^A-Za-z0-9+*]+", name or "")
    return " ".join(w for w in words if kind_of(w) is None and w.lower() not in _CONTRAST | _PLAIN).lower()
