"""The numba backend: parity with the definition in every layout, and the traps of SIMD, threads and caches."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from segmamba.scan import selective_scan

njit = pytest.importorskip("numba").njit


@pytest.fixture(params=[1, 2, 3])
def threads(request):
    """Run with one, two and (more than there may be cores) three threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def _run(inputs, softplus=True, weight=None, last_weight=None):
    leaves = {name: value.detach().requires_grad_() for name, value in inputs.items()}
    out, last = selective_scan(**leaves, delta_softplus=softplus, return_last_state=True, backend="numba")
    loss = (out.float() * (torch.ones_like(out.float()) if weight is None else weight)).sum()
    if last_weight is not None:
        loss = loss + (last * last_weight).sum()
    grads = torch.autograd.grad(loss, list(leaves.values()))
    return out.detach(), last.detach(), dict(zip(leaves, grads, strict=True))


CASES = [
    dict(batch=1, channels=16, length=32, state=16),
    dict(batch=1, channels=1, length=1, state=16),
    dict(batch=3, channels=33, length=67, state=16),
    dict(batch=2, channels=17, length=31, state=8),
    dict(batch=1, channels=40, length=95, state=64),
    dict(batch=1, channels=18, length=40, state=1),
    dict(batch=1, channels=18, length=40, state=5),
    dict(batch=2, channels=96, length=130, state=16, groups=3),
    dict(batch=2, channels=15, length=66, state=6, groups=5),
    dict(batch=1, channels=20, length=9000, state=4),
]


def test_agrees_with_the_published_operator(agrees_with_golden):
    output, gradient = agrees_with_golden("numba", torch.float32)
    assert output < 1e-6 and gradient < 1e-5


@pytest.mark.parametrize("case", CASES, ids=str)
def test_agrees_with_the_definition_in_float64(scan_inputs, exact, relative_error, threads, case):
    inputs = scan_inputs(**case, kind=torch.float32)
    if case["length"] > 1000 and threads != 2:
        pytest.skip("the long case once: the definition is slow")
    weight = torch.randn(inputs["u"].shape)
    last_weight = torch.randn(case["batch"], case["channels"], case["state"])
    right, right_last, right_grads = exact(inputs, weight=weight, last_weight=last_weight)
    out, last, grads = _run(inputs, weight=weight, last_weight=last_weight)
    assert relative_error(out, right) < 1e-6 and relative_error(last, right_last) < 1e-6
    for name, grad in grads.items():
        assert grad.shape == inputs[name].shape
        assert relative_error(grad, right_grads[name]) < 1e-5, name


@pytest.mark.parametrize("without", [("D",), ("z",), ("delta_bias",), ("D", "z", "delta_bias")])
@pytest.mark.parametrize("softplus", [False, True])
def test_optional_arguments(scan_inputs, exact, relative_error, without, softplus):
    inputs = scan_inputs(channels=20, length=45, without=without, kind=torch.float32)
    if not softplus:
        inputs["delta"] = inputs["delta"].abs() * 0.1
        if "delta_bias" in inputs:
            inputs["delta_bias"] = inputs["delta_bias"].abs() * 0.01
    right, right_last, right_grads = exact(inputs, softplus=softplus)
    out, last, grads = _run(inputs, softplus=softplus)
    assert relative_error(out, right) < 1e-6 and relative_error(last, right_last) < 1e-6
    for name, grad in grads.items():
        assert relative_error(grad, right_grads[name]) < 1e-5, name


def test_growing_states_are_right_too(scan_inputs, exact, relative_error):
    """Positive rates or negative steps: exp(delta A) above one."""
    inputs = scan_inputs(channels=16, length=40, kind=torch.float32)
    inputs["delta"] = inputs["delta"] * 0.02
    del inputs["delta_bias"]
    right, _, right_grads = exact(inputs, softplus=False)
    out, _, grads = _run(inputs, softplus=False)
    assert relative_error(out, right) < 2e-6
    for name, grad in grads.items():
        assert relative_error(grad, right_grads[name]) < 2e-5, name


def _layouts(inputs):
    """The same numbers in other places of memory."""
    last = {n: v.transpose(-1, -2).contiguous().transpose(-1, -2) if v.ndim == 3 else v for n, v in inputs.items()}
    both = torch.cat([inputs["u"], inputs["z"]], 1).transpose(1, 2).contiguous()
    channels, state = inputs["A"].shape
    halves = both.transpose(1, 2).chunk(2, 1)
    row = torch.cat([inputs["delta"], inputs["B"], inputs["C"]], 1).transpose(1, 2).contiguous().transpose(1, 2)
    delta, B, C = row.split([channels, state, state], 1)
    chunks = {**inputs, "u": halves[0], "z": halves[1], "delta": delta, "B": B, "C": C}
    wide = {n: torch.stack([v, v], -1).reshape(*v.shape[:-1], -1)[..., ::2] for n, v in inputs.items()}
    expanded = {**inputs, "D": inputs["D"][:1].expand(channels)}
    return {"channels last": last, "chunks of one tensor": chunks, "every other": wide, "expanded": expanded}


def test_strides_do_not_matter(scan_inputs):
    inputs = scan_inputs(batch=2, channels=24, length=50, kind=torch.float32)
    inputs["D"] = inputs["D"][:1].repeat(24)
    weight = torch.randn(2, 24, 50)
    out, last, grads = _run(inputs, weight=weight)
    for name, other in _layouts(inputs).items():
        other_out, other_last, other_grads = _run(other, weight=weight)
        assert torch.equal(out, other_out) and torch.equal(last, other_last), name
        for key, grad in grads.items():
            assert torch.equal(grad, other_grads[key]), (name, key)


def test_a_channels_last_view_is_not_copied(scan_inputs):
    from segmamba.scan.cpu import scan as cpu

    tensor = torch.randn(2, 50, 96)
    assert cpu._channels_last(tensor.transpose(1, 2)).data_ptr() == tensor.data_ptr()
    half = tensor.transpose(1, 2).chunk(2, 1)[1]
    assert cpu._channels_last(half).data_ptr() == half.data_ptr()


def test_same_bits_from_run_to_run(scan_inputs, threads):
    inputs = scan_inputs(batch=2, channels=40, length=300, kind=torch.float32)
    first = _run(inputs)
    for _ in range(3):
        again = _run(inputs)
        assert torch.equal(first[0], again[0]) and torch.equal(first[1], again[1])
        assert all(torch.equal(first[2][name], again[2][name]) for name in inputs)


def test_inference_gives_the_same_bits_as_training(scan_inputs):
    inputs = scan_inputs(channels=40, length=100, kind=torch.float32)
    with torch.inference_mode():
        out, last = selective_scan(**inputs, delta_softplus=True, return_last_state=True, backend="numba")
    trained, trained_last, _ = _run(inputs)
    assert torch.equal(out, trained) and torch.equal(last, trained_last)


def test_only_the_gradients_asked_for_are_returned(scan_inputs):
    inputs = scan_inputs(channels=8, length=20, kind=torch.float32)
    inputs["A"].requires_grad_()
    selective_scan(**inputs, delta_softplus=True, backend="numba").sum().backward()
    assert inputs["A"].grad is not None and inputs["u"].grad is None


def test_nan_in_delta_stays_nan(scan_inputs):
    inputs = scan_inputs(channels=20, length=70, kind=torch.float32)
    inputs["delta"][0, 5, 40] = float("nan")
    out, last, grads = _run(inputs)
    assert out[0, 5, 40:].isnan().all() and last[0, 5].isnan().all()
    others = [c for c in range(20) if c != 5]
    assert not out[0, 5, :40].isnan().any() and not out[0, others].isnan().any()
    assert grads["delta"][0, 5, :41].isnan().any() and not grads["delta"][0, others].isnan().any()


def test_infinite_input_is_not_hidden(scan_inputs):
    inputs = scan_inputs(channels=16, length=40, kind=torch.float32)
    inputs["u"][0, 3, 10] = float("inf")
    out = selective_scan(**inputs, delta_softplus=True, backend="numba")
    assert not out[0, 3, 10].isfinite() and out[0, [0, 1, 2, 4]].isfinite().all()


def test_extreme_steps(scan_inputs, exact, relative_error):
    inputs = scan_inputs(channels=16, length=40, kind=torch.float32)
    inputs["delta"] = torch.linspace(-90.0, 90.0, 40).expand(1, 16, 40).contiguous()
    right, _, right_grads = exact(inputs)
    out, _, grads = _run(inputs)
    assert relative_error(out, right) < 1e-6
    for name, grad in grads.items():
        assert grad.isfinite().all(), name
        assert relative_error(grad, right_grads[name]) < 1e-5, name


def test_states_that_fade_out_become_zero_and_never_denormal(scan_inputs):
    """Arithmetic on denormal numbers is many times slower: forward and backward flush them away."""
    inputs = scan_inputs(channels=32, length=4096, kind=torch.float32)
    inputs = {name: value for name, value in inputs.items() if name not in ("D", "z")}
    inputs["u"] = inputs["u"].clone()
    inputs["u"][..., 500:] = 0.0
    weight = torch.randn(1, 32, 4096)
    weight[..., :-500] = 0.0
    _, last, grads = _run(inputs, weight=weight)
    # The states decay to nothing after the 500 tokens, their gradients before the last 500.
    for faded in (last, grads["u"][..., :500], grads["B"][..., :500]):
        sizes = faded.abs()
        assert not bool(((sizes > 0) & (sizes < torch.finfo(torch.float32).tiny)).any())
        assert float(sizes.min()) == 0


def test_bf16_is_computed_in_float32(scan_inputs, exact, relative_error):
    inputs = {name: value.to(torch.bfloat16) for name, value in scan_inputs(channels=24, length=70).items()}
    right, right_last, right_grads = exact(inputs)
    out, last, grads = _run(inputs)
    assert out.dtype == torch.bfloat16 and last.dtype == torch.float32
    assert relative_error(last, right_last) < 1e-6 and relative_error(out, right) < 4e-3
    for name, grad in grads.items():
        assert grad.dtype == torch.bfloat16 and relative_error(grad, right_grads[name]) < 8e-3, name


def test_offsets_beyond_32_bits():
    """A view whose last batch lies more than 2**31 elements after its first, in one shared untouched allocation."""
    length, channels = 40, 16
    gap = 2**31 + 1024
    try:
        memory = torch.empty(gap + length * channels, dtype=torch.float32)
    except RuntimeError:
        pytest.skip("not enough address space")
    u = memory.as_strided((2, channels, length), (gap, 1, channels))
    u.copy_(torch.randn(2, channels, length))
    inputs = dict(
        delta=torch.rand(2, channels, length),
        A=-torch.rand(channels, 16),
        B=torch.randn(2, 16, length),
        C=torch.randn(2, 16, length),
    )
    out = selective_scan(u, **inputs, backend="numba")
    assert torch.equal(out, selective_scan(u.contiguous(), **inputs, backend="numba"))


def test_concurrent_calls_from_python_threads(scan_inputs, threads):
    cases = [scan_inputs(channels=48, length=200 + 10 * i, seed=i, kind=torch.float32) for i in range(4)]
    alone = [_run(case) for case in cases]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(_run, cases * 5))
    for i, (out, last, grads) in enumerate(together):
        right = alone[i % 4]
        assert torch.equal(out, right[0]) and torch.equal(last, right[1])
        assert all(torch.equal(grads[name], right[2][name]) for name in grads)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_works_in_a_forked_data_loader_worker(scan_inputs):
    inputs = scan_inputs(channels=48, length=100, kind=torch.float32)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        right = selective_scan(**inputs, delta_softplus=True, backend="numba")

        class Scans(torch.utils.data.Dataset):
            def __len__(self):
                return 4

            def __getitem__(self, index):
                torch.set_num_threads(2)  # a loader sets one: the pool of the parent must not be used
                return selective_scan(**inputs, delta_softplus=True, backend="numba")

        loader = torch.utils.data.DataLoader(
            Scans(), batch_size=None, num_workers=2, multiprocessing_context="fork", timeout=60
        )
        results = list(loader)
    finally:
        torch.set_num_threads(before)
    assert len(results) == 4 and all(torch.equal(right, result) for result in results)


def test_the_portable_exponential_is_as_good(relative_error):
    """What a processor without AVX-512 runs, and the extremes of both forms."""
    from segmamba.native import simd

    exp2, portable, load, store = simd.exp2_product, simd.exp2_product_portable, simd.load, simd.store

    @njit
    def both(a, b, one, two):
        for i in range(0, len(a), 16):
            store(one, i, exp2(load(a, i), load(b, i)))
            store(two, i, portable(load(a, i), load(b, i)))

    x = np.linspace(-120.0, 120.0, 1 << 14, dtype=np.float32)
    factor = np.full_like(x, 1.0 / 3.0)
    one, two = np.empty_like(x), np.empty_like(x)
    both(x, factor, one, two)
    right = np.exp2(x.astype(np.float64) * factor.astype(np.float64))
    assert np.abs(one / right - 1).max() < 2e-7 and np.abs(two / right - 1).max() < 2e-7
    assert one[x == 0].tolist() == [1.0] * int((x == 0).sum())

    edges = np.array([0.0, -0.0, np.nan, -200.0, -1e5, 200.0, -126.0, 127.0] * 2, dtype=np.float32)
    both(edges, np.ones_like(edges), one[:16], two[:16])
    for result in (one[:8], two[:8]):
        assert result[0] == 1.0 and result[1] == 1.0 and np.isnan(result[2])
        assert 0.0 <= result[3] < 1e-37 and 0.0 <= result[4] < 1e-37 and result[5] > 1e38


@pytest.mark.parametrize(
    ("set_default", "other", "usual"),
    [(torch.set_default_dtype, torch.float64, torch.float32), (torch.set_default_device, "meta", None)],
    ids=["type", "device"],
)
def test_another_default_type_or_device_does_not_matter(scan_inputs, set_default, other, usual):
    inputs = scan_inputs(channels=20, length=40, kind=torch.float32)
    right = _run(inputs)
    set_default(other)
    try:
        out, last, grads = _run(inputs)
    finally:
        set_default(usual)
    assert torch.equal(out, right[0]) and torch.equal(last, right[1])
    assert all(torch.equal(grads[name], right[2][name]) for name in inputs)


def test_passes_the_self_test_on_the_plainest_processor():
    """Compiled for the processor family's common denominator (on x86: SSE2), as on a machine without AVX."""
    program = (
        "import torch; from segmamba.scan import cpu, dispatch\n"
        "assert dispatch._self_test(cpu.selective_scan_cpu, torch.device('cpu')) == ''\n"
        "from numba.core.registry import cpu_target\n"
        "assert 'avx' not in cpu_target.target_context.codegen().magic_tuple()[2]\n"
    )
    environment = {**os.environ, "NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
