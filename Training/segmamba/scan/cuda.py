"""The scan on CUDA through mamba_ssm's compiled kernels, where they are installed: an adapter, never required."""

import importlib
import importlib.util
import logging
import sys
from functools import cache
from types import ModuleType

import torch
from torch.autograd.function import once_differentiable

from segmamba.scan.chunked import selective_scan_chunked
from segmamba.scan.reasons import first_line

_log = logging.getLogger(__name__)

# More cases for the self-test, after the kernels' variants: one chunk that is full (read in vectors), several chunks
# (2048 tokens each) that are full, and several with a tail.
CASES = ((1, 3, 8, 16, 128), (1, 2, 4, 16, 4096), (1, 3, 4, 16, 2100))
KINDS = (torch.float32, torch.bfloat16, torch.float16)

_CHUNK = 2048  # tokens between two states that the kernels write; a number of theirs
_MOST_STATES = 256
_MOST_CHANNELS = 65535  # one block of threads a channel, in the second dimension of the grid
_ALIGNMENT = 16  # bytes: full chunks are read in vectors of that size


@cache
def extension() -> ModuleType:
    """The compiled module ``selective_scan_cuda``, with functions ``fwd`` and ``bwd``.

    The module is what is asked for, not the package: mamba_ssm may be installed without it, and forks of mamba_ssm
    bring it along. mamba_ssm itself is not imported, which would import much that the scan does not need.

    Raises:
        ImportError: It cannot be had; the message says why in one clause.
    """
    try:
        module = importlib.import_module("selective_scan_cuda")
    except ModuleNotFoundError as error:
        if error.name != "selective_scan_cuda":
            raise ImportError(f"selective_scan_cuda is installed, but needs {error.name}") from error
        if "mamba_ssm" not in sys.modules and importlib.util.find_spec("mamba_ssm") is None:
            raise ImportError("mamba_ssm is not installed") from error
        raise ImportError("mamba_ssm is installed, but without its compiled module selective_scan_cuda") from error
    except Exception as error:  # built for another torch or CUDA: what it raises then is not to be foreseen
        raise ImportError(f"selective_scan_cuda is installed, but cannot be loaded: {first_line(error)}") from error
    missing = [name for name in ("fwd", "bwd") if not callable(getattr(module, name, None))]
    if missing:
        raise ImportError(f"selective_scan_cuda has no function {' and no '.join(missing)}")
    return module


def selective_scan_mamba_ssm(
    u, delta, A, B, C, D=None, z=None, delta_bias=None, delta_softplus=False
) -> tuple[torch.Tensor, torch.Tensor]:
    """The scan of ``reference.selective_scan_reference`` by mamba_ssm's kernels, computed in float32.

    Tokens in float16 or bfloat16 (u, delta, B, C and z alike) are read and written so; any mixture as float32. Whoever
    needs what the kernels lack gets it from ``selective_scan_chunked``: float64, more than 256 states, tensors beyond
    32-bit offsets, gradients of the last state, and a backward that gives the same bits every time where torch is set
    to deterministic algorithms (the kernels add dB and dC up in the order in which they happen to arrive).
    """
    needs_grad = torch.is_grad_enabled() and any(
        tensor is not None and tensor.requires_grad for tensor in (u, delta, A, B, C, D, z, delta_bias)
    )
    lack = _lack(u, A, B, needs_grad)
    if lack:
        _tell(lack)
        return selective_scan_chunked(u, delta, A, B, C, D, z, delta_bias, delta_softplus)
    return run(extension(), u, delta, A, B, C, D, z, delta_bias, delta_softplus)


def run(module: ModuleType, u, delta, A, B, C, D, z, delta_bias, delta_softplus) -> tuple[torch.Tensor, torch.Tensor]:
    """Output and last state by a module with mamba_ssm's ``fwd`` and ``bwd``; all tensors where it wants them."""
    kinds = {tensor.dtype for tensor in (u, delta, B, C, z) if tensor is not None}
    kind = u.dtype if len(kinds) == 1 and u.dtype in (torch.float16, torch.bfloat16) else torch.float32
    return _Scan.apply(module, kind, delta_softplus, u, delta, A, B, C, D, z, delta_bias)


def _lack(u: torch.Tensor, A: torch.Tensor, B: torch.Tensor, needs_grad: bool) -> str:
    """Why the kernels cannot do it, or ''."""
    batch, channels, length = u.shape
    states = A.shape[1]
    if u.dtype == torch.float64:
        return "they do not compute in float64"
    if states > _MOST_STATES:
        return f"they take {_MOST_STATES} states at most, not {states}"
    if channels > _MOST_CHANNELS:
        return f"they take {_MOST_CHANNELS} channels at most, not {channels}"
    # Versions before 2.3.2 count elements in 32 bits without a sign, and the kept states in 32 bits with one.
    kept = batch * channels * -(-length // _CHUNK) * states
    if max(u.numel(), B.numel()) >= 2**32 or kept >= 2**31:
        return "the tensors are too large for their 32-bit offsets"
    if needs_grad and torch.are_deterministic_algorithms_enabled():
        return "their gradients are not deterministic, which torch is set to be"
    return ""


@cache
def _tell(lack: str) -> None:
    _log.warning("the scan leaves mamba_ssm's kernels for plain torch: %s", lack)


def _laid_out(tensor: torch.Tensor | None, kind: torch.dtype) -> torch.Tensor | None:
    """As the kernels read it: of this type, contiguous, the last stride 1 whatever the size, aligned for vectors."""
    if tensor is None:
        return None
    fits = tensor.dtype == kind and tensor.is_contiguous() and tensor.stride(-1) == 1
    if fits and tensor.data_ptr() % _ALIGNMENT == 0:
        return tensor
    return torch.empty(tensor.shape, dtype=kind, device=tensor.device).copy_(tensor)  # one pass: type and order


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(ctx, module, kind, softplus, u, delta, A, B, C, D, z, bias):
        ctx.module, ctx.kind, ctx.softplus = module, kind, bool(softplus)
        given = (u, delta, A, B, C, D, z, bias)
        ctx.kinds = [None if tensor is None else tensor.dtype for tensor in given]
        wanted = (kind, kind, torch.float32, kind, kind, torch.float32, kind, torch.float32)
        laid_out = [_laid_out(tensor, own) for tensor, own in zip(given, wanted, strict=True)]
        # states: (batch, channels, chunks, 2 state), decay and state of each chunk's end in turn.
        out, states, *gated = module.fwd(*laid_out, ctx.softplus)
        last = states[:, :, -1, 1::2].clone()  # a copy: a view would keep all of them
        ctx.save_for_backward(*laid_out, states, out if gated else None)
        ctx.set_materialize_grads(False)
        return (gated[0] if gated else out).to(u.dtype), last

    @staticmethod
    @once_differentiable
    def backward(ctx, dout, dlast):
        if dout is None and dlast is None:
            return (None,) * 11
        *inputs, states, out = ctx.saved_tensors
        if dlast is not None:
            grads = _chunked_gradients(inputs, ctx.softplus, dout, dlast)
        else:
            dout = _laid_out(dout, ctx.kind)
            u, delta, A, B, C, D, z, bias = inputs
            du, ddelta, dA, dB, dC, dD, dbias, *dz = ctx.module.bwd(
                u, delta, A, B, C, D, z, bias, dout, states, out, None, ctx.softplus, False
            )
            grads = (du, ddelta, dA, dB, dC, dD, dz[0] if dz else None, dbias)
        grads = [None if kind is None else grad.to(kind) for grad, kind in zip(grads, ctx.kinds, strict=True)]
        return (None, None, None, *grads)


def _chunked_gradients(inputs, softplus, dout, dlast):
    """All gradients in plain torch, because the kernels have none for the last state."""
    with torch.enable_grad():
        leaves = [None if tensor is None else tensor.detach().requires_grad_() for tensor in inputs]
        results = selective_scan_chunked(*leaves, softplus)
        # dout has the type of u as given, which need not be the type computed in.
        pairs = [
            (end, grad.to(end.dtype)) for end, grad in zip(results, (dout, dlast), strict=True) if grad is not None
        ]
        ends, weights = zip(*pairs, strict=True)
        used = [leaf for leaf in leaves if leaf is not None]
        # Zeros for C, D and z where only the last state counts.
        found = iter(torch.autograd.grad(ends, used, weights, materialize_grads=True))
        return [None if leaf is None else next(found) for leaf in leaves]
