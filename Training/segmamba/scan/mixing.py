"""The inside of a Mamba mixer, between its projections: convolution, x_proj, dt_proj and scan of every direction."""

import importlib
import logging
from collections.abc import Callable, Sequence
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from segmamba.scan.conv import causal_conv_silu
from segmamba.scan.directions import scan_directions
from segmamba.scan.dispatch import definite_backend, selective_scan
from segmamba.scan.orders import Order, inter_slice, plain
from segmamba.scan.reasons import first_line
from segmamba.scan.weights import Weights

_log = logging.getLogger(__name__)


def mix(xz: Tensor, weights: Sequence[Weights], orders: Sequence[Order], backend: str = "auto") -> Tensor:
    """SiLU(z) times the sum over directions of their scans of x (Mamba, arXiv 2312.00752, figure 3; Vim; SegMamba).

    On the processor, and with its backend ``numba``, one fused pass computes a direction, in float32. Elsewhere torch
    and ``selective_scan`` do, with the tokens reordered and put back.

    Args:
        xz: (B, L, 2 di): x, then z.
        weights: Of each direction.
        orders: In which each reads the L tokens.
        backend: As for ``selective_scan``.

    Returns:
        (B, L, di), of the type of xz.

    Raises:
        UserError: ``backend`` is unknown, or not usable on this device.
    """
    backend = definite_backend(backend, xz.device)
    if _can_fuse(backend, xz, weights[0]):
        read = xz if xz.dtype in (torch.float32, torch.bfloat16) else xz.float()
        return _fused()(read, list(weights), list(orders)).to(xz.dtype)
    return mix_with_torch(xz, weights, orders, backend)


def stream(like: Tensor, weights: Weights, backend: str = "auto") -> Callable[[Tensor, int], Tensor] | None:
    """``mix`` of one forward direction, fed piece by piece so that xz never lies in memory as a whole.

    Args:
        like: Tokens (B, L, d): device, batch and type.
        weights: Of the direction.
        backend: As for ``selective_scan``.

    Returns:
        A ``scan.cpu.layer.Stream``; None where only whole sequences can be mixed: on other devices and backends.
    """
    if not _can_fuse(definite_backend(backend, like.device), like, weights):
        return None
    return importlib.import_module("segmamba.scan.cpu.layer").Stream(weights, like.shape[0])


def _can_fuse(backend: str, tokens: Tensor, weights: Weights) -> bool:
    return backend == "numba" and tokens.dtype != torch.float64 and weights.conv.shape[-1] == 4 and _fused() is not None


def mix_with_torch(xz: Tensor, weights: Sequence[Weights], orders: Sequence[Order], backend: str = "auto") -> Tensor:
    """``mix`` of single steps, on any device."""
    x, z = xz.chunk(2, dim=-1)
    each = [_arguments(order.take(x), direction) for direction, order in zip(weights, orders, strict=True)]
    if len(each) == 1 and orders[0] == plain(x.shape[1]):
        u, delta, A, B, C, D, bias = each[0]
        return selective_scan(
            u, delta, A, B, C, D, z.transpose(1, 2), bias, delta_softplus=True, backend=backend
        ).transpose(1, 2)
    outputs = scan_directions(*zip(*each, strict=True), delta_softplus=True, backend=backend)
    # The gate is the same in every direction once its output is back in order: applied once.
    return sum(order.put_back(y.transpose(1, 2)) for y, order in zip(outputs, orders, strict=True)) * F.silu(z)


def _arguments(x: Tensor, weights: Weights) -> tuple[Tensor, ...]:
    """u, delta, A, B, C, D and delta's bias for the scan of x (B, L, di), already in its order."""
    u = causal_conv_silu(x, weights.conv, weights.conv_bias)
    rank, states = weights.dt_proj.shape[1], weights.A.shape[1]
    dt, b, c = F.linear(u, weights.x_proj).split([rank, states, states], dim=-1)
    delta = F.linear(dt, weights.dt_proj)
    tokens_last = (t.transpose(1, 2) for t in (u, delta, b, c))
    u, delta, b, c = tokens_last
    return u, delta, weights.A, b, c, weights.D, weights.dt_bias


@cache
def _fused():
    """The processor's fused mixer, or None where its numbers are not right; tried once, on a small case with tails."""
    try:
        fused = importlib.import_module("segmamba.scan.cpu.layer").mix_on_processor
        with torch.enable_grad(), torch.inference_mode(False), torch.autocast("cpu", enabled=False):
            problem = _self_test(fused)
    except Exception as error:  # whatever a compiler may raise
        problem = first_line(error)
    if problem:
        _log.warning("mixers on the processor run in single steps, because the fused one fails: %s", problem)
        return None
    return fused


def _self_test(fused) -> str:
    """'' or what is wrong with outputs or gradients of three directions over 70 tokens and 20 channels."""
    length, channels, rank, states = 70, 20, 2, 6
    source = torch.Generator("cpu").manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=source, dtype=torch.float32, device="cpu")

    orders = [plain(length), plain(length, backwards=True), inter_slice(length, 8)]
    tensors = [normal(2, length, 2 * channels)]
    for _ in orders:
        tensors += [normal(channels, 1, 4), normal(channels), normal(rank + 2 * states, channels) / 4]
        tensors += [normal(channels, rank), normal(channels), -torch.exp(normal(channels, states)), normal(channels)]
    weight = normal(2, length, channels)
    results = []
    for way in (lambda *given: mix_with_torch(*given, backend="chunked"), fused):
        leaves = [tensor.clone().requires_grad_() for tensor in tensors]
        out = way(leaves[0], Weights.grouped(leaves[1:]), orders)
        results.append([out.detach(), *torch.autograd.grad((out * weight).sum(), leaves)])
    names = ["output", "gradient of xz", *(f"gradient of {name}" for name in Weights._fields * len(orders))]
    for name, right, got in zip(names, *results, strict=True):
        error = float((got - right).norm() / right.norm())
        if not error < 1e-4:
            return f"{name} differs by {error:.1e}"
    return ""
