"""The command that renders the README's pictures."""

import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = Path(__file__).resolve().parents[1] / "pictures.py"


def test_every_picture_is_rendered_and_shows_something(application, tmp_path):
    import qt
    from slicer_stand_in import render

    if not render.available():
        pytest.skip(render.MISSING)
    command = [sys.executable, str(COMMAND), "--quick", "-o", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    names = ["panel-idle", "panel-running", "panel-done", "slices", "view-3d"]
    assert done.stdout.splitlines() == [str(tmp_path / f"{name}.png") for name in names]
    sizes = {}
    for name in names:
        picture = qt.QImage(str(tmp_path / f"{name}.png"))
        sizes[name] = picture.width(), picture.height()
        colours = {picture.pixel(x, y) for x in range(0, sizes[name][0], 7) for y in range(0, sizes[name][1], 7)}
        assert len(colours) > 5, name
    # The results come below what was there before.
    assert sizes["panel-idle"][0] == sizes["panel-done"][0] and sizes["panel-idle"][1] < sizes["panel-done"][1]
    assert (tmp_path / "panel-done.png").stat().st_size < 250_000
