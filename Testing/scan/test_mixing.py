"""The inside of a mixer: the fused pass of the processor against single steps in float64."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from segmamba.scan import mixing
from segmamba.scan.mixing import mix, mix_with_torch
from segmamba.scan.orders import inter_slice, plain
from segmamba.scan.weights import Weights


def problem(batch, length, channels, directions, rank=2, states=16, seed=0):
    """xz, weights and orders of up to three directions, float64."""
    source = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(shape, generator=source, dtype=torch.float64)

    weights = [
        Weights(
            normal(channels, 1, 4),
            normal(channels),
            normal(rank + 2 * states, channels) / channels**0.5,
            normal(channels, rank),
            normal(channels) - 2,
            -torch.exp(normal(channels, states)),
            normal(channels),
        )
        for _ in range(directions)
    ]
    orders = [plain(length), plain(length, backwards=True), inter_slice(length, 8)][:directions]
    return normal(batch, length, 2 * channels), weights, orders


def differentiated(way, xz, weights, orders, kind):
    """Output and all gradients of a weighted sum, as float64."""
    leaves = [t.to(kind).requires_grad_() for t in (xz, *(t for w in weights for t in w))]
    y = way(leaves[0], Weights.grouped(leaves[1:]), orders)
    factor = torch.randn(y.shape, generator=torch.Generator().manual_seed(9), dtype=torch.float64).to(y.dtype)
    return [t.detach().double() for t in (y, *torch.autograd.grad((y * factor).sum(), leaves))]


@pytest.fixture(params=[1, 2, 3])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


SHAPES = [  # batch, length, channels, directions, rank, states: tails of everything, several spans
    (1, 1, 16, 3, 1, 16),
    (1, 2, 5, 2, 1, 4),
    (2, 67, 33, 3, 3, 16),
    (1, 130, 20, 1, 5, 6),
    (3, 95, 48, 3, 17, 8),
    (1, 13000, 17, 3, 1, 16),
]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_output_and_gradients_agree_with_float64(shape, threads, relative_error):
    xz, weights, orders = problem(*shape)
    wanted = differentiated(mix_with_torch, xz, weights, orders, torch.float64)
    found = differentiated(lambda *given: mix(*given, backend="numba"), xz, weights, orders, torch.float32)
    with torch.no_grad():
        quick = mix(xz.float(), [Weights(*(t.float() for t in w)) for w in weights], orders, backend="numba")
    assert relative_error(quick, wanted[0]) < 1e-6
    for right, got in zip(wanted, found, strict=True):
        assert relative_error(got, right) < 1e-5


def test_bf16_tokens_are_read_as_they_are_and_computed_in_float32(relative_error):
    xz, weights, orders = problem(2, 150, 24, 3)
    half = xz.bfloat16()
    right = differentiated(mix_with_torch, half.double(), weights, orders, torch.float64)
    leaf = half.clone().requires_grad_()
    y = mix(leaf, [Weights(*(t.float() for t in w)) for w in weights], orders, backend="numba")
    factor = torch.randn(y.shape, generator=torch.Generator().manual_seed(9), dtype=torch.float64).bfloat16()
    (gradient,) = torch.autograd.grad(y, leaf, factor)
    assert y.dtype == gradient.dtype == torch.bfloat16
    assert relative_error(y, right[0]) < 3e-3  # bf16's rounding
    with torch.no_grad():
        again = mix(half, [Weights(*(t.float() for t in w)) for w in weights], orders, backend="numba")
    assert torch.equal(again, y)


def test_two_runs_give_the_same_bits(threads):
    xz, weights, orders = problem(2, 700, 40, 3)
    results = [
        differentiated(lambda *given: mix(*given, backend="numba"), xz, weights, orders, torch.float32) for _ in "ab"
    ]
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_a_nan_reaches_what_follows_it_and_nothing_else():
    xz, weights, _ = problem(1, 100, 16, 1)
    weights = [Weights(*(t.float() for t in weights[0]))]
    xz = xz.float()
    xz[0, 60, 3] = float("nan")
    for order, after in ((plain(100), slice(60, 100)), (plain(100, backwards=True), slice(0, 61))):
        y = mix(xz, weights, [order], backend="numba").isnan()
        assert y[0, after, 3].all()
        rest = torch.ones(100, dtype=torch.bool)
        rest[after] = False
        assert not y[0, rest].any()


def test_other_widths_of_the_convolution_and_float64_run_in_single_steps():
    xz, weights, orders = problem(1, 30, 8, 2)
    assert mix(xz, weights, orders, backend="numba").dtype == torch.float64
    narrow = [w._replace(conv=w.conv[..., :3]) for w in weights]
    wanted = mix_with_torch(xz, narrow, orders, backend="chunked")
    single = [Weights(*(t.float() for t in w)) for w in narrow]
    assert torch.allclose(mix(xz.float(), single, orders, backend="numba").double(), wanted, atol=1e-4)


def test_concurrent_calls_from_python_threads():
    cases = [problem(1, 300 + 10 * i, 32, 3, seed=i) for i in range(4)]

    def run(case):
        return differentiated(lambda *given: mix(*given, backend="numba"), *case, torch.float32)

    alone = [run(case) for case in cases]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(run, cases * 3))
    for i, found in enumerate(together):
        assert all(torch.equal(a, b) for a, b in zip(found, alone[i % 4], strict=True))


@pytest.mark.parametrize(
    ("set_default", "other", "usual"),
    [(torch.set_default_dtype, torch.float64, torch.float32), (torch.set_default_device, "meta", None)],
    ids=["type", "device"],
)
def test_another_default_type_or_device_does_not_matter(set_default, other, usual):
    case = problem(2, 70, 20, 3)
    single = [Weights(*(t.float() for t in w)) for w in case[1]]
    right = mix(case[0].float(), single, case[2], backend="numba")
    mixing._fused.cache_clear()
    set_default(other)
    try:
        with torch.inference_mode():
            assert mixing._fused() is not None  # its self-test, too
        found = mix(case[0].float(), single, case[2], backend="numba")
    finally:
        set_default(usual)
    assert torch.equal(found, right)


def test_a_fused_pass_with_wrong_numbers_is_not_used():
    def wrong(xz, weights, orders):
        return mix_with_torch(xz, weights, orders, backend="chunked") * 1.001

    assert "output differs" in mixing._self_test(wrong)


def test_training_keeps_little_beyond_the_input_and_the_gated_sum():
    """Per direction half a (B, L, di) map of checkpoints; and the directions' sum."""
    xz, weights, orders = problem(1, 4096, 64, 3, rank=4)
    xz = xz.float().requires_grad_()
    kept = []

    def pack(tensor):
        kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        y = mix(xz, [Weights(*(t.float() for t in w)) for w in weights], orders, backend="numba")
    size = sum(t.numel() for t in kept if t.numel() != xz.numel() and t.numel() >= y.numel() // 4)
    assert size == y.numel() + 3 * y.numel() // 2
