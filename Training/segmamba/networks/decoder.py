"""The convolutional decoder that both versions of SegMamba share, with the parameter names of the published code."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from segmamba.networks.blocks import Conv, TransposedConv, channels_last, padded_to_multiple
from segmamba.networks.norms import instance_norm


class ResidualBlock(nn.Module):
    """conv3, IN, LeakyReLU, conv3, IN, plus a shortcut (1x1x1 conv and IN where the width changes), LeakyReLU."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.conv1 = Conv(in_channels, out_channels)
        self.conv2 = Conv(out_channels, out_channels)
        if in_channels != out_channels:
            self.conv3 = Conv(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = instance_norm(self.conv1(x), "leaky", overwrite=True)
        h = self.conv2(h)
        if hasattr(self, "conv3"):
            return instance_norm(h, "leaky", self.conv3(x), "normalised", overwrite=True)
        return instance_norm(h, "leaky", x, overwrite=True)


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


class SkipDecoderNetwork(nn.Module):
    """A network of an encoder with four skips, at 1/2 to 1/16 of the resolution, and SegMamba's decoder.

    The decoder's modules stand at the top level of the state dict; a subclass adds its encoder and overrides
    :meth:`encode`.
    """

    multiple = 16

    def __init__(self, in_channels: int, out_channels: int, feat_size: Sequence[int], hidden_size: int):
        super().__init__()
        if len(feat_size) != 4:
            raise ValueError(f"feat_size has {len(feat_size)} entries; four are needed")
        f0, f1, f2, f3 = feat_size
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

    def encode(self, x: Tensor) -> list[Tensor]:
        """Four skips of (B, in_channels, D, H, W), finest first."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        return padded_to_multiple(self._forward, channels_last(x), self.multiple)

    def _forward(self, x: Tensor) -> Tensor:
        skip1, skip2, skip3, skip4 = self.encode(x)
        y = self.decoder5(self.encoder5(skip4), self.encoder4(skip3))
        y = self.decoder4(y, self.encoder3(skip2))
        y = self.decoder3(y, self.encoder2(skip1))
        y = self.decoder2(y, self.encoder1(x))
        return self.out(self.decoder1(y))
