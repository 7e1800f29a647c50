"""The compiled kernels of the scan, built on first use: those of the way back only where something is trained."""

from types import SimpleNamespace

from segmamba.native.compiled import native

_SHARED = (
    "segmamba.native.simd", "segmamba.native.simd_code", "segmamba.scan.cpu.sizes", "segmamba.scan.cpu.place_kernel",
    "segmamba.scan.cpu.product_kernel", "segmamba.scan.cpu.forward_kernel", "segmamba.scan.cpu.conv_kernel",
)  # fmt: skip
_BACK = "segmamba.scan.cpu.backward_kernel", "segmamba.scan.cpu.project_kernel"


def forward_kernels() -> SimpleNamespace:
    """The functions of ``forward_entries``, each of a number of integers."""
    return native("scan", "segmamba.scan.cpu.forward_entries", _SHARED)


def backward_kernels() -> SimpleNamespace:
    """The functions of ``backward_entries``, likewise."""
    return native("scan-backward", "segmamba.scan.cpu.backward_entries", (*_SHARED, *_BACK))
