"""LightM-UNet: a U-Net whose encoder is residual vision Mamba layers (Liao et al. 2024, arXiv:2403.05246)."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn import Parameter

from segmamba.native.memory import empty
from segmamba.networks.blocks import MAX_POOL, Conv, added, channels_last, from_tokens, padded_to_multiple, to_tokens
from segmamba.networks.mixer import Mamba
from segmamba.networks.norms import GroupNorm

_GROUPS = 8  # of every group norm, as published
_PIECE = 16_384  # tokens that a layer computes at a time in inference, a multiple of 32: they stay in the cache


class RVMLayer(nn.Module):
    """Residual vision Mamba layer (paper, section 2.3): Linear(LN(Mamba(LN(t)) + s t)) on tokens t.

    Both layer norms are one and the same module, as in the published code.
    """

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.norm = nn.LayerNorm(in_channels)
        self.mamba = Mamba(in_channels)
        self.proj = nn.Linear(in_channels, out_channels)
        self.skip_scale = Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        tokens = to_tokens(x)
        advance = self.mamba.stream(tokens) if tokens.shape[1] > _PIECE else None
        if advance is not None:
            return from_tokens(self._by_pieces(tokens, advance), x.shape[2:])
        tokens = self.mamba(self.norm(tokens)) + self.skip_scale * tokens
        return from_tokens(self.proj(self.norm(tokens)), x.shape[2:])

    def _by_pieces(self, tokens: Tensor, advance: Callable[[Tensor, int], Tensor]) -> Tensor:
        """The layer without its inner tensors in full, which are several times as large as its input."""
        out = None
        for first in range(0, tokens.shape[1], _PIECE):
            last, lead = min(first + _PIECE, tokens.shape[1]), min(first, self.mamba.d_conv - 1)
            piece = tokens[:, first - lead : last]
            mixed = advance(self.norm(piece), lead)
            # In place where the types allow it: no tensor in between.
            alike = mixed.dtype == piece.dtype == self.skip_scale.dtype
            add = mixed.addcmul_ if alike else mixed.float().addcmul_
            normed = self.norm(add(piece[:, lead:], self.skip_scale))
            if out is None:
                shape = *tokens.shape[:2], self.proj.out_features
                plain = normed.dtype == self.proj.weight.dtype == torch.float32
                whole = plain and tokens.shape[0] == 1 and not torch.is_autocast_enabled(normed.device.type)
                out = empty(*shape) if whole else None
            if whole:
                torch.addmm(self.proj.bias, normed[0], self.proj.weight.t(), out=out[0, first:last])
                continue
            mixed = self.proj(normed)
            if out is None:
                out = empty(*shape) if mixed.dtype == torch.float32 else mixed.new_empty(shape)
            out[:, first:last] = mixed
        return out


class EncoderBlock(nn.Module):
    """GN, ReLU, RVM, twice, plus the input."""

    def __init__(self, channels: int):
        super().__init__()
        self.norm1 = GroupNorm(_GROUPS, channels, "relu")
        self.conv1 = RVMLayer(channels, channels)
        self.norm2 = GroupNorm(_GROUPS, channels, "relu")
        self.conv2 = RVMLayer(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm2(self.conv1(self.norm1(x)), overwrite=True)
        return added(self.conv2(h), x)


class DecoderBlock(nn.Module):
    """GN, ReLU, depthwise-separable convolution, plus the scaled input, GN, ReLU."""

    def __init__(self, channels: int, spatial_dims: int):
        super().__init__()
        self.norm1 = GroupNorm(_GROUPS, channels, "relu")
        self.norm2 = GroupNorm(_GROUPS, channels, "relu")
        self.conv = separable_conv(channels, channels, 3, False, spatial_dims)
        self.skip_scale = Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv(self.norm1(x)) + self.skip_scale * x
        return self.norm2(h, overwrite=True)


class PointwisePair(nn.Sequential):
    """A depthwise convolution of a single voxel and a pointwise one, computed as the one convolution that they are."""

    def forward(self, x: Tensor) -> Tensor:
        scale, mix = (module.conv for module in self)
        weight = mix.weight * scale.weight.transpose(0, 1)
        bias = mix.bias + mix.weight.flatten(1) @ scale.bias
        return F.linear(x.movedim(1, -1), weight.flatten(1), bias).movedim(-1, 1)


def separable_conv(
    in_channels: int, out_channels: int, kernel_size: int, bias: bool, spatial_dims: int
) -> nn.Sequential:
    """Depthwise convolution, then a pointwise one."""
    sequence = PointwisePair if kernel_size == 1 else nn.Sequential
    return sequence(
        Conv(in_channels, in_channels, kernel_size, groups=in_channels, bias=bias, spatial_dims=spatial_dims),
        Conv(in_channels, out_channels, 1, bias=bias, spatial_dims=spatial_dims),
    )


class LightMUNet(nn.Module):
    """LightM-UNet with the parameter names of its published code.

    Args:
        in_channels: Image channels.
        out_channels: Output maps.
        init_filters: Width of the first level, a multiple of 8; it doubles at each level.
        blocks_down: Encoder blocks at each level; the last level is the bottleneck.
        blocks_up: Decoder blocks at each level, one entry fewer.
        spatial_dims: 2 or 3.

    Shape: (B, in_channels, D, H, W) -> (B, out_channels, D, H, W), any size; with ``spatial_dims=2`` without D.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        init_filters: int = 32,
        blocks_down: Sequence[int] = (1, 2, 2, 4),
        blocks_up: Sequence[int] = (1, 1, 1),
        spatial_dims: int = 3,
    ):
        super().__init__()
        if spatial_dims not in (2, 3):
            raise ValueError(f"spatial_dims is {spatial_dims}; allowed are 2 and 3")
        if init_filters < 1 or init_filters % _GROUPS:
            raise ValueError(f"init_filters is {init_filters}; it must be a positive multiple of {_GROUPS}")
        if len(blocks_up) != len(blocks_down) - 1:
            raise ValueError(
                f"blocks_up has {len(blocks_up)} entries and blocks_down {len(blocks_down)}; one fewer is needed"
            )
        self.multiple = 2 ** (len(blocks_down) - 1)
        self.convInit = separable_conv(in_channels, init_filters, 3, False, spatial_dims)
        self.down_layers = nn.ModuleList()
        for level, blocks in enumerate(blocks_down):
            width = init_filters * 2**level
            enter = nn.Sequential(RVMLayer(width // 2, width), MAX_POOL[spatial_dims](2)) if level else nn.Identity()
            self.down_layers.append(nn.Sequential(enter, *(EncoderBlock(width) for _ in range(blocks))))
        self.up_samples, self.up_layers = nn.ModuleList(), nn.ModuleList()
        mode = "trilinear" if spatial_dims == 3 else "bilinear"
        for level, blocks in zip(reversed(range(len(blocks_up))), blocks_up, strict=True):
            width = init_filters * 2**level
            halve = Conv(2 * width, width, 1, spatial_dims=spatial_dims)
            self.up_samples.append(nn.Sequential(halve, nn.Upsample(scale_factor=2, mode=mode)))
            self.up_layers.append(nn.Sequential(*(DecoderBlock(width, spatial_dims) for _ in range(blocks))))
        self.conv_final = nn.Sequential(
            GroupNorm(_GROUPS, init_filters, "relu"),
            nn.Identity(),  # keeps the place of the activation: the convolutions' key is "2"
            separable_conv(init_filters, out_channels, 1, True, spatial_dims),
        )

    def forward(self, x: Tensor) -> Tensor:
        return padded_to_multiple(self._forward, channels_last(x), self.multiple)

    def _forward(self, x: Tensor) -> Tensor:
        x = self.convInit(x)
        skips = []
        for layer in self.down_layers:
            x = layer(x)
            skips.append(x)
        skips.pop()
        for upsample, layer in zip(self.up_samples, self.up_layers, strict=True):
            x = layer(added(upsample(x), skips.pop()))
        return self.conv_final(x)
