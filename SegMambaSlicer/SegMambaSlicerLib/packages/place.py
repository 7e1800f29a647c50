"""Where things lie: the package segmamba, the files of the module, the Python that runs the worker."""

import importlib.util
import logging
import os
import shutil
import sys
from pathlib import Path

logger = logging.getLogger(__name__)

#: The folder of the module: ``SegMambaSlicer`` in a checkout, ``qt-scripted-modules`` where it is installed.
MODULE_FOLDER = Path(__file__).resolve().parents[2]


def package_folder() -> Path:
    """The folder to put on a Python path so that ``import segmamba`` works.

    It lies beside the module in an installed extension, and in ``Training`` in a checkout.

    Raises:
        FileNotFoundError: there is no such package anywhere, so that the extension is not whole.
    """
    for folder in (MODULE_FOLDER, MODULE_FOLDER.parent / "Training"):
        if (folder / "segmamba" / "__init__.py").is_file():
            return folder
    spec = importlib.util.find_spec("segmamba")
    if spec is None or spec.origin is None:
        raise FileNotFoundError(
            f"the package segmamba is not beside {MODULE_FOLDER}: install the extension SegMamba anew"
        )
    return Path(spec.origin).resolve().parents[1]


def make_importable() -> None:
    """Lets ``import segmamba`` work from a plain checkout; does nothing in an installed extension."""
    try:
        folder = str(package_folder())
    except FileNotFoundError:
        logger.exception("segmamba cannot be imported")
        return
    if folder not in sys.path:
        # First, so that a checkout is not hidden by another version that pip installed.
        sys.path.insert(0, folder)


def resource(name: str) -> Path:
    """A file of the module's folder ``Resources``."""
    return MODULE_FOLDER / "Resources" / name


def python() -> list[str]:
    """The program that runs Python as a process of its own, and its leading arguments.

    PythonSlicer in Slicer, whose own executable is no Python; elsewhere the Python that runs this.
    """
    name = "PythonSlicer.exe" if os.name == "nt" else "PythonSlicer"
    home = getattr(_application(), "slicerHome", None)
    if home and (Path(home) / "bin" / name).is_file():
        return [str(Path(home) / "bin" / name)]
    if sys.executable and Path(sys.executable).stem.lower().startswith("python"):
        return [sys.executable]
    found = shutil.which("PythonSlicer")
    return [found or sys.executable]


def _application():
    """``slicer.app``, or None outside Slicer."""
    return getattr(sys.modules.get("slicer"), "app", None)
