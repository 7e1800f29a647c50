"""What was installed is tried in a process of its own, while the windows live on."""

import pytest
from SegMambaSlicerLib.packages import checking

from segmamba.errors import UserError


def test_the_application_lives_while_packages_are_tried(application, tmp_path, monkeypatch):
    import qt

    (tmp_path / "slow_package.py").write_text("import time\ntime.sleep(0.5)\n")
    (tmp_path / "broken_package.py").write_text("raise OSError('no such library: c10.dll')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    ticks = []
    timer = qt.QTimer()
    timer.connect("timeout()", lambda: ticks.append(1))
    timer.start(20)
    checking.check_imports(["json", "slow_package"])
    timer.stop()
    assert len(ticks) > 5
    with pytest.raises(UserError, match=r"cannot be imported \(broken_package: OSError: no such library: c10.dll\)"):
        checking.check_imports(["broken_package"])


def test_a_python_that_cannot_be_started_and_one_that_takes_too_long_are_told(application, tmp_path, monkeypatch):
    (tmp_path / "slow_package.py").write_text("import time\ntime.sleep(60)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(checking, "_SECONDS", 0.5)
    with pytest.raises(UserError, match=r"cannot be started .* timed out"):
        checking.check_imports(["slow_package"])
    monkeypatch.setattr(checking, "python", lambda: ["/no/such/python"])
    with pytest.raises(UserError, match="cannot be started"):
        checking.check_imports(["json"])
