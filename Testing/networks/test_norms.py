"""Instance and group norm: against torch in float64, large means, bf16, residuals, layouts, threads, other devices."""

import pytest
import torch
import torch.nn.functional as F

from segmamba.networks import norms
from segmamba.networks.norms import GroupNorm, InstanceNorm, group_norm, instance_norm

LAST = torch.channels_last_3d
SHAPES = [(1, 16, 4, 4, 4), (2, 5, 1, 3, 2), (2, 40, 5, 3, 7), (1, 48, 9, 8, 10)]


@pytest.fixture(params=[1, 2], ids=["one thread", "two threads"])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def definition(x, groups, weight, bias, activation, residual, place):
    y = F.group_norm(x, groups, weight, bias)
    if residual is not None and place != "outside":
        y = y + (F.group_norm(residual, groups) if place == "normalised" else residual)
    y = {None: lambda v: v, "relu": F.relu, "leaky": lambda v: F.leaky_relu(v, 0.01)}[activation](y)
    return y + residual if residual is not None and place == "outside" else y


def with_gradients(function, dy, *leaves):
    leaves = [None if t is None else t.detach().requires_grad_() for t in leaves]
    y = function(*leaves)
    return [y.detach(), *torch.autograd.grad(y, [t for t in leaves if t is not None], dy)]


def deviation(found, exact):
    return float((found.double() - exact).abs().max() / max(1e-30, float(exact.abs().max())))


@pytest.mark.parametrize("place", [None, "inside", "normalised", "outside"])
@pytest.mark.parametrize("activation", [None, "relu", "leaky"])
def test_output_and_gradients_agree_with_float64(activation, place, threads):
    assert norms._kernels(True) is not None, "the kernels work on the development machine"
    generator = torch.Generator().manual_seed(2)
    for shape in SHAPES:
        channels = shape[1]
        groups = 5 if channels % 5 == 0 else 8
        x, residual, dy = (torch.randn(shape, generator=generator).contiguous(memory_format=LAST) for _ in range(3))
        residual = None if place is None else residual
        weight, bias = (torch.randn(channels, generator=generator) for _ in range(2))
        usual = place or "inside"

        def mine(x, r, w, b, groups=groups, usual=usual):
            return group_norm(x, groups, w, b, 1e-5, activation, r, usual)

        def exact(x, r, w, b, groups=groups, usual=usual):
            return definition(x, groups, w, b, activation, r, usual)

        double = [None if t is None else t.double().contiguous() for t in (x, residual, weight, bias)]
        found = with_gradients(mine, dy, x, residual, weight, bias)
        for got, want in zip(found, with_gradients(exact, dy.double().contiguous(), *double), strict=True):
            assert deviation(got, want) < 2e-6, (shape, activation, place)
            assert got.ndim == 1 or got.is_contiguous(memory_format=LAST)


@pytest.mark.parametrize("mean", [0.0, 1000.0])
def test_a_mean_far_from_zero_costs_no_accuracy(mean):
    x = (torch.randn(1, 16, 20, 21, 22, generator=torch.Generator().manual_seed(0)) + mean).contiguous(
        memory_format=LAST
    )
    # Zeros about the object, as in images: no value of the map is a good origin for all.
    x[:, :, :5] = 0
    dy = torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    double, wanted = x.double().contiguous(), dy.double()
    exact = with_gradients(lambda x: F.instance_norm(x), wanted, double)
    for got, want in zip(with_gradients(instance_norm, dy, x), exact, strict=True):
        assert deviation(got, want) < 1e-6
    exact = with_gradients(lambda x: F.group_norm(x, 4), wanted, double)
    for got, want in zip(with_gradients(lambda x: group_norm(x, 4), dy, x), exact, strict=True):
        assert deviation(got, want) < 1e-6


def test_bfloat16_maps_are_normalised_in_float32_and_rounded_once():
    x, residual, dy = (torch.randn(2, 20, 5, 6, 7).contiguous(memory_format=LAST).bfloat16() for _ in range(3))
    found = with_gradients(lambda x, r: instance_norm(x, "leaky", r, "normalised"), dy, x, residual)
    exact = with_gradients(
        lambda x, r: F.leaky_relu(F.instance_norm(x) + F.instance_norm(r), 0.01),
        dy.double().contiguous(),
        x.double().contiguous(),
        residual.double().contiguous(),
    )
    for got, want in zip(found, exact, strict=True):
        assert got.dtype == torch.bfloat16
        assert got.is_contiguous(memory_format=LAST)
        # A little for values next to a border of the rounding.
        assert float(((got.double() - want).abs() - 2**-8 * want.abs()).max()) < 1e-4
    assert torch.equal(found[0], exact[0].bfloat16()) or deviation(found[0], exact[0]) < 2**-8


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_autocast_does_not_change_the_type(kind):
    x = torch.randn(1, 16, 4, 4, 4, dtype=kind, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for y in (InstanceNorm("relu")(x), GroupNorm(8, 16)(x), instance_norm(x, None, torch.randn(x.shape))):
            assert y.dtype == kind
            assert torch.autograd.grad(y.float().square().sum(), x)[0].dtype == kind


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16, torch.float64])
def test_a_single_voxel_becomes_zero(kind):
    x = torch.randn(2, 5, 1, 1, 1, dtype=kind)
    assert torch.equal(instance_norm(x), torch.zeros_like(x))


def test_a_nan_stays_in_its_channel_and_is_not_lost():
    x = torch.randn(2, 20, 4, 4, 4).contiguous(memory_format=LAST)
    x[1, 3, 2, 1, 0] = float("nan")
    y = instance_norm(x, "relu")
    assert bool(y[1, 3].isnan().all())
    assert int(y.isnan().sum()) == 64


@pytest.mark.parametrize("shape", [(2, 20, 6, 5), (2, 20, 30), (3, 1, 4, 5, 6)])
def test_pictures_sequences_and_single_channels_are_normalised(shape):
    x = torch.randn(shape)
    assert torch.allclose(instance_norm(x), F.instance_norm(x), atol=1e-5)


def test_maps_in_any_layout_give_the_same_channels_last_map():
    wide = torch.randn(2, 40, 6, 5, 4).contiguous(memory_format=LAST)
    part = wide[:, 8:28]  # adjacent channels, longer rows
    expected = instance_norm(part.contiguous(memory_format=LAST), "leaky")
    for x in (part, part.contiguous(), part.flip(2).flip(2), part[:, :, :, :, :]):
        y = instance_norm(x, "leaky", overwrite=x.is_contiguous())
        assert torch.equal(y, expected)
        assert y.is_contiguous(memory_format=LAST)


def test_memory_is_taken_over_only_where_no_gradient_is_recorded():
    x = torch.randn(1, 16, 4, 4, 4).contiguous(memory_format=LAST)
    before = x.clone()
    expected = instance_norm(x, "relu")
    assert torch.equal(x, before)
    leaf = x.clone(memory_format=torch.preserve_format).requires_grad_()
    assert torch.equal(instance_norm(leaf, "relu", overwrite=True), expected)
    assert torch.equal(leaf, before)
    with torch.inference_mode():
        y = instance_norm(x, "relu", overwrite=True)
    assert y.data_ptr() == x.data_ptr()
    assert torch.equal(y, expected)


def test_results_are_the_same_bit_for_bit_from_run_to_run(threads):
    x, r, dy = (torch.randn(2, 48, 17, 16, 15).contiguous(memory_format=LAST) for _ in range(3))
    runs = [with_gradients(lambda x, r: instance_norm(x, "leaky", r), dy, x, r) for _ in range(3)]
    for run in runs[1:]:
        assert all(torch.equal(a, b) for a, b in zip(run, runs[0], strict=True))


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("place", ["inside", "normalised", "outside"])
def test_plain_torch_takes_over_where_the_kernels_do_not_work(monkeypatch, kind, place):
    x, r = (torch.randn(2, 16, 4, 5, 6).contiguous(memory_format=LAST).to(kind) for _ in range(2))
    module = GroupNorm(8, 16, "relu").to(kind)

    def results():
        return module(x), instance_norm(x, "leaky", r, place), group_norm(x, 4, None, None, 1e-5, "relu", r, place)

    compiled = results()
    monkeypatch.setattr(norms, "_kernels", lambda training: None)
    for a, b in zip(compiled, results(), strict=True):
        assert b.dtype == kind
        assert b.is_contiguous(memory_format=LAST)
        assert torch.allclose(a, b, atol=0.1 if kind == torch.bfloat16 else 1e-5)


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_plain_torch_has_the_right_gradient_of_a_channels_last_batch_of_one(monkeypatch, kind):
    # Where torch's own instance norm has not.
    x, dy = (torch.randn(1, 16, 4, 5, 6).contiguous(memory_format=LAST).to(kind) for _ in range(2))
    monkeypatch.setattr(norms, "_kernels", lambda training: None)
    found = with_gradients(lambda x: instance_norm(x, "relu"), dy, x)
    exact = with_gradients(lambda x: F.relu(F.instance_norm(x)), dy.double().contiguous(), x.double().contiguous())
    for got, want in zip(found, exact, strict=True):
        assert deviation(got, want) < 2e-6


def test_group_norm_has_torchs_parameters_and_result():
    ours, torchs = GroupNorm(4, 20), torch.nn.GroupNorm(4, 20)
    torch.nn.init.normal_(torchs.weight)
    torch.nn.init.normal_(torchs.bias)
    ours.load_state_dict(torchs.state_dict(), strict=True)
    x = torch.randn(2, 20, 6, 5, 4)
    assert torch.allclose(ours(x), torchs(x), atol=1e-5)


def test_wrong_groups_residuals_and_activations_are_refused():
    x = torch.randn(1, 6, 2, 2, 2)
    for wrong in (
        lambda: GroupNorm(4, 6),
        lambda: group_norm(x, 4),
        lambda: instance_norm(x, "relu", x[:, :3]),
        lambda: instance_norm(x, "swish"),
        lambda: instance_norm(x, None, x, "beside"),
    ):
        with pytest.raises(ValueError, match=r"groups|residual|unknown"):
            wrong()


def test_another_default_type_or_device_does_not_matter():
    x = torch.randn(2, 20, 4, 4, 4)
    right = instance_norm(x, "relu")
    for set_default, other, usual in (
        (torch.set_default_dtype, torch.float64, torch.float32),
        (torch.set_default_device, "meta", None),
    ):
        norms._kernels.cache_clear()
        set_default(other)
        try:
            assert norms._kernels(True) is not None  # the comparison with torch, too
            found = instance_norm(x, "relu")
        finally:
            set_default(usual)
        assert torch.equal(found, right)


def test_kernels_that_are_first_asked_for_in_inference_work():
    norms._kernels.cache_clear()
    with torch.inference_mode():
        assert norms._kernels(True) is not None
