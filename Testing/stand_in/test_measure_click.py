"""The command that measures a click, at a size that says nothing of speed."""

import json
import subprocess
import sys
from pathlib import Path

COMMAND = Path(__file__).resolve().parents[1] / "measure_click.py"


def test_two_clicks_are_measured_and_written(application, tmp_path):
    command = [sys.executable, str(COMMAND), "--quick", "--threads", "1", "-o", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-3:] == [
        str(tmp_path / f"click-quick.{suffix}") for suffix in ("md", "json", "png")
    ]
    document = json.loads((tmp_path / "click-quick.json").read_text())
    first, second = document["measurements"]
    assert not second["loaded"] and second["seconds"] < first["seconds"]
    for click in (first, second):
        assert 0 < click["compute_seconds"] < click["worker_seconds"] < click["seconds"]
    assert document["rows"][0]["must"] == "at most 1.00 s" and document["machine"]["packages"]["slicer-core"]
    text = (tmp_path / "click-quick.md").read_text()
    assert "Not in 3D Slicer" in text and "| second click: the model is in memory |" in text
    assert "`python Testing/measure_click.py --quick" in text


def test_wrong_threads_are_refused(application):
    done = subprocess.run([sys.executable, str(COMMAND), "--threads", "0"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "--threads" in done.stderr
