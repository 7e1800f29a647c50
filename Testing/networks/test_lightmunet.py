"""LightM-UNet: its layers by pieces, and what two convolutions in one give."""

import pytest
import torch

from segmamba.networks import build, lightmunet
from segmamba.networks.lightmunet import PointwisePair, separable_conv


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("half", [None, torch.bfloat16, torch.float16], ids=["float32", "bf16", "fp16"])
def test_layers_computed_by_pieces_give_the_same_maps(half, batch, monkeypatch):
    torch.manual_seed(0)
    network = build("lightmunet", in_channels=1, out_channels=2, init_filters=8).eval()
    x = torch.randn(batch, 1, 16, 20, 24)
    maps = []
    with torch.inference_mode(), torch.autocast("cpu", half or torch.bfloat16, enabled=half is not None):
        for piece in (1 << 30, 352):
            monkeypatch.setattr(lightmunet, "_PIECE", piece)
            maps.append(network(x).float())
    assert torch.allclose(*maps, atol=2e-2 if half else 1e-4)


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16], ids=["bf16", "fp16"])
def test_weights_in_half_precision_are_computed_by_pieces_too(kind, monkeypatch):
    torch.manual_seed(0)
    layer = lightmunet.RVMLayer(16, 32).to(kind).eval()
    x = torch.randn(1, 16, 8, 10, 12).to(kind)
    maps = []
    with torch.inference_mode():
        for piece in (1 << 30, 352):
            monkeypatch.setattr(lightmunet, "_PIECE", piece)
            maps.append(layer(x).float())
    assert torch.allclose(*maps, atol=5e-2)


def test_a_pair_of_pointwise_convolutions_is_one():
    torch.manual_seed(0)
    pair = separable_conv(8, 3, 1, True, 3).double()
    assert isinstance(pair, PointwisePair)
    x = torch.randn(2, 8, 4, 5, 6, dtype=torch.float64)
    one_by_one = torch.nn.functional.conv3d(x, pair[0].conv.weight, pair[0].conv.bias, groups=8)
    one_by_one = torch.nn.functional.conv3d(one_by_one, pair[1].conv.weight, pair[1].conv.bias)
    assert torch.allclose(pair(x), one_by_one, atol=1e-12)
