"""Every network keeps channels-last maps from input to output, forward and back: convolutions are fast only there."""

import pytest
import torch
from torch import nn

from segmamba.networks import build
from segmamba.networks.blocks import Conv3d, added, channels_last, cropped
from segmamba.networks.mixer import Mamba

SMALL = {
    "lightmunet": {"init_filters": 8, "blocks_down": (1, 1), "blocks_up": (1,)},
    "segmamba": {"depths": (1, 1, 1, 1), "feat_size": (4, 8, 8, 8), "hidden_size": 8},
    "segmamba_v1": {"depths": (1, 1, 1, 1), "feat_size": (6, 8, 8, 8), "hidden_size": 8},
    "segresmamba": {"feat_size": (8, 8, 8, 8)},
}
PUBLISHED = {"variant": "published"}
VARIANTS = [
    *((name, {}) for name in SMALL),
    ("segmamba_v1", PUBLISHED),
    ("segresmamba", PUBLISHED),
    ("segresmamba", {**PUBLISHED, "call_mamba": True}),
]


def kept(x):
    """Whether a map is channels-last, or tokens or a picture's features are dense."""
    if x.ndim == 5:
        return x.is_contiguous(memory_format=torch.channels_last_3d)
    return x.is_contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x.is_contiguous()


def watched(network):
    """Names of modules whose outputs, or whose inputs' gradients, leave the layout, as they do; and of all seen."""
    left, seen = [], set()

    def watch(name, module):
        def after(_, inputs, output):
            seen.add(name)
            if not kept(output):
                left.append(f"{name}: output {tuple(output.shape)} with strides {output.stride()}")
            for x in inputs:
                if x.requires_grad:
                    x.register_hook(back)

        def back(gradient):
            seen.add(f"back through {name}")
            if not kept(gradient):
                left.append(f"{name}: gradient {tuple(gradient.shape)} with strides {gradient.stride()}")

        module.register_forward_hook(after)

    for name, module in network.named_modules():
        if isinstance(module, Mamba) or not (list(module.children()) or ".mamba" in name):
            watch(name, module)
    return left, seen


@pytest.mark.parametrize("bf16", [False, True], ids=["float32", "bf16"])
@pytest.mark.parametrize(("channels", "size"), [(1, (32, 32, 32)), (2, (32, 16, 32)), (1, (17, 35, 21))])
@pytest.mark.parametrize(("name", "variant"), VARIANTS)
def test_the_layout_is_kept_in_training(name, variant, channels, size, bf16):
    torch.manual_seed(0)
    network = build(name, in_channels=channels, out_channels=3, **SMALL[name], **variant)
    left, seen = watched(network)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
        y = network(torch.randn(2, channels, *size, requires_grad=True))
    y.float().square().sum().backward()
    assert left == []
    convolutions = [key for key, module in network.named_modules() if isinstance(module, nn.Conv3d) and key in seen]
    assert len(convolutions) > 4
    assert [key for key in convolutions if f"back through {key}" not in seen] == []


@pytest.mark.parametrize("bf16", [False, True], ids=["float32", "bf16"])
@pytest.mark.parametrize(("name", "variant"), VARIANTS)
def test_the_layout_is_kept_in_inference(name, variant, bf16):
    torch.manual_seed(0)
    network = build(name, in_channels=1, out_channels=3, **SMALL[name], **variant).eval()
    left, seen = watched(network)
    x = torch.randn(1, 1, 32, 32, 32)
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
        y = network(x)
    assert left == []
    assert seen
    assert kept(y)


def test_the_layout_is_kept_in_two_dimensions():
    network = build("lightmunet", in_channels=1, out_channels=2, spatial_dims=2, **SMALL["lightmunet"])
    left, _ = watched(network)
    network(torch.randn(2, 1, 20, 31, requires_grad=True)).square().sum().backward()
    assert left == []


def test_memory_that_training_needs_is_not_overwritten():
    torch.manual_seed(0)
    for name in SMALL:
        network = build(name, in_channels=1, out_channels=2, **SMALL[name])
        x = torch.randn(1, 1, 32, 32, 32)
        with torch.inference_mode():
            inferred = network(x)
        assert torch.allclose(network(x), inferred, atol=1e-5)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("kernel", "groups"), [(1, 1), (1, 6), (3, 1), (3, 6), (1, 2)])
def test_a_convolution_computes_what_torchs_does(kernel, groups, bias):
    torch.manual_seed(0)
    ours = Conv3d(6, 6, kernel, padding=kernel // 2, groups=groups, bias=bias).double()
    torchs = nn.Conv3d(6, 6, kernel, padding=kernel // 2, groups=groups, bias=bias).double()
    torchs.load_state_dict(ours.state_dict(), strict=True)
    x = torch.randn(2, 6, 3, 4, 5, dtype=torch.float64)
    results = []
    for module in (ours, torchs):
        y = module(leaf := channels_last(x).detach().requires_grad_())
        results.append([y, *torch.autograd.grad(y.square().sum(), [leaf, *module.parameters()])])
    for a, b in zip(*results, strict=True):
        assert a.shape == b.shape
        assert torch.allclose(a, b, atol=1e-10)


def test_a_single_channel_is_channels_last_by_its_strides():
    x = torch.randn(2, 1, 3, 4, 5)
    y = channels_last(x)
    assert y.stride() == (60, 1, 20, 5, 1)
    assert torch.equal(y, x)


def test_sums_take_over_memory_only_where_no_gradient_is_recorded():
    a, b = torch.randn(3), torch.randn(3, requires_grad=True)
    total = added(a, b)
    assert torch.equal(total, a + b) and total.data_ptr() != a.data_ptr()
    with torch.no_grad():
        assert added(a, b).data_ptr() == a.data_ptr()
        assert added(a.bfloat16(), b).dtype == torch.float32


def test_a_crop_is_the_box_and_its_gradient_is_channels_last():
    x = channels_last(torch.randn(2, 3, 6, 5, 4)).requires_grad_()
    y = cropped(x, (1, 0, 2), (4, 5, 2))
    assert torch.equal(y, x[:, :, 1:5, :, 2:4])
    (gradient,) = torch.autograd.grad(y.sum(), x)
    assert kept(gradient)
    assert float(gradient.sum()) == y.numel()
