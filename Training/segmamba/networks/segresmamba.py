"""SegResMamba: convolutions around tri-oriented Mamba layers, SegResNet's decoder (arXiv:2503.07766)."""

import itertools
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from segmamba.networks.blocks import (
    Conv,
    Conv3d,
    ConvTranspose3d,
    added,
    channels_last,
    cropped,
    from_tokens,
    padded_to_multiple,
    to_tokens,
)
from segmamba.networks.mixer import Mamba
from segmamba.networks.norms import GroupNorm, InstanceNorm, instance_norm
from segmamba.networks.segmamba import NSLICES, ChannelMLP, MambaLayer

# Parts of the published state dict that nothing computes with: the decoder's own encoder and its last convolution.
_DEAD = ("segresnet.convInit.", "segresnet.down_layers.", "segresnet.conv_final.")


class InnerMamba(nn.Module):
    """ToM(LN(x)) with 4 slices and no residual, at half the block's resolution."""

    def __init__(self, channels: int):
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.mamba = Mamba(channels, directions=3, nslices=4)

    def forward(self, x: Tensor) -> Tensor:
        return from_tokens(self.mamba(self.norm(to_tokens(x))), x.shape[2:])


class ResMambaBlock(nn.Module):
    """Down by a strided convolution, convolution, Mamba, convolution, up by a transposed one, plus the input.

    Args:
        channels: Width.
        call_mamba: Whether the Mamba layer takes part; the published code builds it and never calls it.
        pad_even: Zero-pad odd axes to even around the Mamba layer, as the published code prepares for it.
    """

    def __init__(self, channels: int, call_mamba: bool, pad_even: bool):
        super().__init__()
        self.proj = Conv3d(channels, channels, 5, stride=2, padding=2)
        self.proj3 = Conv3d(channels, channels, 3, padding=1)
        if call_mamba:
            self.mamba_layer = InnerMamba(channels)
        self.proj4 = Conv3d(channels, channels, 3, padding=1)
        self.proj5 = ConvTranspose3d(channels, channels, 5, stride=2, padding=2, output_padding=1)
        self._pad_even = pad_even

    def forward(self, x: Tensor) -> Tensor:
        h = instance_norm(self.proj(x), "relu", overwrite=True)
        h = instance_norm(self.proj3(h), "relu", overwrite=True)
        if hasattr(self, "mamba_layer"):
            h = self._mix(h)
        h = self.proj5(instance_norm(self.proj4(h), "relu", overwrite=True))
        # Twice the halved size is one plane too many for an odd axis: the first one goes.
        extra = [n - size for n, size in zip(h.shape[2:], x.shape[2:], strict=True)]
        if not any(extra):
            return instance_norm(h, "relu", x, "outside", overwrite=True)
        return cropped(instance_norm(h, "relu", overwrite=True), extra, x.shape[2:]) + x

    def _mix(self, h: Tensor) -> Tensor:
        size = h.shape[2:]
        if not self._pad_even or not any(n % 2 for n in size):
            return self.mamba_layer(h)
        padded = F.pad(h, [value for n in reversed(size) for value in (0, n % 2)])
        return channels_last(cropped(self.mamba_layer(channels_last(padded)), [0, 0, 0], size))


class ResMambaEncoder(nn.Module):
    """Four stages at 1/2 to 1/16 of the resolution, each returned as a skip."""

    def __init__(self, in_channels: int, widths: Sequence[int], variant: str, call_mamba: bool):
        super().__init__()
        self.downsample_layers = nn.ModuleList([nn.Sequential(Conv3d(in_channels, widths[0], 7, stride=2, padding=3))])
        for narrow, wide in itertools.pairwise(widths):
            self.downsample_layers.append(
                nn.Sequential(
                    InstanceNorm(),
                    Conv3d(narrow, narrow, 3, padding=1),
                    InstanceNorm(),
                    Conv3d(narrow, wide, 2, stride=2),
                )
            )
        paper = variant == "paper"
        self.gscs = nn.ModuleList(ResMambaBlock(width, paper or call_mamba, pad_even=not paper) for width in widths)
        self.stages = nn.ModuleList(
            nn.Sequential(MambaLayer(width, nslices) if paper else Conv3d(width, width, 3, padding=1))
            for width, nslices in zip(widths, NSLICES, strict=True)
        )
        self.mlps = nn.ModuleList(ChannelMLP(width, 2 * width) for width in widths)

    def forward(self, x: Tensor) -> list[Tensor]:
        skips = []
        for down, block, stage, mlp in zip(self.downsample_layers, self.gscs, self.stages, self.mlps, strict=True):
            x = stage(block(down(x)))
            skips.append(mlp(instance_norm(x)))
        return skips


class DecoderBlock(nn.Module):
    """SegResNet's residual block: GN, ReLU, conv3, twice, plus the input."""

    def __init__(self, channels: int):
        super().__init__()
        self.norm1 = GroupNorm(8, channels, "relu")
        self.norm2 = GroupNorm(8, channels, "relu")
        self.conv1 = Conv(channels, channels)
        self.conv2 = Conv(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm2(self.conv1(self.norm1(x)), overwrite=True)
        return added(self.conv2(h), x)


class SegResNetDecoder(nn.Module):
    """From 1/16 back to 1/2 of the resolution: halve the channels, double the size, add the skip, residual block."""

    def __init__(self, widths: Sequence[int]):
        super().__init__()
        pairs = list(itertools.pairwise(reversed(widths)))
        self.up_samples = nn.ModuleList(
            nn.Sequential(Conv(wide, narrow, 1), nn.Upsample(scale_factor=2, mode="trilinear"))
            for wide, narrow in pairs
        )
        self.up_layers = nn.ModuleList(nn.Sequential(DecoderBlock(narrow)) for _, narrow in pairs)

    def forward(self, skips: list[Tensor]) -> Tensor:
        x = skips[-1]
        for upsample, layer, skip in zip(self.up_samples, self.up_layers, reversed(skips[:-1]), strict=True):
            x = layer(added(upsample(x), skip))
        return x


class SegResMamba(nn.Module):
    """SegResMamba: as its paper describes it, or as its code was published (for checkpoints).

    The paper is silent on details of the Mamba layers; chosen here: 4 slices and a layer norm without a residual inside
    the block, x + ToM(LN(x)) with 64, 32, 16 and 8 slices after it.

    Args:
        in_channels: Image channels.
        out_channels: Output maps.
        feat_size: Width of each of the four stages, multiples of 8.
        variant: ``paper``; or ``published``, where the block's Mamba layer is not called and a plain convolution
            stands in for the second one.
        call_mamba: In the published variant, call the block's Mamba layer all the same.

    Shape: (B, in_channels, D, H, W) -> (B, out_channels, D, H, W), any size.

    ``load_state_dict`` takes published state dicts whole: entries that nothing computes with are passed over.
    """

    multiple = 16

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        feat_size: Sequence[int] = (48, 96, 192, 384),
        variant: str = "paper",
        call_mamba: bool = False,
    ):
        super().__init__()
        if len(feat_size) != 4 or any(width % 8 for width in feat_size):
            raise ValueError(f"feat_size is {list(feat_size)}; four multiples of 8 are needed")
        if variant not in ("paper", "published"):
            raise ValueError(f"variant is {variant!r}; allowed are 'paper' and 'published'")
        self.vit = ResMambaEncoder(in_channels, feat_size, variant, call_mamba)
        self.segresnet = SegResNetDecoder(feat_size)
        self.out = ConvTranspose3d(feat_size[0], out_channels, 2, stride=2)
        if variant == "published":
            self.register_load_state_dict_pre_hook(_drop_dead)

    def forward(self, x: Tensor) -> Tensor:
        return padded_to_multiple(self._forward, channels_last(x), self.multiple)

    def _forward(self, x: Tensor) -> Tensor:
        return self.out(self.segresnet(self.vit(x)))


def is_dead(key: str, call_mamba: bool) -> bool:
    """Whether an entry of the published state dict takes no part in what the network computes."""
    return key.startswith(_DEAD) or (not call_mamba and ".mamba_layer." in key)


def _drop_dead(module: SegResMamba, state_dict: dict, prefix: str, *_) -> None:
    called = hasattr(module.vit.gscs[0], "mamba_layer")
    for key in [key for key in state_dict if key.startswith(prefix) and is_dead(key[len(prefix) :], called)]:
        del state_dict[key]
