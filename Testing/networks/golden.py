"""Reads the golden files: what the papers' published code computes (see the folder's own README)."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import torch


def module(reference_data: Path, name: str) -> ModuleType:
    """A helper script that lies beside the golden files (``load_golden`` or ``procw``)."""
    path = reference_data / "golden" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def procedural(reference_data: Path, name: str):
    """Configuration, weights, input and output of a full-size golden (``full_*``), weights made from its seed."""
    from safetensors import safe_open

    procw = module(reference_data, "procw")
    with safe_open(reference_data / "golden" / f"full_{name}.safetensors", "pt") as file:
        meta = json.loads(file.metadata()["meta"])
        output = file.get_tensor("output")
    shapes = json.loads((reference_data / "golden" / "keys" / f"{name}.json").read_text())["keys"]
    return procw, meta, shapes, output


def relative(got: torch.Tensor, expected: torch.Tensor) -> float:
    """Largest deviation as a fraction of the largest expected value (plain where that is zero)."""
    got, expected = got.detach().double(), expected.double()
    largest = float(expected.abs().max())
    return float((got - expected).abs().max()) / (largest or 1.0)
