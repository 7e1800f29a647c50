"""``segmamba doctor`` in a process of its own: what runs where on this computer, and why."""

import logging
import os
from collections.abc import Callable

from SegMambaSlicerLib.packages.place import package_folder, python
from SegMambaSlicerLib.packages.requirements import missing
from SegMambaSlicerLib.packages.text import _

logger = logging.getLogger(__name__)

# Qt objects die with the last reference to them.
_running: set = set()


def doctor(callback: Callable[[str], None]):
    """Starts the report and returns at once.

    Args:
        callback: called once, in this thread, with the text of the report, or with a sentence on why there is none.

    Returns:
        the QProcess, which may be killed; None where packages are missing, and the callback has told so already.
    """
    if needed := missing():
        callback(
            _("These Python packages are missing: {names}. They are installed when you segment first.").format(
                names=", ".join(needed)
            )
        )
        return None
    import qt

    process = qt.QProcess()
    environment = qt.QProcessEnvironment.systemEnvironment()
    path = os.pathsep.join(filter(None, (str(package_folder()), os.environ.get("PYTHONPATH"))))
    environment.insert("PYTHONPATH", path)
    environment.insert("PYTHONIOENCODING", "utf-8")
    process.setProcessEnvironment(environment)
    process.setProcessChannelMode(qt.QProcess.MergedChannels)

    def end(text: str) -> None:
        # A process that cannot start may tell so by two signals.
        if process in _running:
            _running.discard(process)
            process.blockSignals(True)
            process.deleteLater()  # Qt would keep it, and the panel with it
            callback(text)

    def finished(*_arguments) -> None:
        end(_decoded(process.readAllStandardOutput()))

    def failed(*_arguments) -> None:
        if process.state() == qt.QProcess.NotRunning and process.error() == qt.QProcess.FailedToStart:
            end(_("{program} cannot be started.").format(program=program))

    process.finished.connect(finished)
    process.errorOccurred.connect(failed)
    _running.add(process)
    program, *arguments = python()
    process.start(program, [*arguments, "-m", "segmamba", "doctor"])
    return process


def _decoded(data) -> str:
    """Text of a QByteArray, whichever way the binding gives its bytes."""
    raw = data.data()
    return raw if isinstance(raw, str) else bytes(raw).decode("utf-8", errors="replace")
