"""The plain-torch fall-back against the definition."""

import pytest
import torch

from segmamba.scan import selective_scan
from segmamba.scan.chunked import selective_scan_chunked

CASES = [
    dict(batch=1, channels=5, length=1, state=16),
    dict(batch=2, channels=7, length=31, state=8),
    dict(batch=1, channels=16, length=200, state=64),
    dict(batch=2, channels=12, length=65, state=16, groups=3),
    dict(batch=1, channels=6, length=130, state=5, without=("D", "z", "delta_bias")),
]


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_agrees_with_the_published_operator(agrees_with_golden, kind):
    output, gradient = agrees_with_golden("chunked", kind)
    limit = 1e-12 if kind == torch.float64 else 2e-6
    assert output < limit and gradient < 10 * limit


@pytest.mark.parametrize("case", CASES)
def test_agrees_with_the_definition_in_float64(scan_inputs, exact, relative_error, case):
    inputs = scan_inputs(**case)
    weight = torch.randn(inputs["u"].shape, dtype=torch.float64)
    last_weight = torch.randn(case["batch"], case["channels"], case["state"], dtype=torch.float64)
    right, right_last, right_grads = exact(inputs, weight=weight, last_weight=last_weight)
    leaves = {name: value.requires_grad_() for name, value in inputs.items()}
    out, last = selective_scan(**leaves, delta_softplus=True, return_last_state=True, backend="chunked")
    grads = torch.autograd.grad((out * weight).sum() + (last * last_weight).sum(), list(leaves.values()))
    assert relative_error(out, right) < 1e-13 and relative_error(last, right_last) < 1e-13
    for name, grad in zip(leaves, grads, strict=True):
        assert relative_error(grad, right_grads[name]) < 1e-12, name


def test_memory_does_not_grow_with_the_states_of_every_token(scan_inputs):
    """No single tensor as large as (batch, channels, length, state), and the peak stays well below it."""
    inputs = scan_inputs(channels=16, length=2048, state=64, kind=torch.float32)
    forbidden = 16 * 2048 * 64 * 4
    leaves = {name: value.requires_grad_() for name, value in inputs.items()}
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True, record_shapes=True
    ) as profile:
        out, _ = selective_scan_chunked(
            *(v.unsqueeze(1) if n in "BC" else v for n, v in leaves.items()), delta_softplus=True
        )
        out.sum().backward()
    held, peak = 0, 0
    for event in profile.profiler.kineto_results.events():
        if event.name() == "[memory]":
            held += event.nbytes()
            peak = max(peak, held)
    assert 0 < peak < forbidden


def test_nan_in_delta_stays_nan(scan_inputs):
    inputs = scan_inputs(channels=4, length=50)
    inputs["delta"][0, 1, 20] = float("nan")
    out = selective_scan(**inputs, delta_softplus=True, backend="chunked")
    assert out[0, 1, 20:].isnan().all() and not out[0, 1, :20].isnan().any() and not out[0, [0, 2, 3]].isnan().any()


def test_bf16_is_computed_in_float32(scan_inputs, exact, relative_error):
    inputs = {name: value.to(torch.bfloat16) for name, value in scan_inputs(length=70).items()}
    right, right_last, _ = exact(inputs)
    out, last = selective_scan(**inputs, delta_softplus=True, return_last_state=True, backend="chunked")
    assert out.dtype == torch.bfloat16 and last.dtype == torch.float32
    assert relative_error(last, right_last) < 1e-6
    assert relative_error(out, right) < 4e-3
