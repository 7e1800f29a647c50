"""Parameters and multiply-adds, against figures that were counted on the papers' own code."""

import pytest
import torch
from torch import nn

from segmamba import networks
from segmamba.benchmark.counting import PER_ELEMENT, count
from segmamba.networks.mixer import Mamba

# Network, options, parameters in M, multiply-adds without the scan in G and scan elements in G: of the published code
# at four channels, four classes, 128 x 128 x 128, then at one channel, fourteen classes, 96 x 96 x 96.
PUBLISHED = [
    ("segmamba", {}, (67.42, 1469, 3.21), (67.36, 611, 1.35)),
    ("segmamba_v1", {"variant": "published"}, (56.98, 1407, 2.14), (56.92, 585, 0.90)),
    ("segresmamba", {"variant": "published"}, (70.5, 184, 0), (70.4, 72.5, 0)),
    ("lightmunet", {}, (5.016, 155, 10.07), (5.016, 65.5, 4.25)),
]


@pytest.mark.parametrize(("name", "options", "large", "small"), PUBLISHED)
def test_counts_are_those_of_the_published_code(name, options, large, small):
    for (channels, classes, size), wanted in (((4, 4, 128), large), ((1, 14, 96), small)):
        counts = count(networks.build(name, channels, classes, **options), channels, (size,) * 3)
        got = (counts.parameters / 1e6, counts.macs / 1e9, counts.scan_elements / 1e9)
        assert got == pytest.approx(wanted, rel=5e-3)
        assert counts.macs_with_scan == counts.macs + PER_ELEMENT * counts.scan_elements


def test_transposed_convolutions_count_at_the_resolution_of_their_input():
    counts = count(nn.ConvTranspose3d(3, 5, kernel_size=2, stride=2, bias=False), 3, (4, 4, 4))
    assert counts.macs == 4**3 * 3 * 5 * 2**3


def test_depthwise_convolutions_count_one_channel_each():
    assert count(nn.Conv3d(6, 6, 3, padding=1, groups=6), 6, (4, 4, 4)).macs == 4**3 * 6 * 27


def test_a_mixers_products_and_scans_are_counted():
    class Tokens(nn.Module):
        def __init__(self):
            super().__init__()
            self.mixer = Mamba(16, directions=3, nslices=5)

        def forward(self, x):
            return self.mixer(x.flatten(2).transpose(1, 2))

    counts = count(Tokens(), 16, (3, 4, 5))
    inner, length = 32, 60
    assert counts.scan_elements == 3 * length * inner * 16
    products = 16 * 2 * inner + inner * 16 + 3 * (inner * 4 + inner * (1 + 32) + inner)
    # The plain convolution is padded on both sides, and the three tokens too many are computed and cut off.
    assert counts.macs == length * products + 3 * 3 * inner * 4


def test_a_mixer_that_is_passed_over_is_an_error():
    class Sly(nn.Module):
        def __init__(self):
            super().__init__()
            self.mixer = Mamba(8)

        def forward(self, x):
            return torch.nn.functional.linear(x.flatten(2).transpose(1, 2), self.mixer.in_proj.weight)

    with pytest.raises(RuntimeError, match="1 Mamba mixers were not called"):
        count(Sly(), 8, (2, 2, 2))
