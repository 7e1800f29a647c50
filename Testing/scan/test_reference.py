"""The definition: against the published operator's numbers, by hand, and by numerical differentiation."""

import math

import torch

from segmamba.scan import selective_scan
from segmamba.scan.reference import selective_scan_reference


def test_agrees_with_the_published_operator_in_float64(agrees_with_golden):
    output, gradient = agrees_with_golden("reference", torch.float64)
    assert output < 1e-12 and gradient < 1e-11


def test_agrees_with_the_published_operator_in_float32(agrees_with_golden):
    output, gradient = agrees_with_golden("reference", torch.float32)
    assert output < 2e-6 and gradient < 1e-5


def test_two_tokens_by_hand():
    one = torch.ones(1, 1, 2, dtype=torch.float64)
    u = torch.tensor([[[2.0, 3.0]]], dtype=torch.float64)
    rate = torch.tensor([[-1.0]], dtype=torch.float64)
    B = torch.full((1, 1, 1, 2), 5.0, dtype=torch.float64)
    out, last = selective_scan_reference(u, one * 0.5, rate, B, B * 0 + 1)
    h1 = 0.5 * 5 * 2
    h2 = math.exp(-0.5) * h1 + 0.5 * 5 * 3
    assert torch.allclose(out, torch.tensor([[[h1, h2]]], dtype=torch.float64))
    assert math.isclose(last.item(), h2)


def test_gradients_agree_with_finite_differences(scan_inputs):
    inputs = scan_inputs(batch=2, channels=4, length=5, state=3, groups=2)
    names = list(inputs)

    def scan(*values):
        return selective_scan_reference(**dict(zip(names, values, strict=True)), delta_softplus=True)

    assert torch.autograd.gradcheck(scan, [value.requires_grad_() for value in inputs.values()])


def test_backward_is_linear_in_the_length(scan_inputs):
    """The gradient of a slice would be a whole tensor: count the largest total of bytes that backward allocates."""
    totals = []
    for length in (32, 128):
        inputs = {k: v.requires_grad_() for k, v in scan_inputs(channels=4, length=length, state=4).items()}
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
            selective_scan(**inputs, delta_softplus=True, backend="reference").sum().backward()
        totals.append(sum(max(0, event.self_cpu_memory_usage) for event in profile.key_averages()))
    assert totals[1] < 5 * totals[0]
