"""The causal depthwise convolution with SiLU before the scan, in torch or, on CUDA, through causal_conv1d."""

import torch
import torch.nn.functional as F
from torch import Tensor

from segmamba.scan import cuda_conv
from segmamba.scan.precision import no_autocast


def causal_conv_silu(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """SiLU(bias + causal depthwise convolution of x), in float32 whatever the autocast around it.

    The convolution of Mamba's mixer (arXiv 2312.00752, figure 3). On the processor ``mixing.mix`` has it inside a
    kernel of its own.

    Args:
        x: (B, L, C) of any float type.
        weight: (C, 1, K); tap K - 1 meets the current token.
        bias: (C).

    Returns:
        (B, L, C): float32, or float64 where x is.
    """
    with no_autocast(x.device.type):
        if x.device.type == "cuda" and cuda_conv.fits(x, weight, bias):
            return cuda_conv.causal_conv_silu_cuda(x, weight, bias)
        x = x if x.dtype == torch.float64 else x.float()
        width = weight.shape[-1]
        y = F.conv1d(x.transpose(1, 2), weight.to(x.dtype), bias.to(x.dtype), padding=width - 1, groups=x.shape[2])
        return F.silu(y[..., : x.shape[1]]).transpose(1, 2)
