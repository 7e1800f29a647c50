"""Sequences: every item of a sequence browser as a case, and results kept as a sequence in the same browser.

An item is worked on while its browser shows it: so its volumes have the item's voxels, and whatever transform the
browser moves along with them.  :func:`shown` shows an item and goes back afterwards.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import slicer
import slicer.util

from segmamba.errors import UserError

from . import picking
from .text import _


@dataclass(frozen=True)
class SequenceItem:
    """One item of a browser.

    Attributes:
        browser: the sequence browser node.
        number: of the item, from 0.
        value: its index value, e.g. ``2.5``.
        name: for people.
        volumes: the volumes that show the item while the browser does.
    """

    browser: slicer.vtkMRMLSequenceBrowserNode
    number: int
    value: str
    name: str
    volumes: tuple[slicer.vtkMRMLScalarVolumeNode, ...]


def volumes_of_sequence(browser: slicer.vtkMRMLSequenceBrowserNode) -> list[SequenceItem]:
    """All items of a browser with the volumes that show them.

    Raises:
        UserError: the browser shows no scalar volumes.
    """
    master = browser.GetMasterSequenceNode()
    _update(browser)
    volumes = []
    for sequence in slicer.util.getNodesByClass("vtkMRMLSequenceNode"):
        node = browser.GetProxyNode(sequence) if browser.IsSynchronizedSequenceNode(sequence, True) else None
        if picking.usable(node):
            volumes.append(node)
    if master is None or not volumes:
        raise UserError(
            _("Sequence browser {name} shows no scalar volume: choose another one.").format(name=browser.GetName())
        )
    unit = f" {master.GetIndexUnit()}" if master.GetIndexUnit() else ""
    items = []
    for number in range(browser.GetNumberOfItems()):
        value = master.GetNthIndexValue(number)
        name = f"{browser.GetName()} {master.GetIndexName() or ''} {value}{unit}".replace("  ", " ")
        items.append(SequenceItem(browser, number, value, name, tuple(volumes)))
    return items


def check(item: SequenceItem) -> None:
    """Raises UserError where the browser would show something else for the item by now, or is no more."""
    master = item.browser.GetMasterSequenceNode() if item.browser.GetScene() is not None else None
    there = master is not None and item.number < master.GetNumberOfDataNodes()
    if not there or master.GetNthIndexValue(item.number) != item.value:
        raise UserError(
            _("{item} is not where it was: the sequence was changed or removed meanwhile; segment it again.").format(
                item=item.name)
        )  # fmt: skip


@contextlib.contextmanager
def shown(item: SequenceItem) -> Iterator[SequenceItem]:
    """Shows an item: its volumes hold its voxels meanwhile.

    Raises:
        UserError: it is not there any more.
    """
    check(item)
    before = item.browser.GetSelectedItemNumber()
    try:
        _show(item.browser, item.number)
        yield item
    finally:
        _show(item.browser, max(before, 0))


def keep_all(item: SequenceItem, nodes: Sequence[slicer.vtkMRMLNode]) -> None:
    """Keeps several results as this item, each as :func:`keep` does."""
    found = [item.browser.GetSequenceNode(node) for node in nodes]
    # As one change: else the browser would empty those that are not kept yet as soon as the first is.
    before = [(sequence, sequence.StartModify()) for sequence in found if sequence is not None]
    try:
        for node in nodes:
            keep(item, node)
    finally:
        for sequence, modified in before:
            sequence.EndModify(modified)


def keep(item: SequenceItem, node: slicer.vtkMRMLNode) -> slicer.vtkMRMLSequenceNode:
    """Keeps a result as this item of a sequence that the browser shows from then on.

    Args:
        item: that the node was computed of.
        node: a segmentation, a volume or a table; the same node for all items, which becomes the one that shows them.

    Returns:
        The sequence, made with the first item.
    """
    browser = item.browser
    sequence = browser.GetSequenceNode(node)
    if sequence is None:
        name = slicer.mrmlScene.GenerateUniqueName(f"{node.GetName()} sequence")
        sequence = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", name)
        master = browser.GetMasterSequenceNode()
        sequence.SetIndexName(master.GetIndexName())
        sequence.SetIndexUnit(master.GetIndexUnit())
        sequence.SetIndexType(master.GetIndexType())
    sequence.SetDataNodeAtValue(node, item.value)
    if browser.GetSequenceNode(node) is None:
        # As one change: in between, the logic would make another node to show the sequence.
        modified = browser.StartModify()
        browser.AddSynchronizedSequenceNode(sequence)
        browser.AddProxyNode(node, sequence, False)
        browser.EndModify(modified)
        # Else an item without a result would show that of the item before it.
        browser.SetMissingItemMode(sequence, browser.MissingItemSetToDefault)
    return sequence


def _show(browser: slicer.vtkMRMLSequenceBrowserNode, number: int) -> None:
    browser.SetSelectedItemNumber(number)
    _update(browser)


def _update(browser: slicer.vtkMRMLSequenceBrowserNode) -> None:
    slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
