"""Measurements of the scan's memory and exactness; each function runs in a process of its own."""

import torch

from segmamba.benchmark.peak import Peak
from segmamba.benchmark.scan_inputs import NAMES, leaves_of, make_inputs
from segmamba.benchmark.scan_speed import Scan
from segmamba.native.memory import release
from segmamba.scan import chosen_backend, selective_scan


def memory(channels: int, length: int, device: str) -> dict:
    """What a scan takes beyond its inputs and results: in bytes, and in units of its output, a (B, L, D) tensor."""
    backend = chosen_backend(device)
    warm = Scan(make_inputs(channels, 64, device), backend)
    warm.forward()
    warm.both()
    inputs = make_inputs(channels, length, device)
    tensor = inputs["u"].numel() * 4
    release()  # what is kept from calls before would not be counted
    with Peak(device) as peak, torch.inference_mode():
        out = selective_scan(**inputs, delta_softplus=True, backend=backend)
    inference = None if peak.bytes is None else max(0, peak.bytes - out.nbytes)
    del out
    leaves, dout = leaves_of(inputs), torch.ones_like(inputs["u"])
    release()
    with Peak(device) as peak:
        out = selective_scan(**leaves, delta_softplus=True, backend=backend)
        gradients = torch.autograd.grad(out, list(leaves.values()), dout)
    results = out.nbytes + sum(gradient.nbytes for gradient in gradients)
    training = None if peak.bytes is None else max(0, peak.bytes - results)
    return {
        "inference_bytes": inference,
        "inference": None if inference is None else inference / tensor,
        "training_bytes": training,
        "training": None if training is None else training / tensor,
    }


def errors(channels: int, length: int, device: str) -> dict:
    """Relative errors (2-norm) of the best backend against the definition in float64: output and worst gradient."""
    inputs = make_inputs(channels, length, device)
    dout = torch.randn(inputs["u"].shape, generator=torch.Generator().manual_seed(1)).to(device)
    exact = leaves_of({name: value.double().cpu() for name, value in inputs.items()})
    right = selective_scan(**exact, delta_softplus=True, backend="reference")
    right_gradients = torch.autograd.grad(right, list(exact.values()), dout.double().cpu())
    leaves = leaves_of(inputs)
    got = selective_scan(**leaves, delta_softplus=True, backend=chosen_backend(device))
    gradients = torch.autograd.grad(got, list(leaves.values()), dout)
    by_name = {name: _relative(g, r) for name, g, r in zip(NAMES, gradients, right_gradients, strict=True)}
    return {"output": _relative(got, right), "gradients": max(by_name.values()), "by_gradient": by_name}


def _relative(got: torch.Tensor, right: torch.Tensor) -> float:
    right = right.detach()
    return ((got.detach().double().cpu() - right).norm() / right.norm()).item()
