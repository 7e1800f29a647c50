"""Slicer's Python files that slicer-core lacks: our stand-ins, or the real ones of a checkout of Slicer's sources."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

_NAMES = ("i18n", "ScriptedLoadableModule", "parameterNodeWrapper", "packaging")


def install(slicer_source: str | os.PathLike | None = None) -> None:
    """Makes slicer.i18n, .ScriptedLoadableModule, .parameterNodeWrapper, .packaging and SampleData importable.

    Args:
        slicer_source: a checkout of Slicer's sources; its own files are loaded then. `packaging` stays a stand-in in
            so far as nothing is ever installed.

    Raises:
        FileNotFoundError: if the folder is no checkout of Slicer.
    """
    import slicer

    if slicer_source is None:
        for name in _NAMES:
            ours = importlib.import_module(f"slicer_stand_in.{_OURS[name]}")
            sys.modules[f"slicer.{name}"] = ours
            setattr(slicer, name, ours)
        sys.modules["SampleData"] = importlib.import_module("slicer_stand_in.sample_data")
    else:
        _install_real(Path(slicer_source), slicer)
    slicer.modules.sampleDataSources = {}


_OURS = {
    "i18n": "i18n",
    "ScriptedLoadableModule": "scripted_module",
    "parameterNodeWrapper": "parameter_node",
    "packaging": "packaging",
}


def _install_real(source: Path, slicer: Any) -> None:
    folder = source / "Base" / "Python" / "slicer"
    if not (folder / "ScriptedLoadableModule.py").is_file():
        raise FileNotFoundError(f"{source} is no checkout of Slicer's sources: {folder} is missing there")
    for name in _NAMES:
        path = folder / f"{name}.py" if (folder / f"{name}.py").is_file() else folder / name / "__init__.py"
        spec = importlib.util.spec_from_file_location(
            f"slicer.{name}",
            path,
            submodule_search_locations=[str(folder / name)] if path.name == "__init__.py" else None,
        )
        module = importlib.util.module_from_spec(spec)
        sys.modules[f"slicer.{name}"] = module
        setattr(slicer, name, module)
        spec.loader.exec_module(module)
    from . import packaging

    packaging.guard(slicer.packaging)
    sample_data = source / "Modules" / "Scripted" / "SampleData"
    if sample_data.is_dir():
        sys.path.append(str(sample_data))
    else:
        sys.modules["SampleData"] = importlib.import_module("slicer_stand_in.sample_data")


def reset() -> None:
    """Forgets registered sample data and self-tests."""
    import slicer

    slicer.modules.sampleDataSources = {}
    slicer.selfTests = {}
