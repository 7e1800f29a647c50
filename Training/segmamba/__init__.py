"""SegMamba: Mamba 3D segmentation networks, from training to masks, wherever torch runs.

Importing this package imports neither torch nor SimpleITK; ``Segmenter`` does, when it is first asked for.
"""

__version__ = "0.1.0"
__all__ = ["Segmentation", "Segmenter", "__version__"]


def __getattr__(name: str):
    # Lazy: `segmamba --help` and Slicer's start-up must not pay for torch.
    if name in ("Segmenter", "Segmentation"):
        from segmamba.inference import segmenter

        return getattr(segmenter, name)
    raise AttributeError(f"module 'segmamba' has no attribute {name!r}")
