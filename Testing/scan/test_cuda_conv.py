"""The adapter to causal_conv1d: what is handed to it and taken from it, when it is used, and finding it."""

import json
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F

from segmamba.scan import cuda_conv


def demand(truth, what):
    if not truth:
        raise RuntimeError(what)


def check_rows(name, tensor):
    """(batch, channels, length) as the channels-last kernels demand it: rows of whole vectors."""
    demand(tensor.stride(1) == 1 and tensor.stride(2) > 1, f"{name} is not channels last")
    demand(tensor.stride(2) % 8 == 0 and tensor.stride(0) % 8 == 0, f"{name}: strides must be multiples of 8")
    demand(tensor.stride(2) >= tensor.shape[1] and tensor.stride(0) > 0, f"{name} overlaps itself")
    demand(tensor.data_ptr() % 16 == 0, f"{name}: misaligned address")


class _StandIn(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, bias):
        demand(x.dtype in (torch.float32, torch.float16, torch.bfloat16), "input_type")
        demand(weight.dim() == 2 and 2 <= weight.shape[1] <= 4, "only supports width between 2 and 4")
        demand(bias.dtype == weight.dtype and bias.stride(-1) == 1 and bias.shape == weight.shape[:1], "bias")
        demand(x.shape[1] == weight.shape[0] and x.shape[1] % 8 == 0, "channel dimension divisible by 8")
        check_rows("x", x)
        ctx.save_for_backward(x, weight, bias)
        return torch.empty_like(x).copy_(definition(x, weight, bias))

    @staticmethod
    def backward(ctx, dout):
        check_rows("dout", dout)
        x, weight, bias = ctx.saved_tensors
        with torch.enable_grad():
            leaves = [t.detach().double().requires_grad_() for t in (x, weight, bias)]
            grads = torch.autograd.grad(definition(*leaves), leaves, dout.double())
        return tuple(grad.to(t.dtype) for grad, t in zip(grads, (x, weight, bias), strict=True))


def definition(x, weight, bias):
    """(batch, channels, length), weight (channels, width)."""
    x, weight, bias = x.double(), weight.double(), bias.double()
    padded = F.conv1d(x, weight[:, None], bias, padding=weight.shape[1] - 1, groups=x.shape[1])
    return F.silu(padded[..., : x.shape[2]])


def stand_in(x, weight, bias=None, activation=None):
    """Stands for the interface of ``causal_conv1d_fn``, not for its numbers.

    It asks of its arguments what the package's channels-last kernels ask (1.0 to 1.6, the strictest of them), in the
    backward likewise, and computes with torch. It runs on the processor.
    """
    demand(activation == "silu", "activation must be None, silu, or swish")
    return _StandIn.apply(x, weight, bias)


def misaligned(x):
    return torch.empty(x.numel() + 1)[1:].view(x.shape).copy_(x)


LAYOUTS = {
    "dense": lambda x: x,
    "half of a projection": lambda x: torch.cat([x, x.neg()], -1)[..., : x.shape[2]],
    "odd rows": lambda x: torch.cat([x, x[..., :3]], -1)[..., : x.shape[2]],
    "channels first": lambda x: x.transpose(1, 2).contiguous().transpose(1, 2),
    "misaligned": misaligned,
    "expanded": lambda x: x[:, :1].expand(x.shape),
    "reversed": lambda x: x.flip(1),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(2, 9, 16), (1, 1, 8), (1, 70, 24)])
def test_any_layout_reaches_it_as_it_demands_and_so_does_the_gradient(relative_error, layout, shape):
    """Through the stand-in, which stands for the package's interface, not its numbers."""
    x = LAYOUTS[layout](torch.randn(shape))
    weight, bias = torch.randn(shape[2], 1, 4), torch.randn(2 * shape[2])[::2]
    for dout in (torch.ones(()).expand(shape), *(change(torch.randn(shape)) for change in LAYOUTS.values())):
        leaves = [t.detach().requires_grad_() for t in (x, weight, bias)]
        y = cuda_conv.run(stand_in, *leaves)
        exact = [t.detach().double().requires_grad_() for t in leaves]
        right = definition(exact[0].transpose(1, 2), exact[1][:, 0], exact[2]).transpose(1, 2)
        assert y.shape == shape and y.dtype == torch.float32 and relative_error(y, right) < 1e-6
        grads = torch.autograd.grad(y, leaves, dout)
        for got, want in zip(grads, torch.autograd.grad(right, exact, dout.double()), strict=True):
            assert got.shape == want.shape and relative_error(got, want) < 1e-6


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_the_result_is_float32_and_gradients_have_the_inputs_types(kind):
    leaves = [torch.randn(s).to(kind).requires_grad_() for s in ((2, 9, 16), (16, 1, 4), (16,))]
    y = cuda_conv.run(stand_in, *leaves)
    y.sum().backward()
    assert y.dtype == torch.float32 and all(leaf.grad.dtype == kind for leaf in leaves)


def test_nothing_is_copied_that_fits():
    x = torch.randn(2, 9, 32)[..., :16]
    assert cuda_conv._rows(x) is x


def test_the_self_test_passes_and_sees_wrong_numbers():
    cpu = torch.device("cpu")
    assert cuda_conv.self_test(stand_in, cpu) == ""
    wrong = cuda_conv.self_test(lambda *args, **rest: stand_in(*args, **rest) * 1.001, cpu)
    assert wrong.startswith("self-test failed: output differs from torch by 1.0e-03")
    # As on cards that the package was not built for: nothing is written, and nothing raised.
    assert "output differs" in cuda_conv.self_test(lambda *args, **rest: stand_in(*args, **rest) * 0, cpu)

    def wrong_gradient(x, weight, bias, activation):
        return stand_in(x, weight + 0.01 * (weight - weight.detach()), bias, activation)

    assert "gradient of weight differs" in cuda_conv.self_test(wrong_gradient, cpu)


@pytest.mark.parametrize(
    ("shape", "width", "kind", "fits"),
    [
        ((1, 9, 16), 4, torch.float32, True),
        ((1, 9, 16), 2, torch.bfloat16, True),
        ((1, 9, 16), 5, torch.float32, False),
        ((1, 9, 12), 4, torch.float32, False),
        ((1, 9, 16), 4, torch.float64, False),
        ((1, 2**22, 8), 4, torch.float32, False),
        ((1, 2**21, 64), 4, torch.float32, True),
        ((16, 2**21, 128), 4, torch.float32, False),
    ],
)
def test_what_its_kernels_cannot_is_left_to_torch(shape, width, kind, fits):
    x = torch.empty(shape, dtype=kind, device="meta")
    weight, bias = torch.empty(shape[2], 1, width, device="meta"), torch.empty(shape[2], device="meta")
    assert cuda_conv._possible(x, weight, bias) == fits


def test_deterministic_algorithms_keep_training_off_its_kernels():
    x, weight, bias = torch.empty(1, 9, 16), torch.empty(16, 1, 4, requires_grad=True), torch.empty(16)
    torch.use_deterministic_algorithms(True)
    try:
        assert not cuda_conv._possible(x, weight, bias)
        with torch.no_grad():
            assert cuda_conv._possible(x, weight, bias)
    finally:
        torch.use_deterministic_algorithms(False)


PACKAGES = {
    "nothing": (None, "causal_conv1d is not installed"),
    "no compiled part": ("import causal_conv1d_cuda_", "causal_conv1d is installed, but needs causal_conv1d_cuda_"),
    "other torch": (
        "raise ImportError('undefined symbol: _ZN3c10\\nand more')",
        "causal_conv1d is installed, but cannot be loaded: undefined symbol: _ZN3c10",
    ),
    "no symbol": ("", "causal_conv1d is installed, but without causal_conv1d_fn"),
    "breaks": ("def causal_conv1d_fn(*a, **b): raise RuntimeError('no kernel image\\nand more')", "causal_conv1d self"),
}
FIND = """
import json, sys
from segmamba.scan import cuda_conv
assert "causal_conv1d" not in sys.modules
found = []
for folder in sys.argv[1:]:
    sys.path.insert(0, folder)
    found.append(cuda_conv._state(0))
    sys.path.remove(folder)
    sys.modules.pop("causal_conv1d", None)
    cuda_conv._state.cache_clear()
    cuda_conv.function.cache_clear()
print(json.dumps(found))
"""


def test_a_package_that_cannot_be_used_gives_its_reason_in_a_line(tmp_path):
    folders = []
    for name, (text, _) in PACKAGES.items():
        folders.append(tmp_path / name)
        folders[-1].mkdir()
        if text is not None:
            (folders[-1] / "causal_conv1d.py").write_text(text)
    command = [sys.executable, "-c", FIND, *map(str, folders)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    for (usable, reason), (_, words) in zip(json.loads(done.stdout), PACKAGES.values(), strict=True):
        assert not usable and reason.startswith(words) and "\n" not in reason
    # What is installed and does not work is worth a warning; what is not installed is none.
    assert len(done.stderr.splitlines()) == len(PACKAGES) - 1
