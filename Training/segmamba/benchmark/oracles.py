"""What the scan and the mixer are compared with: written plainly, whatever the package's own have become."""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segmamba.networks.mixer import Mamba
from segmamba.scan import selective_scan

_SUFFIXES = ("", "_b", "_s")


def materialised_scan(u, delta, A, B, C, D, z, delta_bias, unbind: bool) -> Tensor:
    """The scan in the way of mamba_ssm's own reference: (batch, channels, length, state) at once, then a loop.

    Args:
        u, delta, z: (batch, channels, length).
        A: (channels, state).
        B, C: (batch, state, length).
        D, delta_bias: (channels,).
        z: As u; None leaves out the gate.
        unbind: Take the tokens apart before the loop: without it the backward is quadratic in the length, since the
            gradient of each slice is a whole tensor of zeros.

    Returns:
        (batch, channels, length).
    """
    step = F.softplus(delta + delta_bias[:, None])
    decays = torch.exp(torch.einsum("bdl,dn->bdln", step, A))
    inputs = torch.einsum("bdl,bnl,bdl->bdln", step, B, u)
    h = torch.zeros_like(inputs[:, :, 0])
    outputs = []
    if unbind:
        for decay, new, c in zip(decays.unbind(2), inputs.unbind(2), C.unbind(2), strict=True):
            h = decay * h + new
            outputs.append((h * c[:, None]).sum(-1))
    else:
        for t in range(u.shape[2]):
            h = decays[:, :, t] * h + inputs[:, :, t]
            outputs.append(torch.einsum("bdn,bn->bd", h, C[:, :, t]))
    out = torch.stack(outputs, 2) + u * D[:, None]
    return out if z is None else out * F.silu(z)


def plain_mixer(module: Mamba, h: Tensor, scan: Callable[..., Tensor], reorder: bool = True) -> Tensor:
    """What ``module(h)`` computes, step by step in torch from its parameters (Gu and Dao 2023, section 3.4).

    Args:
        module: Whose parameters; their names are those of the published state dicts.
        h: Tokens (B, L, d).
        scan: Takes u, delta (B, di, L), A (di, N), B, C (B, N, L), D, delta_bias (di); returns (B, di, L).
        reorder: False leaves out the reordering of tokens, where only shapes matter.

    Returns:
        (B, L, d).
    """
    x, z = module.in_proj(h).chunk(2, dim=-1)
    length, total = x.shape[1], None
    for direction, suffix in enumerate(_SUFFIXES[: module.directions]):
        order = _order(direction, length, module.nslices, x.device) if reorder else None
        conv, dt_proj = getattr(module, f"conv1d{suffix}"), getattr(module, f"dt_proj{suffix}")
        tokens = x if order is None else x.index_select(1, order)
        u = F.silu(conv(tokens.transpose(1, 2))[..., :length])
        parts = getattr(module, f"x_proj{suffix}")(u.transpose(1, 2))
        dt, b, c = parts.split([module.dt_rank, module.d_state, module.d_state], dim=-1)
        delta = F.linear(dt, dt_proj.weight).transpose(1, 2)
        A = -torch.exp(getattr(module, f"A{suffix}_log").float())
        y = scan(u, delta, A, b.transpose(1, 2), c.transpose(1, 2), getattr(module, f"D{suffix}"), dt_proj.bias)
        y = y.transpose(1, 2)
        if order is not None:
            y = torch.empty_like(y).index_copy_(1, order, y)
        total = y if total is None else total + y
    return module.out_proj(total * F.silu(z))


def _order(direction: int, length: int, nslices: int | None, device: torch.device) -> Tensor | None:
    """Indices of the tokens in the order that a direction reads them; None for the plain one."""
    if direction == 0:
        return None
    if direction == 1:
        return torch.arange(length - 1, -1, -1, device=device)
    run = -(-length // nslices)
    order = torch.arange(run * nslices, device=device).view(nslices, run).t().flatten()
    return order[order < length]


def reference_scan(u, delta, A, B, C, D, delta_bias) -> Tensor:
    """The definition, as ``plain_mixer`` calls it."""
    return selective_scan(u, delta, A, B, C, D, delta_bias=delta_bias, delta_softplus=True, backend="reference")


def published_scan(u, delta, A, B, C, D, delta_bias) -> Tensor:
    """``materialised_scan``, likewise; the tokens lie next to one another in memory, as the papers' code has them."""
    u, delta, B, C = (tensor.contiguous() for tensor in (u, delta, B, C))
    return materialised_scan(u, delta, A, B, C, D, None, delta_bias, unbind=False)


@contextmanager
def plain_mixers(network: nn.Module, scan: Callable[..., Tensor], reorder: bool = True) -> Iterator[list[Mamba]]:
    """Within it, every mixer of ``network`` is ``plain_mixer`` with ``scan``; yields the mixers that were called."""
    called: list[Mamba] = []

    def run(module: Mamba, h: Tensor) -> Tensor:
        called.append(module)
        return plain_mixer(module, h, scan, reorder)

    mixers = [module for module in network.modules() if isinstance(module, Mamba)]
    for module in mixers:
        module.forward = functools.partial(run, module)
    try:
        yield called
    finally:
        for module in mixers:
            del module.forward
