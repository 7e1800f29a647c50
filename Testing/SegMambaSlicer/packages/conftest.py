"""A throw-away Python in which real pip installs tiny wheels, and a Slicer of a few lines that records its calls."""

import base64
import hashlib
import importlib.util
import json
import os
import subprocess
import venv
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
SLICERS = Path(__file__).parent / "slicers"
#: What Slicer brings, as tiny packages.
OWN = {"numpy": "2.4.6", "scipy": "1.17.1", "simpleitk": "2.5.5", "requests": "2.34.2"}


def write_wheel(folder: Path, name: str, version: str, requires: tuple[str, ...] = (), code: str = "") -> Path:
    """A wheel with one module of the package's name."""
    folder.mkdir(parents=True, exist_ok=True)
    info = f"{name}-{version}.dist-info"
    needs = "".join(f"Requires-Dist: {requirement}\n" for requirement in requires)
    files = {
        f"{name}.py": f"__version__ = {version!r}\n{code}",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/top_level.txt": f"{name}\n",
    }
    record = ""
    for path, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        record += f"{path},sha256={digest},{len(text.encode())}\n"
    files[f"{info}/RECORD"] = record + f"{info}/RECORD,,\n"
    wheel = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return wheel


@dataclass(frozen=True)
class Computer:
    """A Python with Slicer's own packages, and a folder of wheels that stands for the package index.

    Attributes:
        python: its program.
        site: its folder of packages.
        wheels: the index.
    """

    python: Path
    site: Path
    wheels: Path

    def add(self, name: str, version: str, *requires: str, code: str = "") -> None:
        """Puts a wheel into the index."""
        write_wheel(self.wheels, name, version, requires, code)

    def install(self, name: str, version: str, code: str = "") -> None:
        """Has a package installed from the start."""
        with zipfile.ZipFile(write_wheel(self.wheels.parent / "own", name, version, (), code)) as archive:
            archive.extractall(self.site)

    def versions(self) -> dict[str, str]:
        """What is installed now."""
        found = (folder.name.removesuffix(".dist-info").partition("-") for folder in self.site.glob("*.dist-info"))
        return {name.lower(): version for name, _, version in found}

    def run(self, program: str, slicer: str | None = None, **environment: str) -> dict:
        """Runs a program there that may fill a dictionary ``said``, and returns that; with ``error`` if it raised.

        Args:
            program: Python; ``packages`` is imported.
            slicer: ``5.10`` or ``5.12``, whose functions for packages are there; or a folder with a ``slicer`` more.
            environment: variables more.
        """
        folders = [str(ROOT / "SegMambaSlicer")]
        if slicer:
            folders += [str(SLICERS / "common")]
            if slicer != "5.10":
                folders += [str(SLICERS / "packaging") if slicer == "5.12" else slicer]
        start = "import json, logging, sys\nlogging.basicConfig(level=logging.DEBUG, stream=sys.stderr)\nsaid = {}\n"
        if slicer:
            start += "import slicer\n"
        start += "try:\n    from SegMambaSlicerLib import packages\n"
        body = "".join(f"    {line}\n" for line in program.splitlines())
        end = (
            "except Exception as error:\n    logging.exception('raised')\n"
            "    said['error'] = f'{type(error).__name__}: {error}'\n"
        )
        if slicer:
            end += "said |= slicer.recorded\n"
        end += "print('said ' + json.dumps(said))\n"
        variables = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PIP_"))}
        variables |= {"PYTHONPATH": os.pathsep.join(folders), "PYTHONDONTWRITEBYTECODE": "1"}
        variables |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": self.wheels.as_uri(), **environment}
        variables |= {"PIP_NO_CACHE_DIR": "1", "PIP_CONFIG_FILE": os.devnull, "PIP_NO_COMPILE": "1"}
        command = [str(self.python), "-c", start + body + end]
        done = subprocess.run(command, capture_output=True, text=True, env=variables, timeout=120)
        lines = [line for line in done.stdout.splitlines() if line.startswith("said ")]
        assert lines, done.stdout + done.stderr
        return {**json.loads(lines[-1][5:]), "log": done.stdout + done.stderr}


@pytest.fixture
def computer(tmp_path: Path) -> Computer:
    """A computer whose index has everything that is needed; older numba is no way out, as with the real ones."""
    pip = importlib.util.find_spec("pip")
    if pip is None:
        pytest.skip("no pip in the Python that runs the tests")
    place = tmp_path / "computer"
    venv.EnvBuilder(with_pip=False, symlinks=os.name != "nt").create(place)
    programs = place / ("Scripts" if os.name == "nt" else "bin")
    python = programs / ("python.exe" if os.name == "nt" else "python")
    site = next(place.glob("lib/python3*/site-packages"), place / "Lib" / "site-packages")
    # The same pip, without copying it; and it is not a package of this Python, so it is never changed.
    (site / "pip.pth").write_text(str(_only_pip(tmp_path, Path(pip.origin).parent)) + "\n")
    made = Computer(python, site, tmp_path / "index")
    for name, version in OWN.items():
        made.install(name, version)
    made.add("torch", "2.7.0", "numpy>=1.26", "sympy")
    made.add("sympy", "1.14.0")
    made.add("safetensors", "0.5.0")
    made.add("platformdirs", "4.3.0")
    made.add("numba", "0.65.0", "numpy<2.6,>=1.22", "llvmlite>=0.46")
    made.add("llvmlite", "0.46.0")
    # What pip would like to take, if it were let.
    for name, version in (("numpy", "2.2.0"), ("numpy", "2.9.0"), ("requests", "3.0.0"), ("scipy", "2.0.0")):
        made.add(name, version)
    return made


def _only_pip(tmp_path: Path, pip: Path) -> Path:
    folder = tmp_path / "pip"
    folder.mkdir()
    (folder / "pip").symlink_to(pip, target_is_directory=True)
    return folder


@pytest.fixture
def unchanged(computer: Computer) -> Callable[[], bool]:
    """Whether Slicer's own packages are at their versions."""
    return lambda: OWN.items() <= computer.versions().items()
