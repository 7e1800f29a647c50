"""Whether what was installed can be imported, tried in a process of its own."""

import logging
import os
import subprocess
import sys

from segmamba.errors import UserError
from SegMambaSlicerLib.packages import pip
from SegMambaSlicerLib.packages.place import python
from SegMambaSlicerLib.packages.text import _

logger = logging.getLogger(__name__)

_SECONDS = 300  # the first import of PyTorch reads gigabytes, from slow disks under a virus scanner
# Each by itself, so that the message names the one that fails.
_PROGRAM = """
import importlib, sys
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except Exception as error:
        sys.exit(f"{name}: {type(error).__name__}: {error}")
"""


def check_imports(names: list[str]) -> None:
    """Imports the packages in another process; in Slicer, whose windows live on meanwhile.

    Raises:
        UserError: one of them is installed and cannot be imported.
    """
    command = [*python(), "-c", _PROGRAM, *names]
    try:
        with pip.busy(_("Trying the installed packages...")):
            code, errors = _run_by_qt(command) if _has_processes() else _run(command)
    except (OSError, subprocess.TimeoutExpired) as error:
        logger.exception("the packages cannot be tried")
        raise UserError(
            _("Python cannot be started to try the installed packages ({error}): restart Slicer").format(error=error)
        ) from error
    if code:
        logger.error("%s", errors)
        reason = (errors.strip().splitlines() or [_("it gave no reason")])[-1]
        raise UserError(
            _("A package is installed and cannot be imported ({reason}): restart Slicer, or install it anew").format(
                reason=reason
            )
        )


def _has_processes() -> bool:
    return pip.application() is not None and hasattr(sys.modules.get("qt"), "QProcess")


def _run(command: list[str]) -> tuple[int, str]:
    """Exit code and standard error."""
    options = {"creationflags": subprocess.CREATE_NO_WINDOW} if sys.platform == "win32" else {}
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=_SECONDS,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        **options,
    )
    return done.returncode, done.stderr


def _run_by_qt(command: list[str]) -> tuple[int, str]:
    """The same, with the application's events handled until it ends."""
    import qt

    from SegMambaSlicerLib.jobs.lines import from_qt
    from SegMambaSlicerLib.jobs.waiting import look, wait_until

    environment = qt.QProcessEnvironment.systemEnvironment()
    environment.insert("PYTHONIOENCODING", "utf-8")
    process = qt.QProcess()
    process.setProcessEnvironment(environment)
    process.setStandardInputFile(qt.QProcess.nullDevice())
    process.connect("finished(int,QProcess::ExitStatus)", look)
    process.start(command[0], command[1:])
    try:
        if not wait_until(lambda: process.state() == qt.QProcess.NotRunning, _SECONDS):
            raise subprocess.TimeoutExpired(command, _SECONDS)
        if process.error() == qt.QProcess.FailedToStart:
            raise OSError(str(process.errorString()))
        errors = from_qt(process.readAllStandardError()).decode("utf-8", errors="replace")
        return int(process.exitCode()) if process.exitStatus() == qt.QProcess.NormalExit else -1, errors
    finally:
        if process.state() != qt.QProcess.NotRunning:
            process.kill()
            process.waitForFinished(1000)
        process.deleteLater()
