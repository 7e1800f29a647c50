"""pytest's fixtures of the stand-in; a conftest.py imports those that its tests use."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from typing import Any

import pytest

from . import core


def _needs(available: bool, missing: str) -> None:
    if not available:
        pytest.skip(missing)


@pytest.fixture(scope="session")
def slicer_core() -> Any:
    """The module `slicer` of slicer-core, started; the test is skipped, saying so, where slicer-core is missing."""
    _needs(core.available(), core.MISSING)
    return core.start()


@pytest.fixture
def scene(slicer_core: Any) -> Iterator[Any]:
    """`slicer.mrmlScene`, empty before and after the test."""
    core.reset()
    yield slicer_core.mrmlScene
    core.reset()


@pytest.fixture(scope="session")
def started_application(slicer_core: Any, pytestconfig: pytest.Config) -> Any:
    from . import qt

    _needs(qt.available(), qt.MISSING)
    return qt.start(pytestconfig.getoption("--slicer-source", default=None))


@pytest.fixture
def application(started_application: Any) -> Iterator[Any]:
    """`slicer.app`, with an empty scene and nothing recorded. An error in a slot, which Qt swallows, fails the test."""
    from . import application as ours

    ours.reset()
    errors: list[str] = []
    before = sys.excepthook
    sys.excepthook = lambda *error: errors.append("".join(traceback.format_exception(*error)))
    try:
        yield started_application
        ours.reset()
    finally:
        sys.excepthook = before
    if errors:
        pytest.fail("errors in slots:\n" + "\n".join(errors), pytrace=False)


@pytest.fixture
def panel_module(application: Any) -> Any:
    """SegMambaSlicer.py, loaded as Slicer does: `.module` (C++ side), `.source`, `.widget`, `.logic`, `.ui`."""
    from .user import open_panel

    return open_panel(application)
