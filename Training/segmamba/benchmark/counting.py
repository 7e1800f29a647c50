"""Multiply-adds of a network, the scan counted, without computing anything: on torch's meta device.

torch's FlopCounterMode counts convolutions, transposed ones at the resolution of their input, and matrix products, as
two operations for each multiply-add; element-wise operations, norms and interpolations count nothing.  It knows nothing
of a scan, so the scan is given to it as an operator with a formula: four multiply-adds for each of its elements,
B x L x channels x state.  Those are delta A, exp(delta A) h, + (delta u) B and y + C h; the exponential itself, one an
element, is left out as all functions are.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from segmamba.benchmark.oracles import plain_mixers
from segmamba.networks.mixer import Mamba

#: Multiply-adds for each element of a scan.
PER_ELEMENT = 4


@torch.library.custom_op("segmamba_benchmark::scan", mutates_args=())
def _scan(u: Tensor, A: Tensor) -> Tensor:
    """Stands for a scan of u (B, channels, L) with A (channels, state): a shape and nothing else."""
    raise NotImplementedError("only counted")


@_scan.register_fake
def _(u: Tensor, A: Tensor) -> Tensor:
    return torch.empty_like(u)


@dataclass(frozen=True)
class Count:
    """What a network takes.

    Attributes:
        parameters: Trainable numbers.
        macs: Multiply-adds of one forward without its scans.
        scan_elements: B x L x channels x state, summed over all scans.
    """

    parameters: int
    macs: int
    scan_elements: int

    @property
    def macs_with_scan(self) -> int:
        """Multiply-adds of one forward."""
        return self.macs + PER_ELEMENT * self.scan_elements


def count(network: nn.Module, channels: int, size: tuple[int, ...]) -> Count:
    """Counts one forward of ``network`` on one image of ``channels`` and ``size``.

    The network is moved to the meta device: its weights are gone afterwards.

    Raises:
        RuntimeError: A Mamba mixer of the network was not called through its module, so that its scan is unknown.
    """
    parameters = sum(p.numel() for p in network.parameters())
    network = network.eval().to("meta")
    scanned = 0

    def formula(u_shape, A_shape, **_) -> int:
        nonlocal scanned
        elements = u_shape[0] * u_shape[1] * u_shape[2] * A_shape[1]
        scanned += elements
        return 2 * PER_ELEMENT * elements

    def scan(u, delta, A, B, C, D, delta_bias) -> Tensor:
        return _scan(u, A)

    x = torch.empty(1, channels, *size, device="meta")
    counter = FlopCounterMode(display=False, custom_mapping={torch.ops.segmamba_benchmark.scan: formula})
    with torch.no_grad(), plain_mixers(network, scan, reorder=False) as called, counter:
        network(x)
    missing = [m for m in network.modules() if isinstance(m, Mamba) and not any(m is other for other in called)]
    if missing:
        raise RuntimeError(f"{len(missing)} Mamba mixers were not called as modules: their scans cannot be counted")
    return Count(parameters, counter.get_total_flops() // 2 - PER_ELEMENT * scanned, scanned)
