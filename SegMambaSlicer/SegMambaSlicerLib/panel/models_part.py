"""The panel's part "Model": search, list, card; installing and removing."""

from __future__ import annotations

from typing import Any

import qt
from slicer.i18n import tr as _

from .. import catalogue
from ..card import card
from .bindings import Choice, ChoiceBinding, TextBinding, enable
from .context import Context
from .dialogues import choose_file

__all__ = ["ModelsPart"]


class ModelsPart:
    """Shows what can be chosen, and the chosen one's card.

    Args:
        context: shared by the parts.
        chosen: called when the user has chosen another model.

    Attributes:
        entry: the chosen model in the catalogue; None: none is chosen, or it is not installed.
        bundle: the same, opened for its metadata.
    """

    def __init__(self, context: Context, chosen: Any):
        self._context = context
        self._chosen = chosen
        self._entries: list[Any] = []
        self._bundles: dict[Any, Any] = {}
        self._shown_card: Any = None
        self.entry: Any = None
        self.bundle: Any = None
        ui = context.ui
        self._combo = ChoiceBinding(ui.modelSelector, self._missing, self._on_chosen)
        self._search = TextBinding(ui.modelSearch, self._on_search)
        ui.installModelButton.connect("clicked()", context.guarded(self._install))
        ui.removeModelButton.connect("clicked()", context.guarded(self._remove))
        ui.showModelFolderButton.connect("clicked()", context.guarded(self._show_folder))

    @property
    def name(self) -> str:
        """What the user calls the chosen model."""
        return self.bundle.metadata.name if self.bundle is not None else ""

    def shown(self) -> list[str]:
        """The values of the list's lines, in their order; the first one is empty."""
        return self._combo.values()

    def reload(self) -> None:
        """Reads the catalogue anew: after installing, and when the panel is opened."""
        self._bundles.clear()
        self._entries, problems = catalogue.usable()
        for problem in problems:
            self._context.log(problem)

    def refresh(self) -> None:
        """Shows the parameters."""
        parameters = self._context.parameters
        name = parameters.model if parameters is not None else ""
        words = parameters.modelSearch if parameters is not None else ""
        self.entry = next((entry for entry in self._entries if entry.name == name), None)
        self.bundle = self._open(name)
        found = catalogue.matching(self._entries, words)
        # The chosen one stays in the list whatever is searched: a search chooses nothing.
        if self.entry is not None and self.entry not in found:
            found.append(self.entry)
        choices = [Choice(e.name, catalogue.title(e), e.metadata.description) for e in found]
        count = len(catalogue.matching(self._entries, words))
        self._search.show(words)
        nothing = _("Choose a model ({count} found)").format(count=count) if words else _("Choose a model")
        self._combo.fill([Choice("", nothing), *choices])
        self._combo.show(name)
        self._show_card(name)
        self._enable(name)

    def _open(self, name: str) -> Any:
        """The package of a name in the catalogue, or of a path that the console has chosen; None without either."""
        from segmamba import models
        from segmamba.errors import UserError

        if name and name not in self._bundles:
            try:
                self._bundles[name] = models.find(self.entry.path if self.entry is not None else name)
            except UserError as error:
                self._context.log(str(error))
                self._bundles[name] = None
        return self._bundles.get(name)

    def _show_card(self, name: str) -> None:
        if self.bundle is not None:
            text = card(self.bundle, "" if self.entry is None else self.entry.source)
        elif name:
            text = _("The model {name} is not installed here. Install it from its file, or choose another one.")
            text = f"<p>{text.format(name=name)}</p>"
        else:
            text = "<p>{}</p>".format(
                _("Choose a model: its card shows what it needs, what it finds and how well it was measured to do so.")
            )
        if text != self._shown_card:  # setting it scrolls to its top
            self._context.ui.modelCard.setHtml(text)
            self._shown_card = text

    def _enable(self, name: str) -> None:
        ui = self._context.ui
        removable, folder = None, None
        if not name:
            removable = folder = _("Choose a model first.")
        elif self.bundle is None:
            removable = folder = _("The model {name} is not installed here.").format(name=name)
        elif self.entry is None or self.entry.source == "folder":
            removable = _("{name} lies in a folder that is only read; delete it there.").format(name=name)
        elif self.entry.source == "shipped":
            removable = _("{name} comes with SegMamba and stays.").format(name=name)
        elif self._context.logic.busy:
            removable = _("Wait until the segmentation is done.")
        enable(ui.removeModelButton, removable)
        enable(ui.showModelFolderButton, folder)

    def _missing(self, name: str) -> str:
        if name in self._bundles and self._bundles[name] is not None:
            return name
        return _("{name} (not installed)").format(name=name)

    def _on_chosen(self, name: str) -> None:
        if self._context.parameters is not None:
            self._context.parameters.model = name
            self._chosen()

    def _on_search(self, words: str) -> None:
        if self._context.parameters is not None:
            self._context.parameters.modelSearch = words

    def _install(self) -> None:
        file = choose_file(_("Install a model package"), _("Model packages (*.zip metadata.json)"))
        if not file:
            return
        installation = catalogue.install(file)
        self.reload()
        if self._context.parameters is not None:
            self._context.parameters.model = installation.entry.name
            self._chosen()
        self._context.say(installation.message)

    def _remove(self) -> None:
        from segmamba import models

        name = self.entry.name
        question = _("Delete the model {name} from {folder}?").format(name=name, folder=self.entry.path)
        if self._context.ask(question):
            path = models.remove(name)
            self._context.parameters.model = ""
            self.reload()
            self._context.say(_("{name} was deleted from {folder}.").format(name=name, folder=path))

    def _show_folder(self) -> None:
        path = self.bundle.path
        folder = path if path.is_dir() else path.parent
        qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(folder)))
