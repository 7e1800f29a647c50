"""SegMamba as published: tri-oriented Mamba encoder, convolutional decoder (Xing et al. 2024, arXiv:2401.13560)."""

import itertools
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from segmamba.networks.blocks import Conv3d, added, from_tokens, to_tokens
from segmamba.networks.decoder import SkipDecoderNetwork
from segmamba.networks.mixer import Mamba
from segmamba.networks.norms import InstanceNorm, instance_norm

# Slices of the inter-slice direction at each stage.  Constants of the published code, not in its state dict: a "slice"
# equals one plane of the stage's feature map only for a patch of depth 128.
NSLICES = (64, 32, 16, 8)


class GSC(nn.Module):
    """Gated spatial convolution (paper, section 2.3); the published code adds the two branches."""

    def __init__(self, channels: int):
        super().__init__()
        self.proj = Conv3d(channels, channels, 3, padding=1)
        self.proj2 = Conv3d(channels, channels, 3, padding=1)
        self.proj3 = Conv3d(channels, channels, 1)
        self.proj4 = Conv3d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        b = instance_norm(self.proj3(x), "relu", overwrite=True)
        a = instance_norm(self.proj(x), "relu", overwrite=True)
        both = instance_norm(self.proj2(a), "relu", b, "outside", overwrite=True)
        return instance_norm(self.proj4(both), "relu", x, "outside", overwrite=True)


class MambaLayer(nn.Module):
    """x + ToM(LN(x)) over the voxels as tokens (paper, equation 3)."""

    def __init__(self, channels: int, nslices: int):
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.mamba = Mamba(channels, directions=3, nslices=nslices)

    def forward(self, x: Tensor) -> Tensor:
        return added(from_tokens(self.mamba(self.norm(to_tokens(x))), x.shape[2:]), x)


class ChannelMLP(nn.Module):
    """1x1x1 convolutions with a GELU between: the projection on each skip connection."""

    def __init__(self, channels: int, hidden: int):
        super().__init__()
        self.fc1 = Conv3d(channels, hidden, 1)
        self.fc2 = Conv3d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class MambaEncoder(nn.Module):
    """Four stages at 1/2, 1/4, 1/8 and 1/16 of the resolution, each returned as a skip."""

    def __init__(self, in_channels: int, depths: Sequence[int], widths: Sequence[int]):
        super().__init__()
        self.downsample_layers = nn.ModuleList([nn.Sequential(Conv3d(in_channels, widths[0], 7, stride=2, padding=3))])
        for narrow, wide in itertools.pairwise(widths):
            # The norm has no parameters; its place makes the convolution's key "1".
            self.downsample_layers.append(nn.Sequential(InstanceNorm(), Conv3d(narrow, wide, 2, stride=2)))
        self.stages = nn.ModuleList(
            nn.Sequential(*(MambaLayer(width, nslices) for _ in range(depth)))
            for width, depth, nslices in zip(widths, depths, NSLICES, strict=True)
        )
        self.gscs = nn.ModuleList(GSC(width) for width in widths)
        self.mlps = nn.ModuleList(ChannelMLP(width, 2 * width) for width in widths)

    def forward(self, x: Tensor) -> list[Tensor]:
        skips = []
        for down, gsc, stage, mlp in zip(self.downsample_layers, self.gscs, self.stages, self.mlps, strict=True):
            x = stage(gsc(down(x)))
            skips.append(mlp(instance_norm(x)))
        return skips


class SegMamba(SkipDecoderNetwork):
    """SegMamba, tri-oriented, with the parameter names of its published code.

    Args:
        in_channels: Image channels.
        out_channels: Output maps.
        depths: Mamba layers at each of the four stages.
        feat_size: Width of each stage.
        hidden_size: Width of the deepest decoder level.

    Shape: (B, in_channels, D, H, W) -> (B, out_channels, D, H, W), any size.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        depths: Sequence[int] = (2, 2, 2, 2),
        feat_size: Sequence[int] = (48, 96, 192, 384),
        hidden_size: int = 768,
    ):
        super().__init__(in_channels, out_channels, feat_size, hidden_size)
        if len(depths) != 4:
            raise ValueError(f"depths has {len(depths)} entries; four are needed")
        self.vit = MambaEncoder(in_channels, depths, feat_size)

    def encode(self, x: Tensor) -> list[Tensor]:
        """Four skips, finest first."""
        return self.vit(x)
