"""Building networks by name: options, variants, any size, any number of channels."""

import pytest
import torch

from segmamba.errors import UserError
from segmamba.networks import build, names

SMALL = {
    "lightmunet": {"init_filters": 8, "blocks_down": (1, 1), "blocks_up": (1,)},
    "segmamba": {"depths": (1, 1, 1, 1), "feat_size": (4, 8, 8, 8), "hidden_size": 8},
    "segmamba_v1": {"depths": (1, 1, 1, 1), "feat_size": (6, 8, 8, 8), "hidden_size": 8},
    "segresmamba": {"feat_size": (8, 8, 8, 8)},
}
VARIANTS = [(name, {}) for name in SMALL] + [(n, {"variant": "published"}) for n in ("segmamba_v1", "segresmamba")]


def test_every_name_builds():
    assert set(names()) == set(SMALL)
    for name in names():
        build(name, in_channels=1, out_channels=2, **SMALL[name])


@pytest.mark.parametrize(("name", "variant"), VARIANTS)
@pytest.mark.parametrize("size", [(16, 16, 16), (17, 9, 21), (5, 30, 12)])
def test_any_size_and_number_of_channels_comes_back_in_the_inputs_size(name, variant, size):
    torch.manual_seed(0)
    network = build(name, in_channels=3, out_channels=5, **SMALL[name], **variant).eval()
    with torch.inference_mode():
        y = network(torch.randn(2, 3, *size))
    assert y.shape == (2, 5, *size)
    assert bool(torch.isfinite(y).all())


@pytest.mark.parametrize(("name", "variant"), VARIANTS)
def test_every_parameter_gets_a_gradient(name, variant):
    torch.manual_seed(0)
    network = build(name, in_channels=2, out_channels=3, **SMALL[name], **variant)
    network(torch.randn(1, 2, 32, 32, 32)).square().sum().backward()
    missing = [key for key, p in network.named_parameters() if p.grad is None or not torch.isfinite(p.grad).all()]
    assert missing == []


@pytest.mark.parametrize("name", SMALL)
def test_bfloat16_autocast_stays_near_float32(name):
    torch.manual_seed(0)
    network = build(name, in_channels=1, out_channels=2, **SMALL[name]).eval()
    x = torch.randn(1, 1, 32, 32, 32)
    with torch.inference_mode():
        exact = network(x)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rounded = network(x).float()
    # Random weights through many norms; what a bf16 network loses in Dice is measured on trained models.
    assert float((exact - rounded).norm() / exact.norm()) < 0.2


def test_a_two_dimensional_lightmunet_takes_pictures():
    network = build("lightmunet", in_channels=1, out_channels=2, spatial_dims=2, **SMALL["lightmunet"]).eval()
    with torch.inference_mode():
        assert network(torch.randn(1, 1, 20, 31)).shape == (1, 2, 20, 31)


def test_the_paper_variant_of_the_seed_version_has_a_depthwise_stem_where_the_widths_divide():
    divides = build("segmamba_v1", in_channels=3, out_channels=2, **SMALL["segmamba_v1"])
    does_not = build("segmamba_v1", in_channels=4, out_channels=2, **SMALL["segmamba_v1"])
    assert divides.mamba_encoder.downsample_layers[0][0].groups == 3
    assert does_not.mamba_encoder.downsample_layers[0][0].groups == 1


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("unet", {}, "'unet'"),
        ("lightmunet", {"filters": 8}, "'filters'"),
        ("lightmunet", {"init_filters": 12}, "init_filters is 12"),
        ("lightmunet", {"blocks_down": [1, 1]}, "blocks_up has 3"),
        ("segmamba", {"feat_size": [8, 8]}, "feat_size has 2"),
        ("segmamba_v1", {"variant": "best"}, "'best'"),
        ("segresmamba", {"feat_size": [8, 8, 8, 12]}, "multiples of 8"),
    ],
)
def test_a_wrong_name_or_option_is_told_in_one_sentence(name, options, said):
    with pytest.raises(UserError, match=said):
        build(name, in_channels=1, out_channels=2, **options)
