"""The compiled kernels of the scan, built on first use."""

from types import SimpleNamespace

from segmamba.native.compiled import native

_SOURCES = (
    "segmamba.native.simd", "segmamba.native.simd_code", "segmamba.scan.cpu.sizes", "segmamba.scan.cpu.place_kernel",
    "segmamba.scan.cpu.product_kernel", "segmamba.scan.cpu.forward_kernel", "segmamba.scan.cpu.backward_kernel",
    "segmamba.scan.cpu.conv_kernel", "segmamba.scan.cpu.project_kernel",
)  # fmt: skip


def kernels() -> SimpleNamespace:
    """The functions of ``kernel_entries``, each of a number of integers."""
    return native("scan", "segmamba.scan.cpu.entries", _SOURCES)
