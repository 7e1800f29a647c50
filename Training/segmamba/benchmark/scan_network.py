"""Measurements of the scan inside networks: its start, its share of SegMamba, and what it saves there."""

import time

import torch

from segmamba import networks
from segmamba.benchmark.jobs import NotMeasured
from segmamba.benchmark.oracles import plain_mixers, published_scan, reference_scan
from segmamba.benchmark.timing import in_turns, seconds
from segmamba.networks.mixer import Mamba


def start(what: str) -> dict:
    """Seconds that the first call takes more than the second, in a process that has imported torch and the package.

    Args:
        what: ``scan``: a scan's forward and backward; ``network``: those of a small SegMamba.
    """
    from segmamba.benchmark.scan_inputs import make_inputs
    from segmamba.benchmark.scan_speed import Scan

    if what == "scan":
        scan = Scan(make_inputs(32, 64), "auto")
        call = scan.both
    else:
        network = networks.build("segmamba", 1, 2, feat_size=[8, 8, 8, 8], hidden_size=8, depths=[1, 1, 1, 1])
        image = torch.randn(1, 1, 32, 32, 32)

        def call() -> None:
            network(image).sum().backward()

    first = seconds(call)
    return {"seconds": first - seconds(call)}


def share(size: int, options: dict, repeats: int) -> dict:
    """The mixers' part of SegMamba's forward on a cube of four channels."""
    network, image = _segmamba(size, options)
    spent, began, nested = 0.0, [], 0

    def before(*_) -> None:
        began.append(time.perf_counter())

    def after(*_) -> None:
        nonlocal spent, nested
        spent += time.perf_counter() - began.pop()
        nested += 1

    mixers = [module for module in network.modules() if isinstance(module, Mamba)]
    for module in mixers:
        module.register_forward_pre_hook(before)
        module.register_forward_hook(after)
    best = (float("inf"), 0.0)
    with torch.inference_mode():
        for turn in range(repeats + 1):
            spent, nested = 0.0, 0
            total = seconds(lambda: network(image))
            if nested != len(mixers):
                raise NotMeasured(f"{nested} of {len(mixers)} Mamba mixers were called as modules")
            if turn:
                best = min(best, (total, spent))
    return {"share": best[1] / best[0], "seconds": best[0], "mixers_seconds": best[1]}


def whole(size: int, options: dict, repeats: int) -> dict:
    """SegMamba's forward against the same network, the same weights, with mixers in plain torch and slow scans.

    Returns:
        ``published``: against the loop that materialises everything, as mamba_ssm's reference; ``ratio``: against our
        backend ``reference``; ``seconds``; ``difference`` of the maps, relative.
    """
    network, image = _segmamba(size, options)
    with torch.inference_mode():
        right = network(image)
        ours = in_turns({"ours": lambda: network(image)}, repeats, warm=False)["ours"]
        found = {"ours": ours}
        for name, scan in (("reference", reference_scan), ("published", published_scan)):
            with plain_mixers(network, scan):
                start_ = time.perf_counter()
                slow = network(image)
                found[name] = time.perf_counter() - start_
    difference = ((slow - right).norm() / right.norm()).item()
    ratios = {"published": found["published"] / ours, "ratio": found["reference"] / ours}
    return {**ratios, "seconds": found, "difference": difference}


def _segmamba(size: int, options: dict) -> tuple[torch.nn.Module, torch.Tensor]:
    torch.manual_seed(0)
    network = networks.build("segmamba", 4, 4, **options).eval()
    network = network.to(memory_format=torch.channels_last_3d)
    return network, torch.randn(1, 4, size, size, size).to(memory_format=torch.channels_last_3d)
