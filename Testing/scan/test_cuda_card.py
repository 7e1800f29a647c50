"""The kernels of mamba_ssm and causal_conv1d on a CUDA device, where both are: parity in all types."""

import pytest
import torch
import torch.nn.functional as F

from segmamba.scan import cuda, cuda_conv, dispatch, selective_scan
from segmamba.scan.directions import scan_directions

HALVES = (torch.float16, torch.bfloat16)


def runs_on_a_card(find):
    """A mark that skips, with the reason, where there is no CUDA device or where ``find`` finds nothing."""
    reason = "" if torch.cuda.is_available() else "torch sees no CUDA device"
    try:
        find()
    except ImportError as error:
        reason = reason or str(error)
    return pytest.mark.skipif(bool(reason), reason=f"runs on a CUDA device only, with the kernels: {reason}")


with_mamba_ssm = runs_on_a_card(cuda.extension)
with_causal_conv1d = runs_on_a_card(cuda_conv.function)


@with_mamba_ssm
def test_mamba_ssm_passes_its_self_test():
    usable, reason = dispatch._state("mamba_ssm", "cuda", torch.cuda.current_device())
    assert usable, reason


@with_mamba_ssm
@pytest.mark.parametrize("kind", [torch.float32, *HALVES])
@pytest.mark.parametrize("length", [1, 37, 128, 4096, 4097])
def test_outputs_and_gradients_agree_with_the_definition(scan_inputs, exact, relative_error, length, kind):
    inputs = scan_inputs(batch=2, channels=6, length=length, groups=3)
    inputs = {n: v.to(torch.float32 if n in ("A", "D", "delta_bias") else kind) for n, v in inputs.items()}
    weight = torch.randn(inputs["u"].shape).to(kind)
    right, right_last, right_grads = exact(inputs, weight=weight)
    leaves = {name: value.to("cuda").requires_grad_() for name, value in inputs.items()}
    out, last = selective_scan(**leaves, delta_softplus=True, return_last_state=True, backend="mamba_ssm")
    grads = torch.autograd.grad((out * weight.to("cuda")).sum(), list(leaves.values()))
    limit = 2e-5 if kind == torch.float32 else 1e-2
    assert out.dtype == kind and relative_error(out.cpu(), right) < limit
    assert relative_error(last.cpu(), right_last) < 2e-5
    for name, grad in zip(leaves, grads, strict=True):
        assert relative_error(grad.cpu(), right_grads[name]) < limit, name


@with_mamba_ssm
def test_directions_as_groups_agree_with_separate_calls(scan_inputs, relative_error):
    each = [scan_inputs(channels=32, length=4096, seed=seed, kind=torch.float32) for seed in range(3)]
    lists = [[inputs[name].cuda() for inputs in each] for name in ("u", "delta", "A", "B", "C", "D", "delta_bias")]
    one = scan_directions(*lists, delta_softplus=True, backend="mamba_ssm", grouped=True)
    three = scan_directions(*lists, delta_softplus=True, backend="mamba_ssm", grouped=False)
    for together, alone in zip(one, three, strict=True):
        assert relative_error(together, alone) < 1e-6


@with_causal_conv1d
def test_causal_conv1d_passes_its_self_test():
    usable, reason = cuda_conv.report("cuda")
    assert usable, reason


@with_causal_conv1d
@pytest.mark.parametrize("kind", [torch.float32, *HALVES])
@pytest.mark.parametrize("length", [1, 2, 65, 300])
def test_convolutions_and_gradients_agree_with_torch(relative_error, length, kind):
    x = torch.randn(2, length, 32).to(kind)
    leaves = [t.cuda().requires_grad_() for t in (x, torch.randn(16, 1, 4), torch.randn(16))]
    exact = [t.detach().cpu().double().requires_grad_() for t in leaves]
    weight = torch.randn(2, length, 16)
    right = F.conv1d(exact[0][..., :16].transpose(1, 2), *exact[1:], padding=3, groups=16)[..., :length]
    right = F.silu(right).transpose(1, 2)
    right_grads = torch.autograd.grad((right * weight).sum(), exact)
    y = cuda_conv.causal_conv_silu_cuda(leaves[0][..., :16], *leaves[1:])
    grads = torch.autograd.grad((y * weight.cuda()).sum(), leaves)
    assert y.dtype == torch.float32 and relative_error(y.cpu(), right) < 1e-5
    for got, want, leaf in zip(grads, right_grads, leaves, strict=True):
        limit = 1e-5 if leaf.dtype == torch.float32 else 1e-2
        assert got.dtype == leaf.dtype and relative_error(got.cpu(), want) < limit
