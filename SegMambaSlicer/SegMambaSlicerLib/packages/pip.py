"""Calls pip, by the best means that this Slicer has: slicer.packaging (5.12), slicer.util (5.10), or a process."""

import importlib
import logging
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import ModuleType

from SegMambaSlicerLib.packages.place import python
from SegMambaSlicerLib.packages.text import _

logger = logging.getLogger(__name__)

REQUESTER = "SegMamba"


def slicer_packaging() -> ModuleType | None:
    """The module ``slicer.packaging``; None before Slicer 5.12, and outside Slicer."""
    try:
        return importlib.import_module("slicer.packaging")
    except ImportError:
        return None


def application():
    """``slicer.app``; None outside Slicer's application."""
    try:
        import slicer
    except ImportError:
        return None
    return getattr(slicer, "app", None)


def testing() -> bool:
    """Whether Slicer runs its tests: then nothing is installed."""
    asked = getattr(application(), "testingEnabled", None)
    return bool(asked()) if callable(asked) else False


def ensure(requirements: list[str], constraints: Path) -> None:
    """Installs what is not there, showing progress.

    Raises:
        subprocess.CalledProcessError: pip failed; its output has been shown or logged.
        RuntimeError: the user declined.
    """
    packaging = slicer_packaging()
    if packaging is not None:
        # The question has been asked for all packages at once, and the restart is offered for all of them.
        packaging.pip_ensure(
            requirements, constraints=constraints, requester=REQUESTER, prompt_install=False, prompt_restart=False
        )
    else:
        install(requirements, constraints)


def install(arguments: list[str], constraints: Path, quiet: bool = False) -> None:
    """``pip install`` with these arguments.

    Args:
        arguments: requirements and options of pip.
        constraints: a file that pip is to obey.
        quiet: no dialogue about a failure, because there is a way out.

    Raises:
        subprocess.CalledProcessError: pip failed; its output is in the Python console.
    """
    packaging = slicer_packaging()
    if packaging is not None:
        # Its own progress dialog shows failures, too.
        with busy(_("Installing Python packages...")) if quiet else nullcontext():
            packaging.pip_install(arguments, constraints=constraints, requester=REQUESTER, show_progress=not quiet)
    elif application() is not None:
        import slicer

        with busy(_("Installing Python packages...")):
            slicer.util.pip_install([*arguments, "-c", str(constraints)])
    else:
        command = [*python(), "-m", "pip", "install", *arguments, "-c", str(constraints)]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
        logger.info("%s", done.stdout)
        done.check_returncode()


@contextmanager
def busy(text: str) -> Iterator[None]:
    """A window with a moving bar, in Slicer; it moves while pip writes lines, and nothing else can be pressed."""
    dialog = None
    if application() is not None and not testing():
        import qt
        import slicer

        dialog = slicer.util.createProgressDialog(labelText=text, maximum=0, windowTitle=REQUESTER)
        dialog.setWindowModality(qt.Qt.ApplicationModal)
        dialog.setCancelButton(None)  # there is no way back in the middle of an installation
        dialog.show()
        slicer.app.processEvents()
    try:
        yield
    finally:
        if dialog is not None:
            dialog.close()
            dialog.deleteLater()
