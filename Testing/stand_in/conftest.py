"""Fixtures of the stand-in's own tests."""

import sys
from pathlib import Path

if str(Path(__file__).parent) not in sys.path:
    sys.path.insert(0, str(Path(__file__).parent))

from slicer_stand_in.fixtures import application, scene, slicer_core, started_application

__all__ = ["application", "scene", "slicer_core", "started_application"]
