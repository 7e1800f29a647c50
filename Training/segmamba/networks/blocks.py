"""Pieces that several networks share: named convolutions, token views, padding to a multiple."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segmamba.scan.precision import no_autocast

MAX_POOL = {2: nn.MaxPool2d, 3: nn.MaxPool3d}


class _ChannelsLast:
    """What keeps a convolution of torch on the processor from leaving the channels-last layout, forward and back."""

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu":
            return super().forward(x)
        if self._pointwise() and not torch.is_autocast_enabled("cpu"):
            # torch takes a path of its own for these: five times as slow in float32, and it leaves the layout.
            if self.groups == 1:
                return F.linear(x.movedim(1, -1), self.weight.flatten(1), self.bias).movedim(-1, 1)
            y = x * self.weight.transpose(0, 1)
            return y if self.bias is None else y + self.bias.view(-1, *[1] * (x.ndim - 2))
        if max(self.stride) > 1 and min(x.shape[2:]) <= 2:
            # oneDNN's bf16 kernels with AMX read past the end of such maps, where an output or a transposed
            # convolution's gradient is one voxel wide: garbage, often infinite (torch 2.13; pytorch issue 169688).
            with no_autocast("cpu"):
                return channels_last(super().forward(x.to(self.weight.dtype)))
        # torch leaves the layout on small maps, too.
        return channels_last(super().forward(x))

    def _pointwise(self) -> bool:
        if self.weight[0, 0].numel() != 1 or max(self.stride) != 1:
            return False
        return self.groups == 1 or self.groups == self.in_channels == self.out_channels


class Conv2d(_ChannelsLast, nn.Conv2d):
    """``torch.nn.Conv2d`` that keeps the layout."""


class Conv3d(_ChannelsLast, nn.Conv3d):
    """``torch.nn.Conv3d`` that keeps the layout."""


class ConvTranspose3d(_ChannelsLast, nn.ConvTranspose3d):
    """``torch.nn.ConvTranspose3d`` that keeps the layout."""

    def _pointwise(self) -> bool:
        return False


CONV = {2: Conv2d, 3: Conv3d}


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
        self.conv = ConvTranspose3d(in_channels, out_channels, kernel_size=2, stride=2, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


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
    x = x.contiguous(memory_format=torch.channels_last_3d if x.ndim == 5 else torch.channels_last)
    if x.shape[1] == 1 and x.stride(1) != 1:
        # Of a single channel both orders are one, but convolutions choose theirs by the strides.
        return x.movedim(1, -1).squeeze(-1).unsqueeze(-1).movedim(-1, 1)
    return x


def padded_to_multiple(run: Callable[[Tensor], Tensor], x: Tensor, multiple: int) -> Tensor:
    """Runs ``run`` on ``x`` padded at the end of every axis to a multiple, and crops the result back.

    The padding repeats the border: zeros would shift the statistics of instance and group norms.
    """
    size = x.shape[2:]
    missing = [-n % multiple for n in size]
    if not any(missing):
        return run(x)
    pad = [value for n in reversed(missing) for value in (0, n)]
    return cropped(run(channels_last(F.pad(x, pad, mode="replicate"))), [0] * len(size), size)


def added(fresh: Tensor, x: Tensor) -> Tensor:
    """``fresh + x``, in the memory of ``fresh``, which the caller needs no more, where no gradient is recorded."""
    if fresh.dtype != x.dtype or (torch.is_grad_enabled() and (fresh.requires_grad or x.requires_grad)):
        return fresh + x
    return fresh.add_(x)


def cropped(x: Tensor, first: Sequence[int], size: Sequence[int]) -> Tensor:
    """The box of this size that begins at ``first``; the gradient is channels-last where ``x`` is."""
    box = (slice(a, a + n) for a, n in zip(first, size, strict=True))
    return x.movedim(1, -1)[(slice(None), *box)].movedim(-1, 1)
