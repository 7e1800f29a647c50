"""The environment of the worker process: the application's own, with what makes a Python process dependable."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import qt

__all__ = ["worker_environment"]


def worker_environment(package_folder: Path) -> Any:
    """A QProcessEnvironment for the worker.

    Args:
        package_folder: where the package ``segmamba`` lies; it comes first on the worker's path.
    """
    environment = qt.QProcessEnvironment.systemEnvironment()
    others = str(environment.value("PYTHONPATH") or "")
    environment.insert("PYTHONPATH", os.pathsep.join([str(package_folder), *filter(None, [others])]))
    environment.insert("PYTHONUNBUFFERED", "1")
    environment.insert("PYTHONIOENCODING", "utf-8")
    # Packages that the user has installed for another Python must not be mixed with Slicer's.
    environment.insert("PYTHONNOUSERSITE", "1")
    # Slicer's reader for its own scene, which has nothing to read in a process without one, only errors to print.
    environment.remove("ITK_AUTOLOAD_PATH")
    return environment
