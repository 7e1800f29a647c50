"""The backward kernels of the scan as ``native.compiled`` takes them: functions of one pointer to integers.

The order of the integers is that of the parameters of the function that an entry calls, tuples taken apart; what is
given as an address of floats may be read as bf16, too.
"""

from segmamba.native.simd import bf16s, floats, longs
from segmamba.scan.cpu.backward_kernel import backward_range, gather
from segmamba.scan.cpu.conv_kernel import differentiate_range
from segmamba.scan.cpu.project_kernel import gate_back_range, project_back_range


def scan_backward(p):
    """``backward_kernel.backward_range``."""
    backward_range(
        (p[0], p[1], p[2], p[3], p[4], p[5]),
        (p[6], p[7], p[8], p[9], p[10], p[11], p[12], p[13], p[14], p[15], p[16], p[17], p[18], p[19], p[20], p[21]),
        (p[22], p[23]),
        (p[24], p[25]),
        (p[26], p[27], p[28], p[29], p[30], p[31]),
        (p[32] != 0, p[33] != 0),
        floats(p[34]), floats(p[35]), floats(p[36]), floats(p[37]), floats(p[38]), floats(p[39]), floats(p[40]),
        floats(p[41]), floats(p[42]), floats(p[43]), floats(p[44]), floats(p[45]), floats(p[46]), floats(p[47]),
        floats(p[48]), floats(p[49]), floats(p[50]), floats(p[51]), floats(p[52]), floats(p[53]), floats(p[54]),
        longs(p[55]),
    )  # fmt: skip


def gather_states(p):
    """``backward_kernel.gather``."""
    gather(
        p[0], p[1], p[2], p[3], p[4], p[5], p[6], floats(p[7]), p[8], longs(p[9]), floats(p[10]), p[11], p[12], p[13]
    )  # fmt: skip


def differentiate(p):
    """``conv_kernel.differentiate_range``."""
    differentiate_range(
        p[0], p[1], p[2], p[3], (p[4], p[5], p[6], p[7], p[8], p[9], p[10]), p[11] != 0, floats(p[12]), bf16s(p[12]),
        p[13], floats(p[14]), floats(p[15]), floats(p[16]), p[17], floats(p[18]), floats(p[19]), p[20] != 0,
        floats(p[21]), p[22], floats(p[23]), floats(p[24]), longs(p[25]),
    )  # fmt: skip


def project_back(p):
    """``project_kernel.project_back_range``."""
    project_back_range(
        p[0], p[1], p[2], p[3], p[4], p[5], p[6], p[7], p[8], p[9], longs(p[10]), floats(p[11]), floats(p[12]),
        floats(p[13]), floats(p[14]), floats(p[15]), floats(p[16]), floats(p[17]), floats(p[18]), floats(p[19]),
        floats(p[20]), floats(p[21]),
    )  # fmt: skip


def gate_back(p):
    """``project_kernel.gate_back_range``."""
    gate_back_range(
        p[0], p[1], p[2], p[3] != 0, floats(p[4]), p[5], floats(p[6]), bf16s(p[6]), p[7], floats(p[8]), p[9],
        floats(p[10]), p[11],
    )  # fmt: skip


ENTRIES = (scan_backward, gather_states, differentiate, project_back, gate_back)
