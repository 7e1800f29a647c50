"""Inputs, golden cases and comparisons that the scan's tests share."""

import json
import math

import pytest
import torch
from safetensors import safe_open

from segmamba.scan.reference import selective_scan_reference

NAMES = ("u", "delta", "A", "B", "C", "D", "z", "delta_bias")


def _inputs(batch=1, channels=16, length=32, state=16, groups=None, seed=0, without=(), kind=torch.float64):
    """A dictionary of arguments like those of a Mamba layer: decay rates 1 to ``state``, steps of about 0.1."""
    source = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=source, dtype=torch.float64)

    shared = (batch, state, length) if groups is None else (batch, groups, state, length)
    steps = torch.exp(torch.rand(channels, generator=source, dtype=torch.float64) * math.log(100.0)) * 1e-3
    values = {
        "u": normal(batch, channels, length),
        "delta": normal(batch, channels, length) * 0.5,
        "A": -torch.arange(1, state + 1, dtype=torch.float64) * torch.exp(0.1 * normal(channels, state)),
        "B": normal(*shared),
        "C": normal(*shared),
        "D": normal(channels),
        "z": normal(batch, channels, length),
        "delta_bias": steps + torch.log(-torch.expm1(-steps)),
    }
    return {name: value.to(kind) for name, value in values.items() if name not in without}


def _exact(inputs, softplus=True, weight=None, last_weight=None):
    """Output, last state and gradients {name: tensor} of the definition in float64."""
    leaves = {name: value.detach().double().requires_grad_() for name, value in inputs.items()}
    shaped = {
        name: value.unsqueeze(1) if name in ("B", "C") and value.ndim == 3 else value for name, value in leaves.items()
    }
    out, last = selective_scan_reference(**shaped, delta_softplus=softplus)
    loss = (out * (torch.ones_like(out) if weight is None else weight.double())).sum()
    if last_weight is not None:
        loss = loss + (last * last_weight.double()).sum()
    grads = torch.autograd.grad(loss, list(leaves.values()))
    return out.detach(), last.detach(), dict(zip(leaves, grads, strict=True))


def _relative(got, right):
    return ((got.double() - right.double()).norm() / right.double().norm().clamp_min(1e-30)).item()


@pytest.fixture(scope="session")
def scan_inputs():
    return _inputs


@pytest.fixture(scope="session")
def exact():
    return _exact


@pytest.fixture(scope="session")
def relative_error():
    return _relative


@pytest.fixture(scope="session")
def golden_scans(reference_data):
    """The published operator's inputs and results: a list of (arguments, delta_softplus, all stored tensors)."""
    path = reference_data / "golden" / "scan.safetensors"
    if not path.is_file():
        pytest.skip(f"no {path}")
    cases = []
    with safe_open(path, "pt") as file:
        for i, case in enumerate(json.loads(file.metadata()["meta"])["cases"]):
            stored = {k.partition("/")[2]: file.get_tensor(k) for k in file.keys() if k.partition("/")[0] == str(i)}  # noqa: SIM118
            cases.append(({name: stored[name] for name in case["has"]}, case["delta_softplus"], stored))
    assert len(cases) >= 6
    return cases


@pytest.fixture(scope="session")
def agrees_with_golden(golden_scans):
    """A function that runs every golden case through a backend and returns its largest errors."""
    from segmamba.scan import selective_scan

    def check(backend, kind):
        worst_output, worst_gradient = 0.0, 0.0
        for arguments, softplus, stored in golden_scans:
            leaves = {name: value.to(kind).requires_grad_() for name, value in arguments.items()}
            out, last = selective_scan(**leaves, delta_softplus=softplus, return_last_state=True, backend=backend)
            assert out.dtype == kind and last.dtype == kind
            grads = torch.autograd.grad((out * stored["dout"].to(kind)).sum(), list(leaves.values()))
            worst_output = max(worst_output, _relative(out, stored["out"]), _relative(last, stored["last_state"]))
            for name, grad in zip(leaves, grads, strict=True):
                worst_gradient = max(worst_gradient, _relative(grad, stored[f"grad_{name}"]))
        return worst_output, worst_gradient

    return check
