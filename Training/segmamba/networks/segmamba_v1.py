"""The seed version of SegMamba: two-direction Mamba encoder with channel layer norms (arXiv:2401.13560v1)."""

import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segmamba.networks.blocks import Conv3d, added, from_tokens, to_tokens
from segmamba.networks.decoder import SkipDecoderNetwork
from segmamba.networks.mixer import Mamba
from segmamba.networks.segmamba import ChannelMLP


class ChannelLayerNorm(nn.Module):
    """Layer norm over the channels of every voxel (affine, eps 1e-6)."""

    def __init__(self, channels: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        # Channels last, a view there and back where x is channels-last in memory.
        return F.layer_norm(x.movedim(1, -1), self.weight.shape, self.weight, self.bias, 1e-6).movedim(-1, 1)


class PublishedLayer(nn.Module):
    """Mamba(LN(x)) in two directions, without a residual: what the published code computes."""

    def __init__(self, channels: int):
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.mamba = Mamba(channels, directions=2)

    def forward(self, x: Tensor) -> Tensor:
        return from_tokens(self.mamba(self.norm(to_tokens(x))), x.shape[2:])


class PaperLayer(nn.Module):
    """z' = Mamba(LN(z)) + z, then MLP(LN(z')) + z': a block as the paper's equations have it."""

    def __init__(self, channels: int):
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.mamba = Mamba(channels, directions=2)
        self.norm2 = ChannelLayerNorm(channels)
        self.mlp = ChannelMLP(channels, 4 * channels)

    def forward(self, x: Tensor) -> Tensor:
        x = added(from_tokens(self.mamba(self.norm(to_tokens(x))), x.shape[2:]), x)
        return added(self.mlp(self.norm2(x)), x)


class MambaEncoderV1(nn.Module):
    """Four stages; the skips are normalised and, as published, go through an MLP that the trunk bypasses."""

    def __init__(self, in_channels: int, depths: Sequence[int], widths: Sequence[int], variant: str):
        super().__init__()
        paper = variant == "paper"
        # The paper calls the stem depthwise; that is possible only where the width is a multiple of the channels.
        groups = in_channels if paper and widths[0] % in_channels == 0 else 1
        stem = Conv3d(in_channels, widths[0], 7, stride=2, padding=3, groups=groups)
        self.downsample_layers = nn.ModuleList([nn.Sequential(stem, ChannelLayerNorm(widths[0]))])
        for narrow, wide in itertools.pairwise(widths):
            self.downsample_layers.append(nn.Sequential(ChannelLayerNorm(narrow), Conv3d(narrow, wide, 2, stride=2)))
        layer = PaperLayer if paper else PublishedLayer
        self.stages = nn.ModuleList(
            nn.Sequential(*(layer(width) for _ in range(depth))) for width, depth in zip(widths, depths, strict=True)
        )
        for stage, width in enumerate(widths):
            self.add_module(f"norm{stage}", ChannelLayerNorm(width))
        if not paper:
            self.mlps = nn.ModuleList(ChannelMLP(width, 4 * width) for width in widths)

    def forward(self, x: Tensor) -> list[Tensor]:
        skips = []
        for number, (down, stage) in enumerate(zip(self.downsample_layers, self.stages, strict=True)):
            x = stage(down(x))
            skip = getattr(self, f"norm{number}")(x)
            skips.append(self.mlps[number](skip) if hasattr(self, "mlps") else skip)
        return skips


class SegMambaV1(SkipDecoderNetwork):
    """The first SegMamba: as its paper describes it, or as its code was published (for checkpoints).

    Args:
        in_channels: Image channels.
        out_channels: Output maps.
        depths: Blocks at each of the four stages.
        feat_size: Width of each stage.
        hidden_size: Width of the deepest decoder level.
        variant: ``paper``: residuals, the MLP in the trunk, a depthwise stem where the widths divide; ``published``:
            no residuals, the MLP on the skips alone, a dense stem.

    Shape: (B, in_channels, D, H, W) -> (B, out_channels, D, H, W), any size.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        depths: Sequence[int] = (2, 2, 2, 2),
        feat_size: Sequence[int] = (48, 96, 192, 384),
        hidden_size: int = 768,
        variant: str = "paper",
    ):
        super().__init__(in_channels, out_channels, feat_size, hidden_size)
        if len(depths) != 4:
            raise ValueError(f"depths has {len(depths)} entries; four are needed")
        if variant not in ("paper", "published"):
            raise ValueError(f"variant is {variant!r}; allowed are 'paper' and 'published'")
        self.mamba_encoder = MambaEncoderV1(in_channels, depths, feat_size, variant)

    def encode(self, x: Tensor) -> list[Tensor]:
        """Four skips, finest first."""
        return self.mamba_encoder(x)
