"""The panel's part "Log and installation": what is missing, installing it, and doctor's report."""

from __future__ import annotations

from slicer.i18n import tr as _

from .. import packages
from .bindings import enable
from .context import Context
from .dialogues import choose_folder

__all__ = ["PackagesPart"]


class PackagesPart:
    """Says whether the packages are there; installs them when asked to."""

    def __init__(self, context: Context):
        self._context = context
        self._checking = False
        self._missing: list[str] = []
        ui = context.ui
        ui.installPackagesButton.connect("clicked()", context.guarded(self._install))
        ui.installFromFolderButton.connect("clicked()", context.guarded(self._install_from_folder))
        ui.doctorButton.connect("clicked()", context.guarded(self._doctor))

    def reload(self) -> None:
        """Looks anew which packages there are."""
        self._missing = packages.missing()

    @property
    def hint(self) -> str:
        """What a user who opens the panel first should know; empty where all is there."""
        if not self._missing:
            return ""
        text = _("Python packages are not installed yet: {names}. The first click on Segment asks whether it may.")
        return text.format(names=", ".join(self._missing))

    def refresh(self) -> None:
        """Shows it."""
        ui = self._context.ui
        ui.packagesLabel.setText(self.hint or _("All packages are installed."))
        busy = _("Wait until the segmentation is done.") if self._context.logic.busy else None
        enable(ui.installPackagesButton, busy or (None if self._missing else _("All packages are installed.")))
        enable(ui.installFromFolderButton, busy)
        enable(ui.doctorButton, _("The check is running.") if self._checking else None)

    def _install(self) -> None:
        packages.ensure(ask=True)
        self._installed()

    def _install_from_folder(self) -> None:
        folder = choose_folder(_("Folder with the packages' wheels"))
        if folder:
            packages.install_from_folder(folder)
            self._installed()

    def _installed(self) -> None:
        self.reload()
        if not self._missing:
            self._context.say(_("All packages are installed."))

    def _doctor(self) -> None:
        self._checking = True
        self._context.say(_("Checking the installation ..."))
        packages.doctor(self._on_report)

    def _on_report(self, report: str) -> None:
        self._checking = False
        self._context.ui.packagesSection.collapsed = False
        self._context.log(report)
        self._context.ui.statusLabel.setText(_("The report of the installation stands in the log."))
        self._context.refresh()
