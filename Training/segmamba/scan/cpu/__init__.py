"""The scan on the processor, in numba, and the inside of a mixer fused around it."""

from segmamba.scan.cpu.scan import selective_scan_cpu

__all__ = ["selective_scan_cpu"]
