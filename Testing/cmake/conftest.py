"""Fixtures of the tests of the extension's build: CMake, and the extension configured, built and installed once."""

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LEAST = (3, 28)
MODULES = "lib/Slicer-5.12/qt-scripted-modules"


@dataclass(frozen=True)
class Tree:
    """The extension, installed.

    Attributes:
        build: the build tree.
        modules: the folder that Slicer puts on sys.path and looks for modules in.
        sources: the copy of the checkout that was built.
    """

    build: Path
    modules: Path
    sources: Path


def _candidates() -> list[str]:
    beside = Path(sys.executable).parent  # the environment's own, which need not be activated
    return [found for found in (shutil.which("cmake", path=str(beside)), shutil.which("cmake")) if found]


@pytest.fixture(scope="session")
def cmake() -> str:
    """A CMake that is new enough; the test is skipped where there is none."""
    for program in _candidates():
        line = subprocess.run([program, "--version"], capture_output=True, text=True).stdout.split("\n")[0]
        version = tuple(int(number) for number in line.split()[-1].split("-")[0].split(".")[:2])
        if version >= LEAST:
            return program
    pytest.skip("no CMake 3.28 or newer; `pip install cmake` brings one")


@pytest.fixture(scope="session")
def slicer_source(pytestconfig: pytest.Config) -> Path | None:
    """A checkout of Slicer, whose own macros are used instead of the stand-in's, and CTK's where it lies beside."""
    folder = pytestconfig.getoption("--slicer-source", default=None)
    return Path(folder).resolve() if folder else None


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what the extension is built from, without caches: builds never write into the checkout."""
    folder = tmp_path_factory.mktemp("sources") / "SlicerSegMamba"
    leave = shutil.ignore_patterns("__pycache__", "results", "*.nbi", "*.nbc")
    for name in ("Resources", "SegMambaSlicer", "Training"):
        shutil.copytree(ROOT / name, folder / name, ignore=leave)
    for name in ("CMakeLists.txt", "LICENSE.txt", "README.md"):
        shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="session")
def configure(cmake: str, slicer_source: Path | None):
    """``configure(sources, build)`` runs CMake's first step and returns what it did."""

    def run(sources: Path, build: Path) -> subprocess.CompletedProcess:
        stand_in = Path(__file__).parent / "slicer"
        options = [f"-DSlicer_DIR={stand_in}", f"-DCMAKE_TOOLCHAIN_FILE={stand_in / 'NoCompiler.cmake'}"]
        if slicer_source:
            options.append(f"-DSlicer_STAND_IN_SOURCE={slicer_source}")
            ctk = slicer_source.parent / "CTK"
            if ctk.is_dir():
                options += [f"-DCTK_STAND_IN_SOURCE={ctk}", f"-DSlicer_STAND_IN_PYTHON={sys.executable}"]
        command = [cmake, "-S", str(sources), "-B", str(build), *options]
        return subprocess.run(command, capture_output=True, text=True, timeout=120)

    return run


@pytest.fixture(scope="session")
def installed(cmake: str, configure, sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Tree:
    """The extension, configured, built and installed."""
    build, target = tmp_path_factory.mktemp("build"), tmp_path_factory.mktemp("installed")
    done = configure(sources, build)
    assert done.returncode == 0, done.stdout + done.stderr
    for step in (["--build", str(build)], ["--install", str(build), "--prefix", str(target)]):
        done = subprocess.run([cmake, *step], capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
    return Tree(build, target / MODULES, sources)
