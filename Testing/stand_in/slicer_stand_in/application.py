"""slicer.app: the application object with what scripted modules ask of it, and the main window around it."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import types
from pathlib import Path
from typing import Any

from PySide6 import QtCore, QtWidgets

from . import core, dialogs, modules
from .stored import stored

Signal = QtCore.Signal


class Application(QtWidgets.QApplication):
    """Stand-in of qSlicerApplication."""

    SIGNALS = ("startupCompleted()",)
    startupCompleted = Signal()

    temporaryPath, setTemporaryPath = stored(str, "temporaryPath", "")
    slicerHome, setSlicerHome = stored(str, "slicerHome", "")
    defaultScenePath, setDefaultScenePath = stored(str, "defaultScenePath", "")
    extensionsInstallPath, setExtensionsInstallPath = stored(str, "extensionsInstallPath", "")
    applicationVersion = QtCore.Property(str, lambda self: "5.13.0-stand-in")
    majorVersion = QtCore.Property(int, lambda self: 5)
    minorVersion = QtCore.Property(int, lambda self: 13)
    revision = QtCore.Property(str, lambda self: "0")
    os = QtCore.Property(str, lambda self: {"win32": "win", "darwin": "macosx"}.get(sys.platform, "linux"))
    platform = QtCore.Property(str, lambda self: f"{self.os}-amd64")
    documentationBaseUrl = QtCore.Property(str, lambda self: "https://slicer.readthedocs.io/en/latest/")

    def __init__(self) -> None:
        super().__init__(["slicer-stand-in"])
        self.setApplicationName("Slicer")
        self.setOrganizationName("slicer-stand-in")
        self._manager = modules.ModuleManager()
        self._layout: Any = None
        self._console: Any = None
        self._testing = False
        self.exit_requests: list[int] = []
        self.restart_requests = 0

    # The scene and its logics

    def mrmlScene(self) -> Any:
        import slicer

        return slicer.mrmlScene

    def applicationLogic(self) -> Any:
        return core.application_logic()

    def moduleManager(self) -> Any:
        return self._manager

    def layoutManager(self) -> Any:
        if self._layout is None:
            from .layout import LayoutManager

            self._layout = LayoutManager()
        return self._layout

    def coreIOManager(self) -> Any:
        from .files import FileManager

        return FileManager()

    ioManager = coreIOManager

    def pauseRender(self) -> None:
        self.applicationLogic().PauseRender()

    def resumeRender(self) -> None:
        self.applicationLogic().ResumeRender()

    # Settings and the rest of the window

    def userSettings(self) -> Any:
        return QtCore.QSettings()

    revisionUserSettings = settings = userSettings

    def pythonConsole(self) -> Any:
        if self._console is None:
            self._console = QtWidgets.QPlainTextEdit()
        return self._console

    def commandOptions(self) -> Any:
        return types.SimpleNamespace(noMainWindow=False, runPythonAndExit=False, noSplash=True)

    def testingEnabled(self) -> bool:
        """As `--testing` on Slicer's command line; see `set_testing`."""
        return self._testing

    def set_testing(self, on: bool) -> None:
        """Not in Slicer: whether message boxes are skipped, as with `--testing`."""
        self._testing = on

    def translate(self, context: str, text: str, *rest: Any) -> str:
        return QtCore.QCoreApplication.translate(context, text, *rest)

    def moduleDocumentationUrl(self, name: str) -> str:
        return f"{self.documentationBaseUrl}user_guide/modules/{name.lower()}.html"

    def startupEnvironment(self) -> Any:
        return QtCore.QProcessEnvironment.systemEnvironment()

    def errorLogModel(self) -> Any:
        return None

    def restart(self) -> None:
        """Recorded, not done."""
        self.restart_requests += 1

    def exit(self, status: int = 0) -> None:
        """Recorded, not done; `aboutToQuit` is emitted, so that what waits for it can be tested."""
        self.exit_requests.append(status)
        self.aboutToQuit.emit()

    quit = exit


class ModuleSelector(QtCore.QObject):
    """The toolbar's module selector: leaves the module that is open and opens another one."""

    SIGNALS = ("moduleSelected(QString)",)
    moduleSelected = Signal(str)
    selectedModule, _keep = stored(str, "selectedModule", "")

    def __init__(self, parent: Any):
        super().__init__(parent)
        self.history: list[str] = []

    def selectModule(self, name: str) -> None:
        """Modules that are not loaded here ("SegmentEditor", ...) are recorded in `history` all the same."""
        import slicer

        manager = slicer.app.moduleManager()
        before = manager.module(self.selectedModule) if self.selectedModule else None
        after = manager.module(name) if name else None
        for module, call in ((before, "exit"), (after, "enter")):
            widget = module.widgetRepresentation() if module is not None else None
            if widget is not None:
                getattr(widget, call)()
        self._keep(name)
        if name:
            self.history.append(name)
            self.moduleSelected.emit(name)


class MainWindow(QtWidgets.QMainWindow):
    """Stand-in of qSlicerMainWindow; never shown."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("qSlicerMainWindow")
        self._selector = ModuleSelector(self)

    def moduleSelector(self) -> ModuleSelector:
        return self._selector

    def pythonConsole(self) -> Any:
        import slicer

        return slicer.app.pythonConsole()


_window: MainWindow | None = None
_folder: Path | None = None


def start(slicer_source: str | os.PathLike | None) -> None:
    """Makes the application, the main window and the importable modules around them."""
    global _window, _folder
    import atexit

    import slicer

    from . import loader, mrml_widgets, python_files

    _folder = Path(tempfile.mkdtemp(prefix="slicer-stand-in-"))
    atexit.register(shutil.rmtree, _folder, ignore_errors=True)
    for name in ("home", "temporary", "scenes", "extensions", "settings"):
        (_folder / name).mkdir()
    # No test sees or changes the settings of the user's own programs.
    settings = QtCore.QSettings
    settings.setDefaultFormat(settings.Format.IniFormat)
    settings.setPath(settings.Format.IniFormat, settings.Scope.UserScope, str(_folder / "settings"))
    settings.setPath(settings.Format.IniFormat, settings.Scope.SystemScope, str(_folder / "settings"))
    application = Application()
    application.setTemporaryPath(str(_folder / "temporary"))
    application.setSlicerHome(str(_folder / "home"))
    application.setDefaultScenePath(str(_folder / "scenes"))
    application.setExtensionsInstallPath(str(_folder / "extensions"))
    slicer.app = application
    for cls in mrml_widgets.CLASSES:
        setattr(slicer, cls.__name__, cls)
        loader.QUiLoader.widget_classes[cls.__name__] = cls
    slicer.qSlicerScriptedLoadableModule = modules.qSlicerScriptedLoadableModule
    slicer.qSlicerScriptedLoadableModuleWidget = modules.qSlicerScriptedLoadableModuleWidget
    python_files.install(slicer_source)
    application.setQuitOnLastWindowClosed(False)
    _window = MainWindow()
    atexit.register(_end)


def _end() -> None:
    """As Slicer's end: those who wait for it are told, and modules go before Qt does."""
    import slicer

    slicer.app.aboutToQuit.emit()
    _unload_modules()
    slicer.app.processEvents()


def _unload_modules() -> None:
    import slicer

    for entry in list(vars(slicer.modules).values()):
        if isinstance(entry, modules.qSlicerScriptedLoadableModule):
            modules.unload(entry.name)


def reset() -> None:
    """Between tests: no scripted module loaded, an empty scene, no settings, nothing recorded, testing off."""
    import slicer

    from . import connections, packaging, python_files

    _unload_modules()
    connections.disconnect_all(slicer.app)
    slicer.app.sendPostedEvents(None, QtCore.QEvent.Type.DeferredDelete)
    slicer.app.processEvents()
    core.reset()
    QtCore.QSettings().clear()
    dialogs.reset()
    packaging.reset()
    python_files.reset()
    _window.moduleSelector().selectModule("")
    _window.moduleSelector().history.clear()
    slicer.app.set_testing(False)
    slicer.app.exit_requests.clear()
    slicer.app.restart_requests = 0
