"""The causal convolution with SiLU in torch."""

import pytest
import torch
import torch.nn.functional as F

from segmamba.scan.conv import causal_conv_silu


def definition(x, weight, bias):
    """Tap by tap: y_t = SiLU(bias + sum over k of w_k x_(t - K + 1 + k))."""
    width = weight.shape[-1]
    padded = F.pad(x, (0, 0, width - 1, 0))
    taps = [padded[:, k : k + x.shape[1]] * weight[:, 0, k] for k in range(width)]
    return F.silu(sum(taps) + bias)


@pytest.mark.parametrize("width", [3, 4])
@pytest.mark.parametrize("shape", [(1, 1, 16), (2, 3, 5), (3, 200, 33)])
def test_the_convolution_looks_back_only(shape, width):
    x = torch.randn(shape, dtype=torch.float64)
    weight, bias = torch.randn(shape[2], 1, width).double(), torch.randn(shape[2]).double()
    assert torch.allclose(causal_conv_silu(x, weight, bias), definition(x, weight, bias), atol=1e-12)


def test_inside_autocast_the_result_is_float32_and_the_gradient_has_the_inputs_type():
    x = torch.randn(1, 9, 16, dtype=torch.bfloat16, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = causal_conv_silu(x, torch.randn(16, 1, 4), torch.randn(16))
    y.sum().backward()
    assert y.dtype == torch.float32
    assert x.grad.dtype == torch.bfloat16
