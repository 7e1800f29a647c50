"""Measurements of networks; each function runs in a process of its own and returns plain values."""

import contextlib

import torch
from torch import nn

from segmamba.benchmark import counting, peers
from segmamba.benchmark.child import explain
from segmamba.benchmark.peak import Peak
from segmamba.benchmark.timing import in_turns, seconds

# torch's memory formats by the names of --layout.
LAYOUTS = {"first": torch.contiguous_format, "last": torch.channels_last_3d}


def _make(network: str, channels: int, classes: int, size: int, layout: str, device: str):
    torch.manual_seed(0)
    module = peers.find(network).build(channels, classes, size).to(device)
    image = torch.randn(1, channels, size, size, size, device=device)
    return module.to(memory_format=LAYOUTS[layout]), image.to(memory_format=LAYOUTS[layout])


def precision_of(name: str, device: str):
    """The context of a precision: autocast for ``bf16``, nothing for ``fp32``."""
    return torch.autocast(device, dtype=torch.bfloat16) if name == "bf16" else contextlib.nullcontext()


def forward(shape: list[int], repeats: int, device: str, precision: str, **which) -> dict:
    """One forward of one image: the least seconds of ``repeats``, and all memory that network and forward took.

    Args:
        shape: Channels, size, classes.
        repeats: The first also prepares what the network prepares on first use.
        device: ``cpu`` or ``cuda``.
        precision: ``fp32`` or ``bf16``.
        **which: ``network`` and ``layout``.
    """
    with Peak(device) as peak, torch.inference_mode(), precision_of(precision, device):
        module, image = _make(channels=shape[0], size=shape[1], classes=shape[2], device=device, **which)
        module.eval()
        best = min(seconds(lambda: module(image), device) for _ in range(repeats))
    return {"seconds": best, "peak": peak.bytes}


def training(shape: list[int], repeats: int, device: str, precision: str, **which) -> dict:
    """Forward and backward of one image, all weights' gradients, no optimiser; arguments as of ``forward``."""
    with Peak(device) as peak:
        module, image = _make(channels=shape[0], size=shape[1], classes=shape[2], device=device, **which)
        module.train()

        def step() -> None:
            module.zero_grad(set_to_none=True)
            with precision_of(precision, device):
                out = module(image)
            out.float().square().mean().backward()

        best = min(seconds(step, device) for _ in range(repeats))
    return {"seconds": best, "peak": peak.bytes}


def count(networks: list[str], shapes: list[list[int]]) -> dict:
    """Parameters, multiply-adds and scan elements of every network at every shape, by network and shape."""
    found: dict = {}
    for name in networks:
        found[name] = {}
        for channels, size, classes in shapes:
            try:
                module = peers.find(name).build(channels, classes, size)
                values = _counted(counting.count(module, channels, (size, size, size)))
            except Exception as error:  # a size that a network refuses costs its row, not the others
                values = {"problem": explain(error)}
            found[name][f"{channels}x{size}"] = values
    return found


def count_flat(size: int) -> dict:
    """LightM-UNet in two dimensions and nnU-Net's 2D network, one channel, two classes, on a square."""
    from segmamba import networks

    modules = {
        "lightmunet": networks.build("lightmunet", 1, 2, spatial_dims=2),
        "lightmunet16": networks.build("lightmunet", 1, 2, spatial_dims=2, init_filters=16),
        "nnunet": peers.nnunet(2, 1, 2),
    }
    return {name: _counted(counting.count(module, 1, (size, size))) for name, module in modules.items()}


def _counted(counts: counting.Count) -> dict:
    return {
        "parameters": counts.parameters,
        "macs": counts.macs,
        "scan_elements": counts.scan_elements,
        "macs_with_scan": counts.macs_with_scan,
    }


def compare(shape: list[int], repeats: int, device: str, one: dict, other: dict) -> dict:
    """Two networks' forwards in turns.

    Args:
        shape, repeats, device: As of ``forward``.
        one, other: network, layout and precision of each.

    Returns:
        ``ratio``, of the first's seconds to the second's, and the seconds.
    """
    calls = {}
    for key, choice in (("one", one), ("other", other)):
        module, image = _make(choice["network"], shape[0], shape[2], shape[1], choice["layout"], device)
        calls[key] = inference(module.eval(), image, choice["precision"], device)
    best = in_turns(calls, repeats, device)
    return {"ratio": best["one"] / best["other"], "seconds": best}


def inference(module: nn.Module, image: torch.Tensor, precision: str, device: str):
    """A call of one forward without gradients."""

    def call() -> torch.Tensor:
        with torch.inference_mode(), precision_of(precision, device):
            return module(image)

    return call
