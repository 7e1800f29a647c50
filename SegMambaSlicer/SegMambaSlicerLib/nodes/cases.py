"""Cases for a queue: the volumes of a subject hierarchy folder, study by study."""

from __future__ import annotations

from dataclasses import dataclass

import slicer

from segmamba.metadata import Metadata

from . import hierarchy, picking


@dataclass(frozen=True)
class Study:
    """Volumes that belong together.

    Attributes:
        name: of the study, or of the folder that they lie in.
        item: its item in the subject hierarchy.
        volumes: scalar volumes in the tree's order.
    """

    name: str
    item: int
    volumes: tuple[slicer.vtkMRMLScalarVolumeNode, ...]


@dataclass(frozen=True)
class Case:
    """One job: a volume for each channel of a model.

    Attributes:
        name: for people.
        nodes: in the order of the channels.
    """

    name: str
    nodes: tuple[slicer.vtkMRMLScalarVolumeNode, ...]


def volumes_of_folder(item: int) -> list[Study]:
    """What can be an input under an item (folder, patient, study), grouped by study.

    Volumes that lie in no study are grouped by the item that they lie in.  Label maps, colour volumes and our own
    results are left out.
    """
    tree = hierarchy.tree()
    groups: dict[int, list] = {}
    for node in hierarchy.nodes_below(item, "vtkMRMLScalarVolumeNode"):
        if picking.usable(node):
            own = tree.GetItemByDataNode(node)
            groups.setdefault(hierarchy.study_of_item(own) or tree.GetItemParent(own), []).append(node)
    return [Study(_title(group), group, tuple(nodes)) for group, nodes in groups.items()]


def cases_of_folder(item: int, metadata: Metadata) -> tuple[list[Case], list[str]]:
    """The cases of a folder for a model.

    Of a model with one channel every volume is a case whose name or modality fits; where none of a study does, every
    volume of unknown kind.  Of a model with several channels a study is one case.

    Returns:
        the cases; the names of studies without a volume for every channel.
    """
    found, incomplete = [], []
    for study in volumes_of_folder(item):
        cases = _cases(study, metadata)
        found += cases
        if not cases:
            incomplete.append(study.name)
    return found, incomplete


def _cases(study: Study, metadata: Metadata) -> list[Case]:
    if len(metadata.channels) > 1:
        nodes = picking.pick_inputs(study.volumes, metadata.channels)
        return [] if any(node is None for node in nodes) else [Case(study.name, tuple(nodes))]
    wanted = picking.kind_of_channel(metadata.channels[0])
    kinds = [(node, picking.kind_of_volume(node)) for node in study.volumes]
    fits = [node for node, kind in kinds if kind is not None and kind == wanted]
    fits = fits or [node for node, kind in kinds if kind is None or wanted is None]
    return [Case(f"{study.name}: {node.GetName()}", (node,)) for node in fits]


def _title(item: int) -> str:
    tree = hierarchy.tree()
    patient = tree.GetItemAncestorAtLevel(item, slicer.vtkMRMLSubjectHierarchyConstants.GetDICOMLevelPatient())
    name = tree.GetItemName(item)
    return f"{tree.GetItemName(patient)} / {name}" if patient else name
