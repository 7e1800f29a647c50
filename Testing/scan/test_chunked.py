"""The plain-torch fall-back against the definition."""

import pytest
import torch

from segmamba.scan import chunked_blocks, selective_scan
from segmamba.scan.chunked import selective_scan_chunked
from segmamba.scan.chunked_blocks import Recurrence, flush

CASES = [
    dict(batch=1, channels=5, length=1, state=16),
    dict(batch=2, channels=7, length=31, state=8),
    dict(batch=1, channels=16, length=200, state=64),
    dict(batch=2, channels=12, length=65, state=16, groups=3),
    dict(batch=1, channels=6, length=130, state=5, without=("D", "z", "delta_bias")),
    # Several blocks of the sequence, of the channels, of the batch; the last ones smaller.
    dict(batch=1, channels=96, length=203, state=16),
    dict(batch=2, channels=300, length=70, state=16),
    dict(batch=3, channels=80, length=40, state=16, groups=2),
]


def _gradients(inputs, weight, last_weight):
    leaves = {name: value.detach().requires_grad_() for name, value in inputs.items()}
    out, last = selective_scan(**leaves, delta_softplus=True, return_last_state=True, backend="chunked")
    grads = torch.autograd.grad((out * weight).sum() + (last * last_weight).sum(), list(leaves.values()))
    return out.detach(), last.detach(), dict(zip(leaves, grads, strict=True))


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_agrees_with_the_published_operator(agrees_with_golden, kind):
    output, gradient = agrees_with_golden("chunked", kind)
    limit = 1e-12 if kind == torch.float64 else 2e-6
    assert output < limit and gradient < 10 * limit


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
@pytest.mark.parametrize("sizes_of", ["processor", "other device"])
def test_agrees_with_the_definition_in_float64(scan_inputs, exact, relative_error, monkeypatch, case, kind, sizes_of):
    if sizes_of == "other device":
        monkeypatch.setattr(chunked_blocks, "_BYTES_CPU", chunked_blocks._BYTES_OTHER)
        monkeypatch.setattr(chunked_blocks, "_WORTH_CPU", chunked_blocks._WORTH_OTHER)
    inputs = scan_inputs(**case, kind=kind)
    weight = torch.randn(inputs["u"].shape, dtype=kind)
    last_weight = torch.randn(case["batch"], case["channels"], case["state"], dtype=kind)
    right, right_last, right_grads = exact(inputs, weight=weight, last_weight=last_weight)
    out, last, grads = _gradients(inputs, weight, last_weight)
    limit = 1e-13 if kind == torch.float64 else 1e-6
    assert relative_error(out, right) < limit and relative_error(last, right_last) < limit
    for name, grad in grads.items():
        assert relative_error(grad, right_grads[name]) < 10 * limit, name


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("in_place", [False, True])
def test_recurrence_of_any_length_in_either_direction(in_place, reverse):
    for tokens in (*range(1, 30), 97):
        values, decays = torch.randn(2, tokens, 3, dtype=torch.float64).unbind()
        start = torch.randn(3, dtype=torch.float64)
        right, state = [], start
        for t in reversed(range(tokens)) if reverse else range(tokens):
            state = values[t] + decays[t] * state
            right.append(state)
        right = torch.stack(right[::-1] if reverse else right)
        kept = decays.clone()
        Recurrence(values, decays, decays if in_place else torch.full_like(decays, torch.nan), reverse).run(start)
        assert torch.allclose(values, right, rtol=1e-12, atol=1e-12), tokens
        assert in_place or torch.equal(decays, kept)


def test_layout_in_memory_does_not_matter(scan_inputs, relative_error):
    inputs = scan_inputs(batch=2, channels=33, length=120, kind=torch.float32)
    turned = {
        name: value.transpose(-1, -2).contiguous().transpose(-1, -2) if value.ndim > 1 else value
        for name, value in inputs.items()
    }
    spread = {name: torch.stack([value, -value], -1).flatten(-2)[..., ::2] for name, value in inputs.items()}
    weight, last_weight = torch.randn(2, 33, 120), torch.randn(2, 33, 16)
    out, last, grads = _gradients(inputs, weight, last_weight)
    for other in (turned, spread):
        assert not all(value.is_contiguous() for value in other.values())
        again, last_again, grads_again = _gradients(other, weight, last_weight)
        assert relative_error(again, out) < 1e-6 and relative_error(last_again, last) < 1e-6
        for name, grad in grads.items():
            assert relative_error(grads_again[name], grad) < 1e-6, name


def test_same_numbers_every_time(scan_inputs):
    inputs = scan_inputs(batch=2, channels=96, length=200, kind=torch.float32)
    weight, last_weight = torch.randn(2, 96, 200), torch.randn(2, 96, 16)
    out, last, grads = _gradients(inputs, weight, last_weight)
    again, last_again, grads_again = _gradients(inputs, weight, last_weight)
    assert torch.equal(out, again) and torch.equal(last, last_again)
    assert all(torch.equal(grad, grads_again[name]) for name, grad in grads.items())


def test_same_numbers_without_gradients(scan_inputs):
    inputs = scan_inputs(channels=96, length=200, kind=torch.float32)
    out, last, _ = _gradients(inputs, torch.ones(()), torch.ones(()))
    with torch.inference_mode():
        again, last_again = selective_scan(**inputs, delta_softplus=True, return_last_state=True, backend="chunked")
    assert torch.equal(out, again) and torch.equal(last, last_again)


def test_number_of_threads_may_change_before_the_backward(scan_inputs, exact, relative_error):
    inputs = scan_inputs(channels=96, length=500)
    _, _, right = exact(inputs)
    leaves = {name: value.requires_grad_() for name, value in inputs.items()}
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        out = selective_scan(**leaves, delta_softplus=True, backend="chunked")
        torch.set_num_threads(2)
        grads = torch.autograd.grad(out.sum(), list(leaves.values()))
    finally:
        torch.set_num_threads(threads)
    for name, grad in zip(leaves, grads, strict=True):
        assert relative_error(grad, right[name]) < 1e-12, name


def test_gradient_of_the_last_state_alone(scan_inputs, exact, relative_error):
    inputs = scan_inputs(channels=20, length=100)
    last_weight = torch.randn(1, 20, 16, dtype=torch.float64)
    _, _, right = exact(inputs, weight=torch.zeros(()), last_weight=last_weight)
    leaves = {name: inputs[name].requires_grad_() for name in ("u", "delta", "A", "B", "delta_bias")}
    _, last = selective_scan(**{**inputs, **leaves}, delta_softplus=True, return_last_state=True, backend="chunked")
    grads = torch.autograd.grad((last * last_weight).sum(), list(leaves.values()))
    for name, grad in zip(leaves, grads, strict=True):
        assert relative_error(grad, right[name]) < 1e-12, name


@pytest.mark.parametrize("token", [0, 20, 79, 80, 199])
def test_nan_in_delta_stays_nan(scan_inputs, token):
    inputs = scan_inputs(channels=96, length=200, kind=torch.float32)
    inputs["delta"][0, 1, token] = float("nan")
    leaves = {name: value.requires_grad_() for name, value in inputs.items()}
    out = selective_scan(**leaves, delta_softplus=True, backend="chunked")
    assert out[0, 1, token:].isnan().all() and not out[0, 1, :token].isnan().any()
    assert not out[0, [0, *range(2, 96)]].isnan().any()
    (grad,) = torch.autograd.grad(out[..., -1].sum(), leaves["u"])
    assert grad[0, 1].isnan().any() and not grad[0, [0, *range(2, 96)]].isnan().any()


def test_a_faded_state_becomes_zero(scan_inputs):
    """Over zeros, states and adjoints fade to nothing instead of to denormal numbers, which are slow."""
    inputs = scan_inputs(channels=96, length=4000, kind=torch.float32)
    inputs["u"][..., 100:] = 0
    leaves = {name: value.requires_grad_() for name, value in inputs.items()}
    out, last = selective_scan(**leaves, delta_softplus=True, return_last_state=True, backend="chunked")
    assert (last == 0).sum() > last.numel() // 2
    grads = torch.autograd.grad(out[..., -1].sum(), leaves["u"])[0]
    assert (grads[..., 0] == 0).sum() > 96 // 4 and (grads[..., -1] != 0).all()
    for tensor in (out, last, grads):
        assert not ((tensor != 0) & (tensor.abs() < 1e-36)).any()


def test_flushing_takes_what_is_tiny_only():
    state = torch.tensor([1.0, -3e-10, 1e-20, 1e-28, -1e-38, 0.0, float("nan"), float("inf")])
    flushed = state.clone()
    flush(flushed)
    assert torch.equal(flushed[[0, 1, 5, 7]], state[[0, 1, 5, 7]])
    assert torch.allclose(flushed[2], state[2], rtol=1e-6, atol=0.0)
    assert (flushed[3:5] == 0).all() and flushed[6].isnan()


def test_bf16_is_computed_in_float32(scan_inputs, exact, relative_error):
    inputs = {name: value.to(torch.bfloat16) for name, value in scan_inputs(length=170).items()}
    right, right_last, right_grads = exact(inputs)
    out, last, grads = _gradients(inputs, torch.ones(()), torch.zeros(()))
    assert out.dtype == torch.bfloat16 and last.dtype == torch.float32
    assert relative_error(last, right_last) < 1e-6
    assert relative_error(out, right) < 4e-3
    for name, grad in grads.items():
        assert grad.dtype == torch.bfloat16 and relative_error(grad, right_grads[name]) < 4e-3, name


def test_inputs_may_have_different_types(scan_inputs, exact, relative_error):
    inputs = scan_inputs(length=100, kind=torch.float32)
    inputs |= {name: inputs[name].to(torch.bfloat16) for name in ("u", "z", "B")}
    right, _, _ = exact(inputs)
    grouped = {name: value.unsqueeze(1) if name in "BC" else value for name, value in inputs.items()}
    out, last = selective_scan_chunked(**grouped, delta_softplus=True)
    assert out.dtype == torch.bfloat16 and last.dtype == torch.float32
    assert relative_error(out, right) < 4e-3


def test_second_derivatives_are_refused(scan_inputs):
    leaves = {name: value.requires_grad_() for name, value in scan_inputs(length=10).items()}
    out = selective_scan(**leaves, delta_softplus=True, backend="chunked")
    (grad,) = torch.autograd.grad((out * out).sum(), leaves["u"], create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        grad.sum().backward()
