"""SegMamba as published: tri-oriented Mamba encoder, convolutional decoder (Xing et al. 2024, arXiv:2401.13560)."""

import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segmamba.networks.blocks import (
    Conv,
    TransposedConv,
    channels_last,
    from_tokens,
    padded_to_multiple,
    to_tokens,
)
from segmamba.networks.mixer import Mamba

# Slices of the inter-slice direction at each stage.  Constants of the published code, not in its state dict: a "slice"
# equals one plane of the stage's feature map only for a patch of depth 128.
_NSLICES = (64, 32, 16, 8)


def instance_norm(x: Tensor) -> Tensor:
    """Instance norm without affine parameters (eps 1e-5)."""
    return F.instance_norm(x, eps=1e-5)


class GSC(nn.Module):
    """Gated spatial convolution (paper, section 2.3); the published code adds the two branches."""

    def __init__(self, channels: int):
        super().__init__()
        self.proj = nn.Conv3d(channels, channels, 3, padding=1)
        self.proj2 = nn.Conv3d(channels, channels, 3, padding=1)
        self.proj3 = nn.Conv3d(channels, channels, 1)
        self.proj4 = nn.Conv3d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        a = F.relu(instance_norm(self.proj(x)))
        a = F.relu(instance_norm(self.proj2(a)))
        b = F.relu(instance_norm(self.proj3(x)))
        return F.relu(instance_norm(self.proj4(a + b))) + x


class MambaLayer(nn.Module):
    """x + ToM(LN(x)) over the voxels as tokens (paper, equation 3)."""

    def __init__(self, channels: int, nslices: int):
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.mamba = Mamba(channels, directions=3, nslices=nslices)

    def forward(self, x: Tensor) -> Tensor:
        return x + from_tokens(self.mamba(self.norm(to_tokens(x))), x.shape[2:])


class ChannelMLP(nn.Module):
    """1x1x1 convolutions with a GELU between: the projection on each skip connection."""

    def __init__(self, channels: int, hidden: int):
        super().__init__()
        self.fc1 = nn.Conv3d(channels, hidden, 1)
        self.fc2 = nn.Conv3d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class MambaEncoder(nn.Module):
    """Four stages at 1/2, 1/4, 1/8 and 1/16 of the resolution, each returned as a skip."""

    def __init__(self, in_channels: int, depths: Sequence[int], widths: Sequence[int]):
        super().__init__()
        self.downsample_layers = nn.ModuleList(
            [nn.Sequential(nn.Conv3d(in_channels, widths[0], 7, stride=2, padding=3))]
        )
        for narrow, wide in itertools.pairwise(widths):
            norm = nn.InstanceNorm3d(narrow)  # no parameters: the convolution's key is "1"
            self.downsample_layers.append(nn.Sequential(norm, nn.Conv3d(narrow, wide, 2, stride=2)))
        self.stages = nn.ModuleList(
            nn.Sequential(*(MambaLayer(width, nslices) for _ in range(depth)))
            for width, depth, nslices in zip(widths, depths, _NSLICES, strict=True)
        )
        self.gscs = nn.ModuleList(GSC(width) for width in widths)
        self.mlps = nn.ModuleList(ChannelMLP(width, 2 * width) for width in widths)

    def forward(self, x: Tensor) -> list[Tensor]:
        skips = []
        for down, gsc, stage, mlp in zip(self.downsample_layers, self.gscs, self.stages, self.mlps, strict=True):
            x = stage(gsc(down(x)))
            skips.append(mlp(instance_norm(x)))
        return skips


class ResidualBlock(nn.Module):
    """conv3, IN, LeakyReLU, conv3, IN, plus a shortcut (1x1x1 conv and IN where the width changes), LeakyReLU."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.conv1 = Conv(in_channels, out_channels)
        self.conv2 = Conv(out_channels, out_channels)
        if in_channels != out_channels:
            self.conv3 = Conv(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = F.leaky_relu(instance_norm(self.conv1(x)), 0.01)
        h = instance_norm(self.conv2(h))
        shortcut = instance_norm(self.conv3(x)) if hasattr(self, "conv3") else x
        return F.leaky_relu(h + shortcut, 0.01)


class EncoderBlock(nn.Module):
    """A residual block under the key ``layer``."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.layer = ResidualBlock(in_channels, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


class UpBlock(nn.Module):
    """Transposed convolution, concatenation (up, skip), residual block."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.transp_conv = TransposedConv(in_channels, out_channels)
        self.conv_block = ResidualBlock(2 * out_channels, out_channels)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        return self.conv_block(torch.cat([self.transp_conv(x), skip], dim=1))


class OutBlock(nn.Module):
    """The last 1x1x1 convolution, under the key ``conv.conv``."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.conv = Conv(in_channels, out_channels, 1, bias=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class SegMamba(nn.Module):
    """SegMamba, tri-oriented, with the parameter names of its published code.

    Args:
        in_channels: Image channels.
        out_channels: Output maps.
        depths: Mamba layers at each of the four stages.
        feat_size: Width of each stage.
        hidden_size: Width of the deepest decoder level.

    Shape: (B, in_channels, D, H, W) -> (B, out_channels, D, H, W), any size.
    """

    multiple = 16

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        depths: Sequence[int] = (2, 2, 2, 2),
        feat_size: Sequence[int] = (48, 96, 192, 384),
        hidden_size: int = 768,
    ):
        super().__init__()
        if len(depths) != 4 or len(feat_size) != 4:
            raise ValueError(f"depths has {len(depths)} and feat_size {len(feat_size)} entries; four each are needed")
        f0, f1, f2, f3 = feat_size
        self.vit = MambaEncoder(in_channels, depths, feat_size)
        self.encoder1 = EncoderBlock(in_channels, f0)
        self.encoder2 = EncoderBlock(f0, f1)
        self.encoder3 = EncoderBlock(f1, f2)
        self.encoder4 = EncoderBlock(f2, f3)
        self.encoder5 = EncoderBlock(f3, hidden_size)
        self.decoder5 = UpBlock(hidden_size, f3)
        self.decoder4 = UpBlock(f3, f2)
        self.decoder3 = UpBlock(f2, f1)
        self.decoder2 = UpBlock(f1, f0)
        self.decoder1 = EncoderBlock(f0, f0)
        self.out = OutBlock(f0, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return padded_to_multiple(self._forward, channels_last(x), self.multiple)

    def _forward(self, x: Tensor) -> Tensor:
        skip1, skip2, skip3, skip4 = self.vit(x)
        x1 = self.encoder1(x)
        x2 = self.encoder2(skip1)
        x3 = self.encoder3(skip2)
        x4 = self.encoder4(skip3)
        y = self.decoder5(self.encoder5(skip4), x4)
        y = self.decoder4(y, x3)
        y = self.decoder3(y, x2)
        y = self.decoder2(y, x1)
        return self.out(self.decoder1(y))
