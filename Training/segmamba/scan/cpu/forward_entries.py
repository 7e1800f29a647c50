"""The forward kernels of the scan as ``native.compiled`` takes them: functions of one pointer to integers.

The order of the integers is that of the parameters of the function that an entry calls, tuples taken apart; what is
given as an address of floats may be read as bf16, too.
"""

from segmamba.native.simd import bf16s, floats, longs
from segmamba.scan.cpu.conv_kernel import convolve_range
from segmamba.scan.cpu.forward_kernel import forward_range


def scan_forward(p):
    """``forward_kernel.forward_range``."""
    forward_range(
        (p[0], p[1], p[2], p[3], p[4], p[5]),
        (p[6], p[7], p[8], p[9], p[10], p[11], p[12], p[13], p[14], p[15], p[16], p[17], p[18], p[19]),
        (p[20], p[21]),
        (p[22], p[23]),
        (p[24], p[25], p[26], p[27], p[28], p[29]),
        (p[30] != 0, p[31] != 0, p[32] != 0, p[33] != 0, p[34] != 0, p[35] != 0, p[36] != 0),
        floats(p[37]), floats(p[38]), floats(p[39]), floats(p[40]), bf16s(p[40]), floats(p[41]), floats(p[42]),
        floats(p[43]), floats(p[44]), floats(p[45]), floats(p[46]), floats(p[47]), floats(p[48]), floats(p[49]),
        bf16s(p[49]), floats(p[50]), longs(p[51]),
    )  # fmt: skip


def convolve(p):
    """``conv_kernel.convolve_range``."""
    convolve_range(
        p[0], p[1], p[2], (p[3], p[4], p[5], p[6], p[7], p[8], p[9]), p[10] != 0, floats(p[11]), bf16s(p[11]),
        p[12], floats(p[13]), floats(p[14]), floats(p[15]), p[16], floats(p[17]), p[18], floats(p[19]), p[20],
        longs(p[21]),
    )  # fmt: skip


ENTRIES = (scan_forward, convolve)
