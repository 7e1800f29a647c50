"""What is segmented at one click: the volumes chosen in the panel, or every case of a sequence or of a folder.

A source is a word that the parameter node keeps: empty for the volumes above, ``sequence:ID`` for the items of the
sequence browser with that node ID, ``folder:A/B`` for a folder of the subject hierarchy by its names from the top.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import slicer
import vtk
from slicer.i18n import tr as _

from segmamba.errors import UserError

from .nodes import cases as folders
from .nodes import hierarchy, sequences

__all__ = ["Case", "cases_of", "missing", "sources"]

SEQUENCE, FOLDER = "sequence:", "folder:"


@dataclass
class Case:
    """One case to segment.

    Attributes:
        title: what the user sees.
        volumes: one for each channel of the model.
        item: of a sequence that the volumes show while it is worked on; None: they are as they are.
        optional: found, and not named by the user: left out where it does not suit the model.
    """

    title: str
    volumes: list[Any]
    item: sequences.SequenceItem | None = None
    optional: bool = False


def sources() -> list[tuple[str, str]]:
    """What can be chosen in this scene: (source, title), the volumes above first."""
    found = [("", _("The volumes above"))]
    for browser in slicer.util.getNodesByClass("vtkMRMLSequenceBrowserNode"):
        count = browser.GetNumberOfItems()
        if count:
            title = _("All {count} items of sequence {name}").format(count=count, name=browser.GetName())
            found.append((f"{SEQUENCE}{browser.GetID()}", title))
    for path, item in _folders():
        studies = folders.volumes_of_folder(item)
        if studies:
            found.append((f"{FOLDER}{path}", _("All studies in {name}").format(name=path)))
    return found


def missing(source: str) -> str:
    """The title of a source that is not in this scene."""
    return _("{name} (not in this scene)").format(name=source.partition(":")[2])


def cases_of(source: Any, metadata: Any, volumes: Sequence[Any] = ()) -> tuple[list[Case], list[str]]:
    """The cases of a source for a model.

    Args:
        source: as ``sources`` gives them, a sequence browser node, the number of a subject hierarchy item, or a list
            with the volumes of each case.
        metadata: of the model.
        volumes: those chosen above: of a sequence, what is not moved by it is the same for each item.

    Returns:
        The cases, at least one; a sentence for each study that was left out.

    Raises:
        UserError: there is no such source, or no case in it.
    """
    if isinstance(source, str) and source.startswith(SEQUENCE):
        source = slicer.mrmlScene.GetNodeByID(source[len(SEQUENCE) :])
    elif isinstance(source, str):
        source = dict(_folders()).get(source.removeprefix(FOLDER))
    if source is None:
        raise UserError(_("The cases are not in this scene any more; choose others under Advanced, Cases."))
    if isinstance(source, int):
        return _of_folder(source, metadata)
    if hasattr(source, "GetNumberOfItems"):
        return _of_sequence(source, metadata, volumes), []
    cases = [Case("", list(case) if isinstance(case, (list, tuple)) else [case]) for case in source]
    if not cases:
        raise UserError(_("There are no cases to segment; give the volumes of at least one."))
    return cases, []


def _of_folder(item: int, metadata: Any) -> tuple[list[Case], list[str]]:
    found, incomplete = folders.cases_of_folder(item, metadata)
    channels = ", ".join(channel.name for channel in metadata.channels)
    if not found:
        sentence = _("No study in {folder} has a volume for each channel of {model} ({channels}); name them so.")
        folder = hierarchy.tree().GetItemName(item)
        raise UserError(sentence.format(folder=folder, model=metadata.name, channels=channels))
    sentence = _("{study} was left out: it has no volume for each of {channels}.")
    left_out = [sentence.format(study=study, channels=channels) for study in incomplete]
    return [Case(case.name, list(case.nodes), optional=True) for case in found], left_out


def _of_sequence(browser: Any, metadata: Any, volumes: Sequence[Any]) -> list[Case]:
    items = sequences.volumes_of_sequence(browser)
    if not items:
        raise UserError(_("Sequence {name} has no items.").format(name=browser.GetName()))
    moved = items[0].volumes
    if len(volumes) == len(metadata.channels) and any(volume in moved for volume in volumes):
        chosen = list(volumes)
    else:
        chosen = folders.picking.pick_inputs(moved, metadata.channels)
    if any(volume is None for volume in chosen):
        raise UserError(
            _("Choose the volumes that show sequence {name} for the model's channels first.").format(
                name=browser.GetName()
            )
        )
    return [Case(item.name, list(chosen), item, optional=True) for item in items]


def _folders() -> list[tuple[str, int]]:
    """Items of the subject hierarchy that hold others: their names from the top, and their numbers.

    Of several with the same names, all but the first get a number: ``Ward``, ``Ward (2)``.
    """
    tree = hierarchy.tree()
    items = vtk.vtkIdList()
    tree.GetItemChildren(tree.GetSceneItemID(), items, True)
    items = [items.GetId(n) for n in range(items.GetNumberOfIds())]
    items = [i for i in items if tree.GetItemDataNode(i) is None and tree.GetNumberOfItemChildren(i)]
    paths = [_path(tree, item) for item in items]
    taken, found = set(paths), []
    for n, (path, item) in enumerate(zip(paths, items, strict=True)):
        number, title = 1, path
        while path in paths[:n] and title in taken:
            number += 1
            title = f"{path} ({number})"
        taken.add(title)
        found.append((title, item))
    return found


def _path(tree: Any, item: int) -> str:
    names = []
    while item and item != tree.GetSceneItemID():
        names.insert(0, tree.GetItemName(item))
        item = tree.GetItemParent(item)
    return "/".join(names)
