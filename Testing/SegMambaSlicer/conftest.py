"""Fixtures of the extension's tests: Slicer's core libraries with a stand-in for the application (Testing/stand_in)."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# As in Slicer, where the module's folder and the bundled package are on the path.
for folder in ("Training", "SegMambaSlicer", "Testing/stand_in"):
    if str(ROOT / folder) not in sys.path:
        sys.path.insert(0, str(ROOT / folder))

from slicer_stand_in.fixtures import application, panel_module, scene, slicer_core, started_application  # noqa: E402

__all__ = ["application", "panel_module", "scene", "slicer_core", "started_application"]
