"""The convolution before the scan, on CUDA through causal_conv1d, where it is installed: an adapter, never required."""

import importlib
import logging
from collections.abc import Callable
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from segmamba.scan.precision import no_autocast
from segmamba.scan.reasons import first_line

_log = logging.getLogger(__name__)

# The channels-last kernels of causal_conv1d: eight channels to a thread, read in vectors of 16 bytes, tokens in runs of
# 64 along the second dimension of the grid, offsets in 32 bits without a sign.
_CHANNELS = 8
_ALIGNMENT = 16
_MOST_TOKENS = 64 * 65535
_WIDTHS = (2, 3, 4)


@cache
def function() -> Callable:
    """``causal_conv1d_fn`` of the package causal_conv1d.

    Raises:
        ImportError: It cannot be had; the message says why in one clause.
    """
    try:
        module = importlib.import_module("causal_conv1d")
    except ModuleNotFoundError as error:
        if error.name == "causal_conv1d":
            raise ImportError("causal_conv1d is not installed") from error
        raise ImportError(f"causal_conv1d is installed, but needs {error.name}") from error
    except Exception as error:  # built for another torch or CUDA: what it raises then is not to be foreseen
        raise ImportError(f"causal_conv1d is installed, but cannot be loaded: {first_line(error)}") from error
    found = getattr(module, "causal_conv1d_fn", None)
    if not callable(found):
        raise ImportError("causal_conv1d is installed, but without causal_conv1d_fn")
    return found


def report(device: torch.device | str) -> tuple[bool, str]:
    """Whether causal_conv1d is used on a CUDA device that is here, and why; tried once against torch."""
    device = torch.device(device)
    return _state(torch.cuda.current_device() if device.index is None else device.index)


@cache
def _state(index: int) -> tuple[bool, str]:
    device = torch.device("cuda", index)
    try:
        conv = function()
        with torch.enable_grad(), torch.inference_mode(False), no_autocast("cuda"):
            problem = self_test(conv, device)
    except ImportError as error:
        problem = first_line(error)
        # Only what is installed and does not work is worth a warning: plain torch does it, too.
        level = logging.INFO if problem == "causal_conv1d is not installed" else logging.WARNING
        _log.log(level, "the convolution before the scan runs in plain torch on %s: %s", device, problem)
        return False, problem
    except Exception as error:  # a package that breaks must not take the program with it, whatever it raises
        problem = f"self-test failed: {type(error).__name__}: {first_line(error)}"
    if problem:
        _log.warning("the convolution before the scan runs in plain torch on %s: causal_conv1d %s", device, problem)
        return False, f"causal_conv1d {problem}"
    _log.info("the convolution before the scan runs in causal_conv1d on %s", device)
    return True, "causal_conv1d passed the self-test against torch"


def fits(x: Tensor, weight: Tensor, bias: Tensor) -> bool:
    """Whether causal_conv1d does this convolution, arguments as for ``conv.causal_conv_silu``, on x's CUDA device."""
    return _possible(x, weight, bias) and _state(x.device.index)[0]


def _possible(x: Tensor, weight: Tensor, bias: Tensor) -> bool:
    batch, length, channels = x.shape
    if x.dtype == torch.float64 or weight.shape[-1] not in _WIDTHS or channels % _CHANNELS:
        return False
    span = (batch - 1) * x.stride(0) + (length - 1) * x.stride(1) + channels
    if length > _MOST_TOKENS or max(span, x.numel()) >= 2**32:
        return False
    needs_grad = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (x, weight, bias))
    # Its gradients of weight and bias are added up in the order in which they happen to arrive.
    return not (needs_grad and torch.are_deterministic_algorithms_enabled())


def causal_conv_silu_cuda(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """SiLU(bias + causal depthwise convolution of x), as ``conv.causal_conv_silu``, for what ``fits``.

    Call it without autocast. Channels-last in, channels-last out: nothing is reordered.
    """
    return run(function(), x, weight, bias)


def run(conv: Callable, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The same by a function with the interface of ``causal_conv1d_fn``."""
    rows = _rows(x.float())
    y = conv(rows.transpose(1, 2), weight.float()[:, 0], bias=bias.float().contiguous(), activation="silu")
    if y.requires_grad:
        # Its backward takes a gradient in either order, but not one of rows that are no vectors.
        y.register_hook(lambda grad: _rows(grad.transpose(1, 2)).transpose(1, 2))
    return y.transpose(1, 2)


def _rows(x: Tensor) -> Tensor:
    """(batch, length, channels) with adjacent channels and every row on the boundary of a vector; copied if need be."""
    batch_stride, row_stride, stride = x.stride()
    vectors = row_stride % _CHANNELS == 0 and batch_stride % _CHANNELS == 0 and x.data_ptr() % _ALIGNMENT == 0
    if stride == 1 and row_stride >= x.shape[2] and batch_stride > 0 and vectors:
        return x
    return x.clone(memory_format=torch.contiguous_format)


def self_test(conv: Callable, device: torch.device) -> str:
    """Compares a function with the interface of ``causal_conv1d_fn`` with torch in float64; '' or what is wrong."""
    for batch, length, channels, spare in ((2, 37, 24, 0), (1, 300, 40, 40)):
        source = torch.Generator("cpu").manual_seed(channels)

        def normal(*shape, source=source):
            return torch.randn(*shape, generator=source, dtype=torch.float64, device="cpu")

        # Rows with something between them, as half of in_proj's output has.
        inputs = [normal(batch, length, channels + spare), normal(channels, 1, 4), normal(channels)]
        inputs = [value.float() for value in inputs]
        weight = normal(batch, length, channels).float()
        results = []
        for exact, where in ((True, torch.device("cpu")), (False, device)):
            leaves = [(value.double() if exact else value.to(where)).requires_grad_() for value in inputs]
            x = leaves[0][..., :channels]
            if exact:
                y = F.conv1d(x.transpose(1, 2), *leaves[1:], padding=3, groups=channels)[..., :length]
                y = F.silu(y).transpose(1, 2)
            else:
                y = run(conv, x, *leaves[1:])
            grads = torch.autograd.grad((y * weight.to(y)).sum(), leaves)
            results.append([t.detach().cpu().double() for t in (y, *grads)])
        names = ("output", "gradient of x", "gradient of weight", "gradient of bias")
        for name, right, got in zip(names, *results, strict=True):
            error = ((got - right).norm() / right.norm()).item()
            if not error < 1e-4:
                return f"self-test failed: {name} differs from torch by {error:.1e}"
    return ""
