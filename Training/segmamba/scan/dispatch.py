"""Choice of the scan's backend: by device, by what is importable, and by a self-test against the definition."""

import importlib
import logging
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch

from segmamba.errors import UserError
from segmamba.scan import cuda
from segmamba.scan.chunked import selective_scan_chunked
from segmamba.scan.precision import compute_type, no_autocast
from segmamba.scan.reasons import first_line
from segmamba.scan.reference import selective_scan_reference
from segmamba.scan.self_test import CASES
from segmamba.scan.self_test import self_test as _self_test

_log = logging.getLogger(__name__)


def _reference(u, *rest):
    # The definition computes in whatever it gets; here the promise of float32 (or float64) is kept.
    kind = compute_type(u)
    with no_autocast(u.device.type):
        cast = [t.to(kind) if isinstance(t, torch.Tensor) else t for t in (u, *rest)]
        out, last = selective_scan_reference(*cast)
    return out.to(u.dtype), last


def _numba(u, *rest):
    if u.dtype == torch.float64:
        # The kernels know float32 only; whoever asks for float64 gets it, from the next best backend.
        return selective_scan_chunked(u, *rest)
    return _load_numba()(u, *rest)


def _load_numba() -> Callable:
    importlib.import_module("segmamba.scan.cpu.kernels").forward_kernels()  # without numba, where they are kept
    return importlib.import_module("segmamba.scan.cpu").selective_scan_cpu


@dataclass(frozen=True)
class _Backend:
    """A way to compute the scan, and what is to be known of it."""

    function: Callable
    devices: tuple[str, ...] | None = None  # types of device that it runs on; None is every one
    load: Callable | None = None  # raises ImportError, with the reason, where it is not to be had
    grouped: bool = False  # several directions are faster in one call, as groups, than in several calls
    cases: tuple[tuple[int, ...], ...] = CASES  # of the self-test
    kinds: tuple[torch.dtype, ...] = (torch.float32,)  # types that tokens are read and written in, likewise


# Best first.
_BACKENDS = {
    "mamba_ssm": _Backend(
        cuda.selective_scan_mamba_ssm, ("cuda",), cuda.extension, True, (*CASES, *cuda.CASES), cuda.KINDS
    ),
    "numba": _Backend(_numba, ("cpu",), _load_numba),
    "chunked": _Backend(selective_scan_chunked),
    "reference": _Backend(_reference),
}
_test_lock = threading.RLock()


def _renew_lock() -> None:
    global _test_lock
    _test_lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    # A thread of the parent may have held the lock; in the child it is gone.
    os.register_at_fork(after_in_child=_renew_lock)


@cache
def _state(name: str, device_type: str, index: int | None) -> tuple[bool, str]:
    backend = _BACKENDS[name]
    if backend.devices is not None and device_type not in backend.devices:
        return False, f"runs on {', '.join(backend.devices)} only"
    if name == "reference":
        return True, "the definition"
    try:
        if backend.load is not None:
            backend.load()
        with torch.enable_grad(), torch.inference_mode(False):
            device = torch.device(device_type, index)
            problem = _self_test(backend.function, device, backend.cases, backend.kinds)
    except ImportError as error:
        return False, f"cannot be imported: {first_line(error)}"
    except Exception as error:  # a backend that breaks must not take the program with it, whatever it raises
        return False, f"self-test failed: {type(error).__name__}: {first_line(error)}"
    return (False, problem) if problem else (True, "passed the self-test against the reference")


def _checked(name: str, device: torch.device) -> tuple[bool, str]:
    with _test_lock:  # cache alone would let two threads compile and test at once
        return _state(name, device.type, device.index)


@cache
def _choose(device_type: str, index: int | None) -> str:
    device = torch.device(device_type, index)
    for name, backend in _BACKENDS.items():
        usable, reason = _checked(name, device)
        if usable:
            _log.info("selective scan on %s: backend %s (%s)", device, name, reason)
            return name
        if backend.devices is None or device_type in backend.devices:
            _log.warning("selective scan on %s: backend %s is not used: %s", device, name, reason)
    raise AssertionError("the reference is always usable")


def _device(device: torch.device | str) -> torch.device:
    """A device that is here, by its full name: the current device stands for "cuda"."""
    try:
        device = torch.device(device)
    except RuntimeError as error:
        raise UserError(f"device {device!r} is not known; use cpu, cuda, cuda:0 or mps") from error
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if count <= (device.index or 0):
            last = f"only cuda:0 to cuda:{count - 1}" if count else "no CUDA device"
            raise UserError(f"device {device} is not here: torch sees {last}; use another or cpu")
        if device.index is None:
            return torch.device("cuda", torch.cuda.current_device())
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise UserError(f"device {device} is not here: torch sees no Apple GPU; use cpu")
    return device


def backend_report(device: torch.device | str = "cpu") -> list[tuple[str, bool, str]]:
    """Every backend, best first, as (name, usable on this device, reason). Runs the self-tests.

    Raises:
        UserError: ``device`` is unknown, or not here.
    """
    device = _device(device)
    return [(name, *_checked(name, device)) for name in _BACKENDS]


def available_backends(device: torch.device | str = "cpu") -> list[str]:
    """Names usable here for ``device``, best first; each is valid as ``backend=`` of ``selective_scan``.

    Raises:
        UserError: ``device`` is unknown, or not here.
    """
    return [name for name, usable, _ in backend_report(device) if usable]


def chosen_backend(device: torch.device | str = "cpu") -> str:
    """The backend that ``backend="auto"`` means on ``device``.

    Raises:
        UserError: ``device`` is unknown, or not here.
    """
    return _chosen(_device(device))


def _chosen(device: torch.device) -> str:
    with _test_lock:
        return _choose(device.type, device.index)


def definite_backend(backend: str, device: torch.device) -> str:
    """The name of a backend that can be used on a tensor's ``device``, "auto" made definite.

    Raises:
        UserError: ``backend`` is unknown, or not usable on this device.
    """
    if backend == "auto":
        return _chosen(device)
    if backend in _BACKENDS:
        usable, reason = _checked(backend, device)
        if usable:
            return backend
        problem = f"cannot be used on {device} ({reason})"
    else:
        problem = "is not known"
    raise UserError(f"backend {backend!r} {problem}; use one of {', '.join(['auto', *available_backends(device)])}")


def gains_from_groups(backend: str) -> bool:
    """Whether this backend is faster with several directions in one call, as groups, than in several calls."""
    return _BACKENDS[backend].grouped


def _check(name: str, tensor: torch.Tensor, allowed: str, shape: tuple[int, ...], device: torch.device) -> None:
    if tuple(tensor.shape) != shape:
        raise ValueError(f"{name} has shape {tuple(tensor.shape)}; allowed is {allowed} = {shape}")
    if tensor.device != device:
        raise ValueError(f"{name} is on {tensor.device}, u on {device}; allowed is one device for all")
    if not tensor.is_floating_point():
        raise ValueError(f"{name} is {tensor.dtype}; allowed are real floating-point types")


def _with_groups(name: str, tensor: torch.Tensor, batch: int, channels: int, state: int, length: int):
    grouped = tensor.unsqueeze(1) if tensor.ndim == 3 else tensor
    groups = grouped.shape[1] if grouped.ndim == 4 else 0
    if groups == 0 or channels % groups or tuple(grouped.shape) != (batch, groups, state, length):
        raise ValueError(
            f"{name} has shape {tuple(tensor.shape)}; allowed is (batch, state, length) = {(batch, state, length)}, "
            f"or with groups that divide the {channels} channels, ({batch}, groups, {state}, {length})"
        )
    return grouped


def selective_scan(
    u: torch.Tensor,
    delta: torch.Tensor,
    A: torch.Tensor,
    B: torch.Tensor,
    C: torch.Tensor,
    D: torch.Tensor | None = None,
    z: torch.Tensor | None = None,
    delta_bias: torch.Tensor | None = None,
    delta_softplus: bool = False,
    return_last_state: bool = False,
    backend: str = "auto",
) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
    """The selective scan of Mamba (arXiv 2312.00752, section 3.2): a linear recurrence with input-dependent steps.

    With d = softplus(delta + delta_bias): h_t = exp(d_t A) h_(t-1) + d_t B_t u_t and y_t = (C_t h_t + D u_t) silu(z_t).

    Computed in float32 whatever the precision of the inputs or of autocast; if u is float64, in float64 (the backends
    ``numba`` and ``mamba_ssm`` then leave the work to ``chunked``). A channels-last view, (batch, length, channels)
    transposed, is not copied on the processor.

    Args:
        u, delta, z: (batch, channels, length).
        A: (channels, state).
        B, C: (batch, state, length), or (batch, groups, state, length) where group i serves the i-th share of channels.
        D, delta_bias: (channels,).
        delta_softplus: apply softplus to delta (after the bias).
        return_last_state: also return the state after the last token.
        backend: "auto" or one of ``available_backends(u.device)``.

    Returns:
        (batch, channels, length) in u's dtype; with ``return_last_state`` also (batch, channels, state), float32 (or
        float64). Both can be differentiated, once.

    Raises:
        ValueError: a shape, device or type does not fit.
        UserError: ``backend`` is unknown, or not usable on this device.

    Example:
        >>> import torch
        >>> u = torch.randn(1, 4, 10); d = torch.rand(1, 4, 10); A = -torch.rand(4, 8)
        >>> B, C = torch.randn(1, 8, 10), torch.randn(1, 8, 10)
        >>> selective_scan(u, d, A, B, C, backend="reference").shape
        torch.Size([1, 4, 10])
    """
    if u.ndim != 3 or 0 in u.shape:
        raise ValueError(f"u has shape {tuple(u.shape)}; allowed is (batch, channels, length), none of them zero")
    batch, channels, length = u.shape
    if A.ndim != 2 or A.shape[1] == 0:
        raise ValueError(f"A has shape {tuple(A.shape)}; allowed is (channels, state) = ({channels}, at least 1)")
    state = A.shape[1]
    B = _with_groups("B", B, batch, channels, state, length)
    C = _with_groups("C", C, batch, channels, state, length)
    if B.shape[1] != C.shape[1]:
        raise ValueError(f"B has {B.shape[1]} groups and C {C.shape[1]}; allowed is the same number for both")
    line = "(batch, channels, length)"
    _check("u", u, line, (batch, channels, length), u.device)
    _check("delta", delta, line, (batch, channels, length), u.device)
    _check("A", A, "(channels, state)", (channels, state), u.device)
    _check("B", B, "(batch, groups, state, length)", tuple(B.shape), u.device)
    _check("C", C, "(batch, groups, state, length)", tuple(C.shape), u.device)
    if D is not None:
        _check("D", D, "(channels,)", (channels,), u.device)
    if z is not None:
        _check("z", z, line, (batch, channels, length), u.device)
    if delta_bias is not None:
        _check("delta_bias", delta_bias, "(channels,)", (channels,), u.device)
    function = _BACKENDS[definite_backend(backend, u.device)].function
    out, last = function(u, delta, A, B, C, D, z, delta_bias, bool(delta_softplus))
    return (out, last) if return_last_state else out
