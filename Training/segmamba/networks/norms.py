"""Instance and group norm that keep channels-last maps, with the activation and the residual that follow them."""

import functools
import logging

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from segmamba.networks.norm_modes import AFTER, BEFORE, PLAIN
from segmamba.scan.precision import no_autocast

log = logging.getLogger(__name__)

_SLOPES = {None: 1.0, "relu": 0.0, "leaky": 0.01}
_PLACES = {"inside": BEFORE, "normalised": BEFORE, "outside": AFTER}


def instance_norm(
    x: Tensor,
    activation: str | None = None,
    residual: Tensor | None = None,
    place: str = "inside",
    overwrite: bool = False,
) -> Tensor:
    """Instance norm (Ulyanov et al. 2016, arXiv 1607.08022) without parameters, eps 1e-5, and what follows it.

    On the processor, float32 and bf16 maps are read twice and written once, whatever follows; statistics and
    arithmetic are in float32 or better, and autocast has no say.

    Args:
        x: (B, C, *spatial).  A single voxel is its own mean and becomes zero.
        activation: ``relu``, ``leaky`` (slope 0.01) or None.
        residual: A second map of the same shape.
        place: Where it is added: act(norm(x) + residual) ``inside``, act(norm(x) + norm(residual)) ``normalised``,
            act(norm(x)) + residual ``outside``.
        overwrite: The caller needs x no more: where no gradient is recorded, the result may lie in its memory.

    Returns:
        A channels-last map of x's shape and type.
    """
    return _norm(x, x.shape[1], None, None, 1e-5, activation, residual, place, overwrite)


def group_norm(
    x: Tensor,
    groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    activation: str | None = None,
    residual: Tensor | None = None,
    place: str = "inside",
    overwrite: bool = False,
) -> Tensor:
    """Group norm (Wu and He 2018, arXiv 1803.08494), as ``torch.nn.functional.group_norm``, and what follows it.

    Args:
        x: (B, C, *spatial).
        groups: Divides C.
        weight: (C), bias: (C).
        eps: Added to the variance.
        activation: As of :func:`instance_norm`, like ``residual``, ``place`` and ``overwrite``.

    Returns:
        A channels-last map of x's shape and type.
    """
    if groups < 1 or x.shape[1] % groups:
        raise ValueError(f"{x.shape[1]} channels cannot be divided into {groups} groups")
    return _norm(x, groups, weight, bias, eps, activation, residual, place, overwrite)


class InstanceNorm(nn.Module):
    """:func:`instance_norm` as a module without parameters."""

    def __init__(self, activation: str | None = None):
        super().__init__()
        self.activation = activation

    def forward(self, x: Tensor, overwrite: bool = False) -> Tensor:
        return instance_norm(x, self.activation, overwrite=overwrite)

    def extra_repr(self) -> str:
        return "" if self.activation is None else f"activation={self.activation!r}"


class GroupNorm(nn.Module):
    """:func:`group_norm` with weights, named as those of ``torch.nn.GroupNorm``."""

    def __init__(self, groups: int, channels: int, activation: str | None = None, eps: float = 1e-5):
        super().__init__()
        if groups < 1 or channels % groups:
            raise ValueError(f"{channels} channels cannot be divided into {groups} groups")
        self.groups, self.activation, self.eps = groups, activation, eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor, overwrite: bool = False) -> Tensor:
        return group_norm(x, self.groups, self.weight, self.bias, self.eps, self.activation, overwrite=overwrite)

    def extra_repr(self) -> str:
        return f"{self.groups}, {len(self.weight)}, activation={self.activation!r}, eps={self.eps}"


def _norm(x, groups, weight, bias, eps, activation, residual, place, overwrite) -> Tensor:
    if activation not in _SLOPES or place not in _PLACES:
        raise ValueError(f"activation {activation!r} or place {place!r} is unknown; see instance_norm")
    slope = _SLOPES[activation]
    if residual is not None and residual.shape != x.shape:
        raise ValueError(f"the residual has shape {tuple(residual.shape)}; the map has {tuple(x.shape)}")
    normalised = residual is not None and place == "normalised"
    mode = PLAIN if residual is None else _PLACES[place]
    residual = None if residual is None else residual.to(x.dtype)
    arguments = (x, residual, weight, bias, groups, eps, mode, slope, normalised)
    training = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in arguments[:4])
    usual = x.device.type == "cpu" and x.dtype in (torch.float32, torch.bfloat16) and x.numel() > 0
    if usual and _kernels(training) is not None:
        return _Norm.apply(*arguments) if training else _forward(*arguments, overwrite)[0]
    with no_autocast(x.device.type):
        return _in_torch(x, groups, weight, bias, eps, activation, residual, mode, normalised)


@functools.lru_cache(maxsize=2)
def _kernels(training: bool):
    """The module that runs the kernels, or None where they do not work here; tried once against torch.

    Those of the way back are compiled, and tried, only where something is trained.
    """
    try:
        from segmamba.networks import norm_cpu

        _check(norm_cpu, training)
        return norm_cpu
    except Exception as error:
        log.warning("norms run in plain torch, because the compiled ones do not work: %s", error)
        return None


def _check(kernels, training: bool) -> None:
    """Compares the kernels with torch on a small case with tails.

    Raises:
        RuntimeError: Where the results differ.
    """
    # The first call may come from inference, where tensors know no gradient.
    with torch.inference_mode(False), torch.enable_grad():
        # Said in full, because the caller may have set another default type or device.
        generator = torch.Generator("cpu").manual_seed(0)
        x, r, dy, weight, bias = (
            torch.randn(shape, generator=generator, dtype=torch.float32, device="cpu")
            for shape in (*[(2, 70, 20)] * 3, (20,), (20,))
        )
        leaves = [t.transpose(1, 2).clone().requires_grad_(training) for t in (x, r)]
        expected = F.leaky_relu(F.group_norm(leaves[0], 5, weight, bias) + F.group_norm(leaves[1], 5), 0.01)
        wanted = [expected.detach()]
        if training:
            wanted += torch.autograd.grad(expected, leaves, dy.transpose(1, 2))
    of_x, of_r = kernels.statistics(x, 5, weight, bias, 1e-5), kernels.statistics(r, 5, None, None, 1e-5)
    found = [kernels.apply(x, of_x, BEFORE, 0.01, r, of_r)]
    if training:
        found += kernels.gradients(x, of_x, BEFORE, 0.01, r, of_r, found[0], dy)[:2]
    for a, b in zip(found, wanted, strict=True):
        if not torch.allclose(a.transpose(1, 2), b, rtol=1e-4, atol=1e-4):
            raise RuntimeError("they differ from torch's")


def _forward(x, residual, weight, bias, groups, eps, mode, slope, normalised, overwrite=False):
    """The output, the statistics of x and, if ``normalised``, those of the residual."""
    kernels = _kernels(False)
    tokens, second = kernels.rows(x), None if residual is None else kernels.rows(residual)
    of_x = kernels.statistics(tokens, groups, weight, bias, eps)
    of_second = kernels.statistics(second, groups, None, None, eps) if normalised else None
    y = kernels.apply(tokens, of_x, mode, slope, second, of_second, overwrite)
    return kernels.maps(y, x), of_x, of_second


class _Norm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, residual, weight, bias, groups, eps, mode, slope, normalised):
        y, ctx.of_x, ctx.of_second = _forward(x, residual, weight, bias, groups, eps, mode, slope, normalised)
        # The sign of x + residual is that of the output, which the next layer keeps anyway.
        by_sign = mode == BEFORE and slope != 1.0
        ctx.save_for_backward(x, residual if normalised else None, y if by_sign else None)
        ctx.mode, ctx.slope = mode, slope
        ctx.types = [None if t is None else t.dtype for t in (weight, bias)]
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, dy):
        kernels = _kernels(False)
        shape = ctx.saved_tensors[0]
        x, residual, y = (None if t is None else kernels.rows(t) for t in ctx.saved_tensors)
        y, dense = None if y is None else y.contiguous(), kernels.rows(dy).contiguous()
        dx, dr, affine = kernels.gradients(x, ctx.of_x, ctx.mode, ctx.slope, residual, ctx.of_second, y, dense)
        if ctx.mode == AFTER:
            dr = dense
        dweight, dbias = (None if kind is None else row.to(kind) for row, kind in zip(affine, ctx.types, strict=True))
        dr = None if dr is None or not ctx.needs_input_grad[1] else kernels.maps(dr, shape)
        return kernels.maps(dx, shape), dr, dweight, dbias, None, None, None, None, None


def _in_torch(x, groups, weight, bias, eps, activation, residual, mode, normalised) -> Tensor:
    """The same in plain torch: other devices and types, or no compiled kernels."""
    y = _plain(x, groups, weight, bias, eps)
    if mode == BEFORE:
        y = y + (_plain(residual, groups, None, None, eps) if normalised else residual)
    if activation is not None:
        y = F.relu(y) if activation == "relu" else F.leaky_relu(y, _SLOPES[activation])
    if mode == AFTER:
        y = y + residual
    if x.device.type == "cpu" and x.ndim in (4, 5):
        return y.contiguous(memory_format=torch.channels_last_3d if x.ndim == 5 else torch.channels_last)
    return y


def _plain(x: Tensor, groups: int, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
    if groups == x.shape[1] and weight is None and bias is None:
        if x.shape[2:].numel() == 1:
            return x - x  # torch refuses a single voxel
        if x.device.type != "cpu":
            return F.instance_norm(x, eps=eps)
        # On the processor torch's instance norm has a wrong gradient, without a word, where a batch is of one and the
        # output's gradient channels-last (torch 2.13); its group norm has not.
    # torch wants one type for all, and on the processor is inaccurate where the map is channels-last.
    exact = x if x.dtype == torch.float64 else x.float()
    exact = exact.contiguous() if x.device.type == "cpu" else exact
    affine = [None if t is None else t.to(exact.dtype) for t in (weight, bias)]
    return F.group_norm(exact, groups, *affine, eps).to(x.dtype)
