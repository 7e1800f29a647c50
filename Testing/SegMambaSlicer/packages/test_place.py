"""Where the package, the module's files and the Python for other processes are found."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

from SegMambaSlicerLib import packages
from SegMambaSlicerLib.packages import place

ROOT = Path(__file__).resolve().parents[3]


def test_in_a_checkout_the_package_lies_in_training():
    assert packages.package_folder() == ROOT / "Training"


def test_a_package_beside_the_module_comes_first(tmp_path, monkeypatch):
    for name in ("modules/segmamba", "Training/segmamba"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "__init__.py").touch()
    monkeypatch.setattr(place, "MODULE_FOLDER", tmp_path / "modules")
    assert packages.package_folder() == tmp_path / "modules"
    (tmp_path / "modules/segmamba/__init__.py").unlink()
    assert packages.package_folder() == tmp_path / "Training"


def test_a_plain_checkout_is_put_on_the_path_once():
    program = (
        f"import sys; sys.path.insert(0, {str(ROOT / 'SegMambaSlicer')!r})\n"
        "from SegMambaSlicerLib import packages\n"
        "packages.make_importable()\n"
        "import segmamba\n"
        f"print(segmamba.__file__, sys.path.count({str(ROOT / 'Training')!r}))\n"
    )
    command = [sys.executable, "-I", "-S", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == [str(ROOT / "Training" / "segmamba" / "__init__.py"), "1"], done.stderr


def test_an_incomplete_extension_is_logged_and_stops_nothing(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(place, "MODULE_FOLDER", tmp_path / "modules")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    packages.make_importable()
    assert "install the extension SegMamba anew" in caplog.text


def test_processes_run_this_python_outside_slicer_and_pythonslicer_within(tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "slicer", raising=False)
    assert packages.python() == [sys.executable]
    program = tmp_path / "bin" / ("PythonSlicer.exe" if sys.platform == "win32" else "PythonSlicer")
    program.parent.mkdir()
    monkeypatch.setitem(sys.modules, "slicer", SimpleNamespace(app=SimpleNamespace(slicerHome=str(tmp_path))))
    assert packages.python() == [sys.executable]  # a stand-in, which has a home and no PythonSlicer
    program.touch()
    assert packages.python() == [str(program)]


def test_start_up_imports_nothing_heavy():
    program = (
        "import sys; sys.modules['slicer'] = None\n"
        f"sys.path.insert(0, {str(ROOT / 'SegMambaSlicer')!r})\n"
        "from SegMambaSlicerLib import packages\n"
        "packages.missing(), packages.optional_missing(), packages.package_folder(), packages.python()\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules} - set(sys.stdlib_module_names)))\n"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "['SegMambaSlicerLib', '__main__', 'segmamba', 'slicer']", done.stderr
