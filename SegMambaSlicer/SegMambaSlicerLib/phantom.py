"""A brain-tumour phantom as sample data: drawn on this computer, nothing is downloaded and no patient is in it."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from segmamba.errors import UserError

from . import packages
from .jobs.lines import from_qt
from .jobs.waiting import Quitting, look, wait_until

__all__ = ["CATEGORY", "SAMPLE", "load_phantom", "register"]

logger = logging.getLogger(__name__)

CATEGORY, SAMPLE = "SegMamba", "Brain tumour phantom"
CHANNELS = ("T1", "T1Gd", "T2", "FLAIR")
#: Not among those that the model phantom-lightmunet was trained on.
SEED = 1001


def register(thumbnail: str | None = None) -> None:
    """Puts the phantom into the module Sample Data, where its button draws it.

    ``SampleData.downloadSample`` cannot: it downloads by address alone and knows nothing of functions; scripts call
    :func:`load_phantom`.
    """
    import SampleData

    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category=CATEGORY,
        sampleName=SAMPLE,
        thumbnailFileName=thumbnail,
        uris="",
        fileNames="",
        nodeNames="Phantom T1",
        customDownloader=_on_pressed,
    )


def load_phantom(seed: int = SEED) -> list[Any]:
    """Draws a phantom in a process of its own and loads its four volumes.

    Args:
        seed: another one for another brain and tumour.

    Returns:
        The volume nodes "Phantom T1", "Phantom T1Gd", "Phantom T2" and "Phantom FLAIR".

    Raises:
        UserError: it could not be drawn; the sentence has the process's last line.
    """
    folder = Path(tempfile.mkdtemp(prefix="segmamba-phantom-"))
    try:
        data = folder / "phantom"
        _draw(data, seed)
        volumes = []
        for file, channel in zip(sorted((data / "imagesTr").iterdir()), CHANNELS, strict=True):
            volume = slicer.util.loadVolume(str(file), {"name": f"Phantom {channel}", "show": channel == CHANNELS[0]})
            # Its file is about to go: the volume counts as new, and is offered for saving.
            storage = volume.GetStorageNode()
            volume.SetAndObserveStorageNodeID(None)
            if storage is not None:
                slicer.mrmlScene.RemoveNode(storage)
            volumes.append(volume)
        return volumes
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _on_pressed(_source: Any = None) -> list[Any] | None:
    """What the button in Sample Data does."""
    with slicer.util.tryWithErrorDisplay(_("The phantom could not be loaded."), waitCursor=True):
        try:
            return load_phantom()
        except Quitting:  # nobody is there to read about it
            return None


def _draw(folder: Path, seed: int) -> None:
    program, *arguments = packages.python()
    environment = qt.QProcessEnvironment.systemEnvironment()
    path = os.pathsep.join(filter(None, (str(packages.package_folder()), os.environ.get("PYTHONPATH"))))
    environment.insert("PYTHONPATH", path)
    process = qt.QProcess()
    process.setProcessEnvironment(environment)
    command = ["-m", "segmamba", "data", "phantom", "-o", str(folder), "--cases", "1", "--seed", str(seed)]
    process.connect("finished(int,QProcess::ExitStatus)", look)
    process.start(program, [*arguments, *command, "--progress", "none"])
    try:
        wait_until(lambda: process.state() == qt.QProcess.NotRunning, timeout_s=120)
        _check(process, folder)
    finally:
        if process.state() != qt.QProcess.NotRunning:
            process.kill()
            process.waitForFinished(1000)
        process.deleteLater()


def _check(process: Any, folder: Path) -> None:
    """Raises UserError unless the process has drawn the phantom."""
    ended = process.state() == qt.QProcess.NotRunning and process.exitStatus() == qt.QProcess.NormalExit
    if not ended or process.exitCode() != 0 or not folder.is_dir():
        lines = from_qt(process.readAllStandardError()).decode("utf-8", errors="replace").splitlines()
        reason = lines[-1] if lines else process.errorString()
        raise UserError(_("The phantom could not be drawn: {reason}").format(reason=reason))
