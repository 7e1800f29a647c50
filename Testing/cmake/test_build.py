"""The extension is configured, built and installed with CMake; what landed is what Slicer needs."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Compiled Python, written by CTK's own macro where a checkout of it is used.
COMPILED = (".pyc",)


def files(folder: Path, *suffixes: str) -> set[str]:
    """Every file below a folder, or those with a suffix, by its path below it."""
    found = (file for file in folder.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
    return {f.relative_to(folder).as_posix() for f in found if not suffixes or f.suffix in suffixes}


def tracked(folder: str) -> set[str]:
    """Files of the checkout that git knows; empty outside a repository."""
    done = subprocess.run(["git", "ls-files", "-z", folder], cwd=ROOT, capture_output=True, text=True)
    return (
        {name.removeprefix(folder + "/") for name in done.stdout.split("\0") if name} if done.returncode == 0 else set()
    )


def python_in(modules: Path, program: str, tmp_path: Path) -> str:
    """What a program prints that sees the installed tree and the standard library, and nothing else."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment |= {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
    start = f"import sys; sys.path.insert(0, {str(modules)!r})\n"
    # -S: no site-packages, so that nothing comes from this environment, nor from an editable installation.
    command = [sys.executable, "-I", "-S", "-B", "-c", start + program]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_file_of_the_module_lands_where_slicer_looks(installed):
    landed = files(installed.modules)
    assert "SegMambaSlicer.py" in landed
    sources = ROOT / "SegMambaSlicer"
    library = {f"SegMambaSlicerLib/{name}" for name in files(sources / "SegMambaSlicerLib", ".py")}
    assert library and library <= landed
    wanted = {"Resources/Icons/SegMambaSlicer.png", "Resources/UI/SegMambaSlicer.ui", "Resources/requirements.txt"}
    assert wanted | {f"Resources/{name}" for name in files(sources / "Resources")} <= landed


def test_the_package_lands_beside_the_module_whole(installed):
    landed = files(installed.modules / "segmamba", ".py")
    assert landed == files(ROOT / "Training" / "segmamba", ".py")
    assert {name for name in tracked("Training/segmamba") if (ROOT / "Training/segmamba" / name).exists()} <= files(
        installed.modules / "segmamba"
    )


def test_models_land_where_the_package_looks_for_shipped_ones(installed):
    landed, there = installed.modules / "segmamba" / "shipped", ROOT / "Resources" / "Models"
    assert files(landed) == files(there)
    for name in files(landed):
        assert (landed / name).read_bytes() == (there / name).read_bytes()


def test_nothing_else_lands(installed):
    """No test, no cache, and no top-level Python file but the module, for Slicer would take it for one."""
    landed = {name for name in files(installed.modules) if not name.endswith(COMPILED)}
    tops = ("SegMambaSlicer.py", "SegMambaSlicerLib/", "Resources/", "segmamba/")
    assert not {name for name in landed if not name.startswith(tops)}
    assert {Path(name).suffix for name in landed} <= {
        *(".py", ".json", ".jsonl", ".txt", ".md", ".png", ".ui", ".safetensors", ""),
    }
    assert not {name for name in landed if "__pycache__" in name or name.endswith((".nbi", ".nbc"))}


def test_the_installed_package_finds_the_shipped_models_with_the_standard_library_alone(installed, tmp_path):
    program = (
        "import segmamba, segmamba.models as models\n"
        "print(segmamba.__file__)\n"
        "for entry in models.entries():\n"
        "    print(entry.name, entry.source, entry.problem)\n"
    )
    place, *lines = python_in(installed.modules, program, tmp_path).splitlines()
    assert Path(place) == installed.modules / "segmamba" / "__init__.py"
    names = sorted(folder.name for folder in (ROOT / "Resources" / "Models").iterdir() if folder.is_dir())
    assert lines == [f"{name} shipped None" for name in names]


def test_the_installed_module_finds_the_package_beside_it(installed, tmp_path):
    program = (
        "from SegMambaSlicerLib import packages\n"
        "print(packages.package_folder())\n"
        "print(*packages.missing())\n"
        "print('numpy' in sys.modules or 'torch' in sys.modules)\n"
    )
    place, missing, heavy = python_in(installed.modules, program, tmp_path).splitlines()
    assert Path(place) == installed.modules.resolve()
    assert missing.split()[0] == "torch>=2.6"
    assert heavy == "False"


def test_the_installed_module_opens_in_the_stand_in(installed, slicer_source, tmp_path):
    """From the installed tree, with nothing of the checkout on the path but the stand-in of the application."""
    program = (
        "import json, sys\n"
        f"sys.path[:0] = [{str(installed.modules)!r}, {str(ROOT / 'Testing' / 'stand_in')!r}]\n"
        "from slicer_stand_in import core, modules, qt\n"
        "missing = '' if core.available() else core.MISSING\n"
        "missing = missing or ('' if qt.available() else qt.MISSING)\n"
        "if not missing:\n"
        "    core.start()\n"
        f"    qt.start({str(slicer_source) if slicer_source else None!r})\n"
        f"    modules.load(__import__('pathlib').Path({str(installed.modules)!r}) / 'SegMambaSlicer.py')\n"
        "    import slicer, segmamba, SegMambaSlicerLib\n"
        "    assert slicer.util.getModuleWidget('SegMambaSlicer') is not None\n"
        "    assert slicer.util.getModuleLogic('SegMambaSlicer') is not None\n"
        "    places = [segmamba.__file__, SegMambaSlicerLib.__file__, sys.modules['SegMambaSlicer'].__file__]\n"
        "    heavy = [name for name in ('torch', 'numba', 'monai') if name in sys.modules]\n"
        "print('said ' + json.dumps({'missing': missing} if missing else {'places': places, 'heavy': heavy}))\n"
        "sys.stdout.flush()\n"
        "__import__('os')._exit(0)\n"
    )
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen", "PYTHONPATH": ""}
    environment |= {"XDG_DATA_HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=120)
    lines = [line for line in done.stdout.splitlines() if line.startswith("said ")]
    assert lines, done.stdout + done.stderr
    said = json.loads(lines[-1][5:])
    if said.get("missing"):
        pytest.skip(said["missing"])
    assert all(Path(place).is_relative_to(installed.modules) for place in said["places"]), said["places"]
    assert said["heavy"] == []


def test_tests_are_registered_with_ctest(installed):
    ctest = Path(shutil.which("ctest", path=str(Path(sys.executable).parent)) or shutil.which("ctest"))
    done = subprocess.run([str(ctest), "-N"], cwd=installed.build, capture_output=True, text=True, timeout=60)
    assert "py_SegMambaSlicer" in done.stdout
    assert "py_nomainwindow_qSlicerSegMambaSlicerModuleGenericTest" in done.stdout


def test_the_extension_says_what_the_extensions_manager_shows(installed):
    said = json.loads((installed.build / "SegMamba.json").read_text())
    assert said["NAME"] == "SegMamba"  # the catalogue refuses a name that begins with "Slicer"
    assert said["DEPENDS"] == "PyTorch"
    assert said["CATEGORY"] == "Segmentation"
    assert Path(said["LICENSE_FILE"]) == installed.sources / "LICENSE.txt"
    assert Path(said["README_FILE"]) == installed.sources / "README.md"
    assert "\n" not in said["DESCRIPTION"] and ";" not in said["DESCRIPTION"]
    for url in (said["ICONURL"], *said["SCREENSHOTURLS"].split()):
        path = url.partition("/main/")[2]
        assert url.startswith("https://") and (ROOT / path).is_file(), url


def test_a_listed_file_that_is_missing_stops_the_build(configure, sources, tmp_path):
    copy = tmp_path / "sources"
    shutil.copytree(sources, copy)
    (copy / "SegMambaSlicer" / "Resources" / "requirements.txt").unlink()
    done = configure(copy, tmp_path / "build")
    assert done.returncode != 0
    assert "Resources/requirements.txt" in done.stderr


def test_a_new_file_of_the_package_is_found_at_the_next_build(installed, cmake, tmp_path):
    new = installed.sources / "Training" / "segmamba" / "brand_new.py"
    new.write_text('"""New."""\n')
    try:
        done = subprocess.run([cmake, "--build", str(installed.build)], capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        assert (installed.build / "lib/Slicer-5.12/qt-scripted-modules/segmamba/brand_new.py").is_file()
    finally:
        new.unlink()
