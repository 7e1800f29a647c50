"""Somebody at the panel: opens it, chooses a model, presses buttons, waits; for commands and tests."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
MODULE = ROOT / "SegMambaSlicer" / "SegMambaSlicer.py"
MODEL = "phantom-lightmunet"
#: Of the small phantom.
SEED = 1003


class User:
    """Presses and waits; what the panel shows is read from its widgets.

    Args:
        module: what `open_panel` gives.
    """

    def __init__(self, module: Any):
        self.module, self.ui, self.logic = module, module.ui, module.logic
        self.panel = module.widget.panel

    @property
    def parameters(self) -> Any:
        """The panel's parameters in this scene."""
        return self.logic.getParameterNode()

    @property
    def busy(self) -> bool:
        """Whether something is segmented."""
        return self.logic.segmenting.busy

    @property
    def status(self) -> str:
        """The sentence below the button."""
        return re.sub("<[^>]*>", "", self.ui.statusLabel.text)

    @property
    def log(self) -> str:
        """What the panel's log holds."""
        return self.ui.logText.toPlainText()

    def load_phantom(self) -> list[Any]:
        """Clicks on the phantom in Sample Data; returns its volume nodes."""
        from . import sample_data

        return sample_data.press("SegMamba", "Brain tumour phantom")

    def load_small_phantom(self) -> list[Any]:
        """The same on few voxels, drawn in this process: segmented in a moment."""
        import slicer

        from segmamba.data.phantom import CHANNELS, write_case

        with tempfile.TemporaryDirectory() as folder:
            name = write_case(folder, SEED, size=(20, 24, 20), spacing=(4.0, 4.0, 4.0))
            files = [Path(folder) / "imagesTr" / f"{name}_{n:04d}.nii.gz" for n in range(len(CHANNELS))]
            return [
                slicer.util.loadVolume(str(file), {"name": f"Phantom {channel}"})
                for file, channel in zip(files, CHANNELS, strict=True)
            ]

    def choose_model(self, name: str = MODEL) -> None:
        """Chooses a model in the list."""
        self.ui.modelSelector.setCurrentIndex(self.panel.models.shown().index(name))

    def press(self, name: str = "segmentButton") -> None:
        """Presses a button, which must be enabled."""
        button = getattr(self.ui, name)
        if not button.enabled:
            raise AssertionError(f"{name} is not enabled: {button.toolTip}")
        button.click()

    def wait(self, until: Callable[[], bool] | None = None, seconds: float = 100) -> float:
        """Waits until something holds, by default until nothing runs; returns the seconds that it took."""
        import slicer

        begin = time.monotonic()
        until = until or (lambda: not self.busy)
        while not until():
            if time.monotonic() - begin > seconds:
                raise AssertionError(f"still waiting after {seconds} s: {self.status}\n{self.log}")
            slicer.app.processEvents()
            time.sleep(0.002)
        return time.monotonic() - begin

    def segment(self) -> None:
        """Presses Segment and waits for the end."""
        self.press()
        self.wait()


def open_panel(application: Any) -> SimpleNamespace:
    """SegMambaSlicer.py, loaded as Slicer does: `.module` (C++ side), `.source`, `.widget`, `.logic`, `.ui`."""
    import slicer

    from . import modules

    module = modules.load(MODULE)
    application.startupCompleted.emit()
    slicer.util.selectModule(module.name)
    widget = slicer.util.getModuleWidget(module.name)
    return SimpleNamespace(
        module=module,
        source=sys.modules[module.name],
        widget=widget,
        logic=slicer.util.getModuleLogic(module.name),
        ui=getattr(widget, "ui", None),
    )


@contextlib.contextmanager
def at_panel(slicer_source: str | os.PathLike | None = None) -> Iterator[User]:
    """The application with the panel open in an empty scene, for a command; once in a process.

    Settings and installed models are its own, so that it shows the same on every machine.

    Args:
        slicer_source: a checkout of Slicer's sources, as for `qt.start`.
    """
    from . import qt

    for folder in ("Training", "SegMambaSlicer"):
        if str(ROOT / folder) not in sys.path:
            sys.path.insert(0, str(ROOT / folder))
    with tempfile.TemporaryDirectory(prefix="slicer-stand-in-user-") as folder:
        for kind in ("DATA", "CONFIG"):
            os.environ[f"XDG_{kind}_HOME"] = str(Path(folder) / kind.lower())
        application = qt.start(slicer_source)
        from . import application as ours

        user = User(open_panel(application))
        try:
            yield user
        finally:
            ours.reset()
