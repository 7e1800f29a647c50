"""A small phantom as files and in the scene, and a user who presses buttons and waits."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

CHANNELS = ("T1", "T1Gd", "T2", "FLAIR")
MODEL = "phantom-lightmunet"


@pytest.fixture(scope="session")
def phantom_files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The four channels of a phantom, as files: small, segmented in a moment."""
    return _write_phantom(tmp_path_factory.mktemp("phantom"), (20, 24, 20))


@pytest.fixture(scope="session")
def large_files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The same on more voxels: takes long enough to be disturbed."""
    return _write_phantom(tmp_path_factory.mktemp("phantom"), (36, 44, 36))


def _write_phantom(folder: Path, size: tuple[int, int, int]) -> list[Path]:
    from segmamba.data.phantom import write_case

    name = write_case(folder, 1003, size=size, spacing=(4.0, 4.0, 4.0))
    return [folder / "imagesTr" / f"{name}_{n:04d}.nii.gz" for n in range(4)]


@pytest.fixture
def load_phantom(application: Any, phantom_files: list[Path]) -> Callable[..., list[Any]]:
    """Loads it as the user does: nodes named after the channels."""
    import slicer

    def load(files: list[Path] = phantom_files, name: str = "Phantom") -> list[Any]:
        channels = zip(files, CHANNELS, strict=True)
        return [slicer.util.loadVolume(str(file), {"name": f"{name} {channel}"}) for file, channel in channels]

    return load


class User:
    """Presses and waits; what the panel shows is read from its widgets."""

    def __init__(self, module: Any):
        self.module, self.ui, self.logic = module, module.ui, module.logic
        self.panel = module.widget.panel

    @property
    def parameters(self) -> Any:
        return self.logic.getParameterNode()

    @property
    def busy(self) -> bool:
        return self.logic.segmenting.busy

    def choose_model(self, name: str = MODEL) -> None:
        self.ui.modelSelector.setCurrentIndex(self.panel.models.shown().index(name))

    def press(self, name: str = "segmentButton") -> None:
        button = getattr(self.ui, name)
        assert button.enabled, button.toolTip
        button.click()

    def wait(self, until: Callable[[], bool] | None = None, seconds: float = 100) -> float:
        """Waits until something holds, by default until nothing runs; returns the seconds that it took."""
        import slicer

        begin = time.monotonic()
        until = until or (lambda: not self.busy)
        while not until():
            assert time.monotonic() - begin < seconds, f"{self.status}\n{self.log}"
            slicer.app.processEvents()
            time.sleep(0.002)
        return time.monotonic() - begin

    def segment(self) -> None:
        self.press()
        self.wait()

    @property
    def status(self) -> str:
        import re

        return re.sub("<[^>]*>", "", self.ui.statusLabel.text)

    @property
    def log(self) -> str:
        return self.ui.logText.toPlainText()


@pytest.fixture
def user(panel_module: Any) -> User:
    """The panel, open, in an empty scene."""
    return User(panel_module)


@pytest.fixture
def ready(user: User, load_phantom: Callable[[], list[Any]]) -> User:
    """The phantom is loaded and its model chosen."""
    load_phantom()
    user.choose_model()
    return user


@pytest.fixture
def busy(user: User, load_phantom: Callable[..., list[Any]], large_files: list[Path]) -> User:
    """In the middle of a segmentation that takes some seconds."""
    load_phantom(large_files)
    user.choose_model()
    user.parameters.overlap = 0.9
    user.press()
    user.wait(lambda: "Segmenting" in user.status)
    return user


@pytest.fixture
def quick(user: User, tiny_model: Path) -> User:
    """A model with one channel and two labels that takes a moment, and two volumes to segment."""
    import numpy as np
    import slicer

    matrix = np.diag([1.0, 1.0, 2.0, 1.0])
    for n in range(2):
        values = np.random.default_rng(n).normal(100, 30, (12, 18, 16))
        slicer.util.addVolumeFromArray(values, matrix, f"Head {n} T1")
    user.parameters.model = str(tiny_model)
    user.panel.inputs.pick(anew=True)
    return user
