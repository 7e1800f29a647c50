"""Makes the golden files in ``own/``: what our scan, mixers and networks computed when they matched the papers' code.

``python Testing/networks/make_goldens.py REFERENCE_DATA`` first runs the tests against the published code's golden
files in that folder, and writes nothing unless every one passes.  Then everything is computed in float64, each scan
by its definition.  The files were made once; they are made again only where a result is meant to change, and then with
a reason.  What has no published code to match (``variant="paper"``, sizes that the published code refuses) is kept as
it was then.
"""

import json
import subprocess
import sys
from pathlib import Path

import torch
from procedural import OWN, computed, uniform
from safetensors.torch import save_file

from segmamba.networks import build
from segmamba.networks.mixer import Mamba
from segmamba.scan import chosen_backend, dispatch, selective_scan

SCANS = [
    {"length": 1, "state": 8},
    {"length": 37, "state": 16},
    {"length": 21, "state": 16, "batch": 2, "without": ["D", "z", "delta_bias"], "softplus": False},
    {"length": 18, "state": 8, "batch": 2, "groups": 2, "without": ["z"]},
    {"length": 67, "state": 8, "without": ["D"]},
    {"length": 19, "state": 5, "channels": 17},
]
MIXERS = [
    {"d_model": 8, "directions": 1, "length": 30},
    {"d_model": 8, "directions": 2, "length": 30},
    {"d_model": 8, "directions": 3, "nslices": 5, "length": 30},
    {"d_model": 20, "directions": 3, "nslices": 8, "length": 30},  # two rows of dt; runs that do not divide the length
]
_ENCODER = {"depths": [1, 2, 1, 1], "feat_size": [8, 16, 24, 32], "hidden_size": 40}
_RES = {"feat_size": [8, 16, 24, 32]}
NETWORKS = {
    "segmamba": ("segmamba", _ENCODER),
    "segmamba_v1_paper": ("segmamba_v1", {**_ENCODER, "variant": "paper"}),
    "segmamba_v1_published": ("segmamba_v1", {**_ENCODER, "variant": "published"}),
    "segresmamba_paper": ("segresmamba", {**_RES, "variant": "paper"}),
    "segresmamba_published": ("segresmamba", {**_RES, "variant": "published"}),
    "segresmamba_called": ("segresmamba", {**_RES, "variant": "published", "call_mamba": True}),
    "lightmunet": ("lightmunet", {"init_filters": 8, "blocks_down": [1, 1, 2], "blocks_up": [1, 1]}),
}
# (batch, channels, D, H, W): not all multiples of 16 (of 4 for lightmunet), and three planes at the deepest stage, so
# that slices and cropped planes matter there.
_SHAPE = (1, 2, 47, 26, 16)
# SegResMamba's blocks halve the size once more; an instance norm over two voxels would be all rounding errors.
_WIDER = (1, 2, 47, 46, 16)
SHAPE = {name: _WIDER for name in NETWORKS if name.startswith("segresmamba")} | {"lightmunet": (1, 2, 11, 12, 14)}


def scan_case(number: int, length: int, state: int, channels=3, batch=1, groups=1, without=(), softplus=True) -> dict:
    """Arguments of a scan, rounded to float32; its results in float64 and all gradients, rounded again."""

    def random(name, *shape):
        return torch.from_numpy(uniform(f"{number} {name}", shape))

    channels *= groups
    shared = (batch, state, length) if groups == 1 else (batch, groups, state, length)
    values = {
        "u": 2 * random("u", batch, channels, length),
        "delta": random("delta", batch, channels, length) + (0 if softplus else 1.1),
        "A": -torch.arange(1, state + 1) * torch.exp(0.2 * random("A", channels, state)),
        "B": 2 * random("B", *shared),
        "C": 2 * random("C", *shared),
        "D": random("D", channels),
        "z": 2 * random("z", batch, channels, length),
        "delta_bias": random("delta_bias", channels) - 3,
    }
    leaves = {name: value.float() for name, value in values.items() if name not in without}
    exact = {name: value.double().requires_grad_() for name, value in leaves.items()}
    out, last = selective_scan(**exact, delta_softplus=softplus, return_last_state=True, backend="reference")
    weights = {"out_weight": random("out", *out.shape).float(), "last_weight": random("last", *last.shape).float()}
    loss = (out * weights["out_weight"].double()).sum() + (last * weights["last_weight"].double()).sum()
    grads = torch.autograd.grad(loss, list(exact.values()))
    gradients = {f"grad/{name}": grad.float() for name, grad in zip(leaves, grads, strict=True)}
    return {**leaves, **weights, "out": out.detach(), "last": last.detach(), **gradients}


def mixer_case(length: int, **options) -> tuple[dict, dict]:
    """Output and gradients of a mixer whose weights follow from their keys: its tokens are (2, length, d_model)."""
    return computed(Mamba(**options), (2, length, options["d_model"]))


def save(name: str, tensors: dict, meta) -> None:
    """Writes a golden file."""
    contiguous = {key: value.contiguous() for key, value in tensors.items()}
    save_file(contiguous, OWN / f"{name}.safetensors", metadata={"meta": json.dumps(meta)})


def main(reference_data: str) -> None:
    """Checks against the published code, then writes every file."""
    tests = Path(__file__).resolve().parents[1]
    checks = [tests / "networks" / "test_goldens.py", tests / "scan" / "test_reference.py"]
    run = [sys.executable, "-m", "pytest", *map(str, checks), "--reference-data", reference_data]
    said = subprocess.run(run, cwd=tests.parent, capture_output=True, text=True)
    if said.returncode or "skipped" in said.stdout or "SKIPPED" in said.stdout:
        sys.exit(f"not everything matches the published code:\n{said.stdout}")
    dispatch._BACKENDS = {"reference": dispatch._BACKENDS["reference"]}
    if chosen_backend("cpu") != "reference":
        sys.exit("the scans would not be computed by their definition")
    OWN.mkdir(exist_ok=True)
    made = [scan_case(number, **case) for number, case in enumerate(SCANS)]
    save("scan", {f"{n}/{key}": value for n, case in enumerate(made) for key, value in case.items()}, SCANS)
    made = [mixer_case(**case) for case in MIXERS]
    cases = [{**case, "seen": seen} for case, (_, seen) in zip(MIXERS, made, strict=True)]
    save("mixers", {f"{n}/{key}": value for n, (kept, _) in enumerate(made) for key, value in kept.items()}, cases)
    for name, (network, options) in NETWORKS.items():
        shape = SHAPE.get(name, _SHAPE)
        tensors, seen = computed(build(network, shape[1], 3, **options), shape)
        save(name, tensors, {"network": network, "options": options, "shape": shape, "out_channels": 3, "seen": seen})


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("name the folder of the reference data")
    main(sys.argv[1])
