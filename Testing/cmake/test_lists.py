"""What SegMambaSlicer/CMakeLists.txt lists is what lies in the folder: a file that is not listed does not ship."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

_spec = importlib.util.spec_from_file_location("list_files", Path(__file__).parent / "list_files.py")
list_files = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(list_files)

TEXT = (ROOT / "SegMambaSlicer" / "CMakeLists.txt").read_text()
HINT = "run `python Testing/cmake/list_files.py`"


def test_every_script_is_listed():
    assert list_files.listed(TEXT, "MODULE_PYTHON_SCRIPTS") == list_files.scripts(), HINT


def test_every_resource_is_listed():
    assert list_files.listed(TEXT, "MODULE_PYTHON_RESOURCES") == list_files.resources(), HINT


def test_no_file_of_the_module_is_of_a_kind_that_the_lists_do_not_know():
    folder = ROOT / "SegMambaSlicer"
    files = [
        f for f in folder.rglob("*") if f.is_file() and "__pycache__" not in f.parts and f.name != "CMakeLists.txt"
    ]
    known = {*list_files.scripts(), *list_files.resources()}
    assert {f.relative_to(folder).as_posix() for f in files} == known


@pytest.fixture
def module(tmp_path: Path) -> Path:
    for name in ("M.py", "SegMambaSlicerLib/a.py", "SegMambaSlicerLib/part/b.py", "Resources/Icons/M.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def test_the_script_replaces_both_lists_and_nothing_else(module):
    text = "# One\nset(MODULE_PYTHON_SCRIPTS\n  old.py\n  )\n# Two\nset(MODULE_PYTHON_RESOURCES\n  )\nmacro()\n"
    after = list_files.updated(text, module)
    assert after == (
        "# One\nset(MODULE_PYTHON_SCRIPTS\n  M.py\n  SegMambaSlicerLib/a.py\n  SegMambaSlicerLib/part/b.py\n  )\n"
        "# Two\nset(MODULE_PYTHON_RESOURCES\n  Resources/Icons/M.png\n  )\nmacro()\n"
    )
    assert list_files.updated(after, module) == after


def test_a_file_without_the_lists_is_refused(module):
    with pytest.raises(ValueError, match="MODULE_PYTHON_SCRIPTS"):
        list_files.updated("project(x)\n", module)
