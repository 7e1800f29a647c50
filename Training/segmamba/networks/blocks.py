"""Pieces that several networks share: named convolutions, token views, padding to a multiple."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segmamba.scan.precision import no_autocast

CONV = {2: nn.Conv2d, 3: nn.Conv3d}
CONV_TRANSPOSE = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
MAX_POOL = {2: nn.MaxPool2d, 3: nn.MaxPool3d}


class Conv(nn.Module):
    """A convolution under the key ``conv``, as the published state dicts have it; "same" padding for odd kernels."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        stride: int = 1,
        groups: int = 1,
        bias: bool = False,
        spatial_dims: int = 3,
    ):
        super().__init__()
        padding = (kernel_size - 1) // 2
        self._depthwise = groups == in_channels > 1
        self.conv = CONV[spatial_dims](
            in_channels, out_channels, kernel_size, stride=stride, padding=padding, groups=groups, bias=bias
        )

    def forward(self, x: Tensor) -> Tensor:
        if self._depthwise and x.device.type == "cpu":
            # Depthwise convolutions have no fast half-precision kernel there: bf16 takes several times as long.
            with no_autocast("cpu"):
                return self.conv(x.to(self.conv.weight.dtype))
        return self.conv(x)


class TransposedConv(nn.Module):
    """A transposed convolution (kernel and stride 2) under the key ``conv``: it doubles every spatial size."""

    def __init__(self, in_channels: int, out_channels: int, bias: bool = False):
        super().__init__()
        self.conv = nn.ConvTranspose3d(in_channels, out_channels, kernel_size=2, stride=2, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


def instance_norm(x: Tensor) -> Tensor:
    """Instance norm without affine parameters (eps 1e-5); a single voxel is its own mean and becomes zero."""
    if x.shape[2:].numel() == 1:
        return x - x  # torch refuses this case
    return F.instance_norm(x, eps=1e-5)


class InstanceNorm(nn.Module):
    """:func:`instance_norm` as a module without parameters."""

    def forward(self, x: Tensor) -> Tensor:
        return instance_norm(x)


def to_tokens(x: Tensor) -> Tensor:
    """(B, C, D, H, W) -> (B, L, C), L = D*H*W with W fastest; a view where ``x`` is channels-last."""
    return x.flatten(2).transpose(1, 2) if _channels_first(x) else x.movedim(1, -1).flatten(1, -2)


def from_tokens(tokens: Tensor, size: Sequence[int]) -> Tensor:
    """(B, L, C) -> (B, C, *size): a channels-last view, no copy."""
    return tokens.unflatten(1, tuple(size)).movedim(-1, 1)


def _channels_first(x: Tensor) -> bool:
    return x.is_contiguous() and x.shape[1] > 1


def channels_last(x: Tensor) -> Tensor:
    """``x`` in channels-last memory order (2D and 3D), without a copy where it is so already."""
    return x.contiguous(memory_format=torch.channels_last_3d if x.ndim == 5 else torch.channels_last)


def padded_to_multiple(run: Callable[[Tensor], Tensor], x: Tensor, multiple: int) -> Tensor:
    """Runs ``run`` on ``x`` padded at the end of every axis to a multiple, and crops the result back.

    The padding repeats the border: zeros would shift the statistics of instance and group norms.
    """
    size = x.shape[2:]
    missing = [-n % multiple for n in size]
    if not any(missing):
        return run(x)
    pad = [value for n in reversed(missing) for value in (0, n)]
    y = run(channels_last(F.pad(x, pad, mode="replicate")))
    return y[(..., *(slice(0, n) for n in size))]
