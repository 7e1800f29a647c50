"""The panel's part "Results": the table of volumes, 3D, and the way to the Segment Editor."""

from __future__ import annotations

from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from ..nodes import undo
from ..placing import bring_again, table_of, take_back
from .bindings import enable
from .context import Context

__all__ = ["ResultsPart"]

#: Segment, voxels, millilitres; the table node has the same in cubic centimetres.
SHOWN_COLUMNS = 3
ROW_HEIGHT, MOST_ROWS = 22, 10


class ResultsPart:
    """Shows the chosen segmentation's table of volumes, also after a scene was loaded.

    Args:
        context: shared by the parts.

    Attributes:
        latest: the last result, shown where no output is chosen, as after a queue.
    """

    def __init__(self, context: Context):
        self._context = context
        self.latest: Any = None
        self._segmentation: Any = None
        self._table: Any = None
        ui = context.ui
        ui.openEditorButton.connect("clicked()", context.guarded(self._open_editor))
        ui.showTableButton.connect("clicked()", context.guarded(self._show_table))
        ui.undoButton.connect("clicked()", context.guarded(self._undo))
        ui.resultsTable.verticalHeader().setVisible(False)
        ui.resultsTable.verticalHeader().setDefaultSectionSize(ROW_HEIGHT)

    def refresh(self) -> None:
        """Shows the results that the output segmentation holds."""
        parameters, ui = self._context.parameters, self._context.ui
        chosen = parameters.output if parameters is not None else None
        self._segmentation = chosen if chosen is not None else _in_scene(self.latest)
        self._table = table_of(self._segmentation) if self._segmentation is not None else None
        self._fill()
        nothing = None
        if self._segmentation is None:
            nothing = _("There is no result yet: press Segment, or choose a segmentation under Output.")
        elif self._segmentation.GetSegmentation().GetNumberOfSegments() == 0:
            nothing = _("{name} has no segments yet; press Segment.").format(name=self._segmentation.GetName())
        if hasattr(ui.show3DButton, "setSegmentationNode"):
            ui.show3DButton.setSegmentationNode(self._segmentation if nothing is None else None)
        enable(ui.show3DButton, nothing)
        enable(ui.openEditorButton, nothing)
        no_table = nothing or (None if self._table is not None else _("There is no table of volumes for this one."))
        enable(ui.showTableButton, no_table)
        again = undo.can_redo(self._segmentation)
        ui.undoButton.setText(_("Redo") if again else _("Undo"))
        back, forth = (
            _("Put the segmentation back as it was before the last result."),
            _("Bring the last result again."),
        )
        ui.undoButton.setProperty("usualToolTip", forth if again else back)
        kept = again or undo.can_undo(self._segmentation)
        enable(ui.undoButton, None if kept else _("There is no result of this session to take back."))

    def _fill(self) -> None:
        widget = self._context.ui.resultsTable
        table = self._table.GetTable() if self._table is not None else None
        rows = table.GetNumberOfRows() if table is not None else 0
        columns = min(table.GetNumberOfColumns(), SHOWN_COLUMNS) if table is not None else 0
        widget.setColumnCount(columns)
        widget.setRowCount(rows)
        for column in range(columns):
            widget.setHorizontalHeaderItem(column, qt.QTableWidgetItem(table.GetColumnName(column)))
            for row in range(rows):
                value = table.GetValue(row, column)
                number = column > 0
                item = qt.QTableWidgetItem(
                    f"{value.ToDouble():.2f}" if column == SHOWN_COLUMNS - 1 else value.ToString()
                )
                item.setTextAlignment(qt.Qt.AlignVCenter | (qt.Qt.AlignRight if number else qt.Qt.AlignLeft))
                widget.setItem(row, column, item)
        if columns:
            widget.horizontalHeader().setSectionResizeMode(0, qt.QHeaderView.Stretch)
        height = ROW_HEIGHT * (min(rows, MOST_ROWS) + 1) + 8
        widget.setMinimumHeight(height)
        widget.setMaximumHeight(height)
        widget.setVisible(rows > 0)

    def _undo(self) -> None:
        node, name = self._segmentation, self._segmentation.GetName()
        again = undo.can_redo(node)
        swap = bring_again if again else take_back
        try:
            swap(node)
        except undo.ChangedSince as changed:
            if not self._context.ask(_("{sentence} Go on?").format(sentence=changed)):
                self._context.say(_("Nothing was taken back; {name} is as it was.").format(name=name))
                return
            swap(node, True)
        sentence = _("{name} is as it was before the last result.")
        if again:
            sentence = _("The last result is in {name} again.")
        self._context.say(sentence.format(name=name))

    def _open_editor(self) -> None:
        slicer.util.selectModule("SegmentEditor")
        editor = slicer.util.getModuleGui("SegmentEditor").editor
        editor.setSegmentationNode(self._segmentation)
        role = self._segmentation.GetReferenceImageGeometryReferenceRole()
        volume = self._segmentation.GetNodeReference(role)
        if volume is not None:
            editor.setSourceVolumeNode(volume)

    def _show_table(self) -> None:
        layouts = slicer.app.layoutManager()
        if layouts is not None:
            layouts.setLayout(slicer.modules.tables.logic().GetLayoutWithTable(layouts.layout))
        application = slicer.app.applicationLogic()
        application.GetSelectionNode().SetActiveTableID(self._table.GetID())
        application.PropagateTableSelection()


def _in_scene(node: Any) -> Any:
    return node if node is not None and node.GetScene() is not None else None
