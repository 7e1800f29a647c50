"""The causal depthwise convolution with SiLU before the scan: numba on the processor, torch elsewhere."""

import functools
import logging

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from segmamba.scan.precision import no_autocast

log = logging.getLogger(__name__)


def causal_conv_silu(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """SiLU(bias + causal depthwise convolution of x), in float32 whatever the autocast around it.

    The convolution of Mamba's mixer (arXiv 2312.00752, figure 3).  On the processor, one pass over the tokens takes
    the place of a convolution and an activation that would both leave the channels-last layout.

    Args:
        x: (B, L, C) of any float type.
        weight: (C, 1, K); tap K - 1 meets the current token.
        bias: (C).

    Returns:
        (B, L, C): float32, or float64 where x is.
    """
    with no_autocast(x.device.type):
        if x.device.type == "cpu" and x.dtype != torch.float64 and weight.shape[-1] == 4 and _kernels() is not None:
            return _ConvSiLU.apply(x, weight, bias)
        x = x if x.dtype == torch.float64 else x.float()
        width = weight.shape[-1]
        y = F.conv1d(x.transpose(1, 2), weight.to(x.dtype), bias.to(x.dtype), padding=width - 1, groups=x.shape[2])
        return F.silu(y[..., : x.shape[1]]).transpose(1, 2)


@functools.lru_cache(maxsize=1)
def _kernels():
    """The compiled kernels, or None where numba does not work here; tried once against torch."""
    try:
        from segmamba.scan import conv_entry

        return conv_entry.checked()
    except Exception as error:
        log.warning("the convolution before the scan runs in plain torch, because numba's does not work: %s", error)
        return None


class _ConvSiLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, bias):
        ctx.save_for_backward(x, weight, bias)
        return _kernels().forward(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx, dout):
        x, weight, bias = ctx.saved_tensors
        dx, dweight, dbias = _kernels().backward(x, weight, bias, dout)
        return dx.to(x.dtype), dweight.to(weight.dtype), dbias.to(bias.dtype)
