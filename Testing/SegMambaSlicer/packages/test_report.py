"""The report is made by another process, and always ends in one call with a text."""

import os
import sys
import time
from types import SimpleNamespace

import pytest
from SegMambaSlicerLib import packages


@pytest.fixture
def qt(monkeypatch: pytest.MonkeyPatch):
    """Qt's real processes."""
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    core = pytest.importorskip("PySide6.QtCore")
    # With windows, because other tests in this process need them and there can be only one application.
    application = core.QCoreApplication.instance() or pytest.importorskip("PySide6.QtWidgets").QApplication([])
    names = {name: getattr(core, name) for name in ("QProcess", "QProcessEnvironment")}
    monkeypatch.setitem(sys.modules, "qt", SimpleNamespace(**names))
    return application


def wait(qt, texts: list[str], seconds: float = 120) -> str:
    end = time.monotonic() + seconds
    while not texts and time.monotonic() < end:
        qt.processEvents()
        time.sleep(0.01)
    assert len(texts) == 1, texts
    return texts[0]


def test_the_report_of_the_command_line_arrives_whole(qt):
    texts: list[str] = []
    process = packages.doctor(texts.append)
    assert process is not None and texts == []  # at once: the panel does not wait
    text = wait(qt, texts)
    assert text.startswith("segmamba ") and "Device cpu" in text and "Models" in text


def test_a_program_that_cannot_start_is_told(qt, monkeypatch):
    monkeypatch.setattr("SegMambaSlicerLib.packages.report.python", lambda: ["/no/such/python"])
    texts: list[str] = []
    packages.doctor(texts.append)
    assert wait(qt, texts, 5) == "/no/such/python cannot be started."


def test_missing_packages_are_told_without_a_process(monkeypatch):
    monkeypatch.setattr("SegMambaSlicerLib.packages.report.missing", lambda: ["torch>=2.6", "safetensors>=0.4"])
    texts: list[str] = []
    assert packages.doctor(texts.append) is None
    assert len(texts) == 1 and "torch>=2.6, safetensors>=0.4" in texts[0]
