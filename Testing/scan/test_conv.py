"""The causal convolution with SiLU: numba against torch in float64, tails, strides, threads."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

import segmamba
from segmamba.scan.conv import _kernels, causal_conv_silu


def definition(x, weight, bias):
    k = weight.shape[-1]
    y = F.conv1d(x.transpose(1, 2), weight, bias, padding=k - 1, groups=x.shape[2])[..., : x.shape[1]]
    return F.silu(y).transpose(1, 2)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("shape", [(1, 1, 16), (2, 3, 5), (1, 65, 40), (3, 200, 33)])
def test_output_and_gradients_agree_with_float64(shape, threads):
    assert _kernels() is not None, "numba works on the development machine"
    generator = torch.Generator().manual_seed(1)
    batch, length, channels = shape
    x = torch.randn(batch, length, 2 * channels, generator=generator)[..., :channels]  # as a half of in_proj's output
    weight, bias = torch.randn(channels, 1, 4, generator=generator), torch.randn(channels, generator=generator)
    dout = torch.randn(shape, generator=generator)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        mine = [t.clone(memory_format=torch.preserve_format).requires_grad_() for t in (x, weight, bias)]
        y = causal_conv_silu(*mine)
        grads = torch.autograd.grad(y, mine, dout)
    finally:
        torch.set_num_threads(before)
    exact = [t.double().requires_grad_() for t in (x, weight, bias)]
    expected = definition(*exact)
    wanted = torch.autograd.grad(expected, exact, dout.double())
    assert y.dtype == torch.float32
    for got, want in zip((y, *grads), (expected, *wanted), strict=True):
        assert float((got.double() - want).abs().max()) < 2e-6 * max(1.0, float(want.abs().max()))


def test_inside_autocast_the_result_is_float32_and_the_gradient_has_the_inputs_type():
    x = torch.randn(1, 9, 16, dtype=torch.bfloat16, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = causal_conv_silu(x, torch.randn(16, 1, 4), torch.randn(16))
    y.sum().backward()
    assert y.dtype == torch.float32
    assert x.grad.dtype == torch.bfloat16


def test_another_width_of_the_convolution_runs_in_torch():
    x, weight, bias = torch.randn(1, 9, 6), torch.randn(6, 1, 3), torch.randn(6)
    assert torch.allclose(causal_conv_silu(x, weight, bias), definition(x, weight, bias), atol=1e-6)


def test_a_nan_stays_where_it_reaches():
    x = torch.zeros(1, 8, 16)
    x[0, 2, 3] = float("nan")
    y = causal_conv_silu(x, torch.ones(16, 1, 4), torch.zeros(16))
    assert torch.equal(y.isnan()[0, :, 3], torch.tensor([0, 0, 1, 1, 1, 1, 0, 0], dtype=torch.bool))


def test_kernels_that_are_first_asked_for_in_inference_work():
    _kernels.cache_clear()
    with torch.inference_mode():
        assert _kernels() is not None


@pytest.mark.parametrize(
    ("set_default", "other", "usual"),
    [(torch.set_default_dtype, torch.float64, torch.float32), (torch.set_default_device, "meta", None)],
    ids=["type", "device"],
)
def test_another_default_type_or_device_does_not_matter(set_default, other, usual):
    x, weight, bias = torch.randn(2, 70, 20), torch.randn(20, 1, 4), torch.randn(20)
    dout = torch.randn(x.shape)

    def results():
        mine = [t.clone().requires_grad_() for t in (x, weight, bias)]
        y = causal_conv_silu(*mine)
        return [y, *torch.autograd.grad(y, mine, dout)]

    right = results()
    _kernels.cache_clear()
    set_default(other)
    try:
        assert _kernels() is not None  # the comparison with torch, too
        found = results()
    finally:
        set_default(usual)
    assert all(torch.equal(a, b) for a, b in zip(found, right, strict=True))


def test_the_compiled_convolution_is_compiled_on_first_use_and_says_where_it_cannot_be_kept(tmp_path):
    """A copy of the package that may not be written, with no folder of the user's either."""
    copy = tmp_path / "site" / "segmamba"
    shutil.copytree(Path(segmamba.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "scan" / "__pycache__").write_text("")  # a file where the folder would be
    (tmp_path / "home").write_text("")
    program = (
        "import logging; logging.basicConfig(level=logging.INFO)\n"
        "from segmamba.scan import conv, conv_entry\n"
        "logging.info('imported')\n"
        "assert conv._kernels() is not None\n"
    )
    homes = {"HOME": str(tmp_path / "home"), "XDG_CACHE_HOME": str(tmp_path / "home" / "cache")}
    environment = {**os.environ, **homes, "PYTHONPATH": str(tmp_path / "site")}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    before, _, after = done.stderr.partition("imported")
    assert "cannot keep" not in before and "cannot keep the compiled convolution" in after, done.stderr
