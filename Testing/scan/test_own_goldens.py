"""Every scan that runs here against goldens of our own, made when the definition matched the published operator."""

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from segmamba.scan import available_backends, selective_scan

ARGUMENTS = ("u", "delta", "A", "B", "C", "D", "z", "delta_bias")


@pytest.fixture(scope="module")
def cases():
    """A list of (delta_softplus, stored tensors)."""
    with safe_open(Path(__file__).parents[1] / "networks" / "own" / "scan.safetensors", "pt") as file:
        about = json.loads(file.metadata()["meta"])
        tensors = [{} for _ in about]
        for key in file.keys():  # noqa: SIM118
            number, _, name = key.partition("/")
            tensors[int(number)][name] = file.get_tensor(key)
    assert len(about) == 6
    return [(case.get("softplus", True), stored) for case, stored in zip(about, tensors, strict=True)]


def errors(case, backend, kind, relative_error):
    """Largest of output and last state, largest of the gradients."""
    softplus, stored = case
    leaves = {name: stored[name].to(kind).requires_grad_() for name in ARGUMENTS if name in stored}
    out, last = selective_scan(**leaves, delta_softplus=softplus, return_last_state=True, backend=backend)
    loss = (out * stored["out_weight"].to(kind)).sum() + (last * stored["last_weight"].to(kind)).sum()
    grads = torch.autograd.grad(loss, list(leaves.values()))
    assert {f"grad/{name}" for name in leaves} == {name for name in stored if name.startswith("grad/")}
    results = max(relative_error(out, stored["out"]), relative_error(last, stored["last"]))
    return results, max(relative_error(g, stored[f"grad/{n}"]) for n, g in zip(leaves, grads, strict=True))


@pytest.mark.parametrize("number", range(6))
def test_the_definition_gives_the_same_in_float64(cases, relative_error, number):
    results, gradients = errors(cases[number], "reference", torch.float64, relative_error)
    assert results < 1e-13 and gradients < 1e-7  # gradients are stored in float32


@pytest.mark.parametrize("number", range(6))
def test_every_backend_gives_the_same_in_float32(cases, relative_error, number):
    for backend in available_backends("cpu"):
        results, gradients = errors(cases[number], backend, torch.float32, relative_error)
        assert results < 2e-6 and gradients < 1e-5, backend
