"""SegMamba: Mamba 3D segmentation networks, from training to masks, wherever torch runs.

Importing this package imports neither torch nor SimpleITK; ``Segmenter`` does, when it is first asked for, and so do
the modules that :data:`MODULES` names: ``segmamba.scan.selective_scan`` works after ``import segmamba``.
"""

import importlib

__version__ = "0.1.0"
__all__ = ["MODULES", "Segmentation", "Segmenter", "__version__"]

#: Modules that are imported when they are first asked for.
MODULES = ("bundle", "data", "evaluation", "grid", "images", "inference", "metadata", "models", "networks", "scan",
           "training")  # fmt: skip


def __getattr__(name: str):
    # Lazy: `segmamba --help` and Slicer's start-up must not pay for torch.
    if name in ("Segmenter", "Segmentation"):
        return getattr(importlib.import_module("segmamba.inference.segmenter"), name)
    if name in MODULES:
        return importlib.import_module(f"segmamba.{name}")
    raise AttributeError(f"module 'segmamba' has no attribute {name!r}")
