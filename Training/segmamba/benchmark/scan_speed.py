"""Measurements of the scan's speed; each function runs in a process of its own and returns plain values."""

import torch
from torch import Tensor

from segmamba.benchmark.jobs import NotMeasured
from segmamba.benchmark.machine import available_cores
from segmamba.benchmark.oracles import materialised_scan
from segmamba.benchmark.scan_inputs import leaves_of, make_inputs
from segmamba.benchmark.timing import in_turns
from segmamba.benchmark.yardstick import Yardstick
from segmamba.scan import available_backends, chosen_backend, selective_scan


class Scan:
    """One backend on one problem: its calls, as a caller of ``selective_scan`` has them.

    Args:
        inputs: Arguments by name.
        backend: A backend's name, or a function of the same arguments.
    """

    def __init__(self, inputs: dict[str, Tensor], backend):
        self._inputs, self._leaves = inputs, leaves_of(inputs)
        self._function = backend if callable(backend) else None
        self._backend = None if callable(backend) else backend
        self._dout = torch.ones_like(inputs["u"])
        self._out: Tensor | None = None

    def _run(self, values: dict[str, Tensor]) -> Tensor:
        if self._function is not None:
            return self._function(**values)
        return selective_scan(**values, delta_softplus=True, backend=self._backend)

    def forward(self) -> Tensor:
        """Without gradients."""
        with torch.inference_mode():
            return self._run(self._inputs)

    def begin(self) -> None:
        """A forward with gradients; ``backward`` goes on from it."""
        self._out = self._run(self._leaves)

    def backward(self) -> tuple[Tensor, ...]:
        """Gradients of every argument."""
        out, self._out = self._out, None
        return torch.autograd.grad(out, list(self._leaves.values()), self._dout)

    def both(self) -> tuple[Tensor, ...]:
        """Forward with gradients, and backward."""
        self.begin()
        return self.backward()


def _published(unbind: bool):
    def run(u, delta, A, B, C, D, z, delta_bias):
        return materialised_scan(u, delta, A, B, C, D, z, delta_bias, unbind)

    return run


def against_reference(channels: int, length: int, repeats: int) -> dict:
    """The best backend against the definition, and against a reference that materialises everything, as mamba_ssm's.

    Every one has the memory layout that suits it.
    """
    best = Scan(make_inputs(channels, length), chosen_backend("cpu"))
    plain = make_inputs(channels, length, layout="first")
    definition = Scan(plain, "reference")
    calls = {"ours": best.forward, "reference": definition.forward, "published": Scan(plain, _published(False)).forward}
    forward = in_turns(calls, repeats)
    calls = {"ours": best.both, "reference": definition.both, "published": Scan(plain, _published(True)).both}
    training = in_turns(calls, min(repeats, 3))
    return {
        "forward": forward["reference"] / forward["ours"],
        "forward_published": forward["published"] / forward["ours"],
        "training": training["reference"] / training["ours"],
        "training_published": training["published"] / training["ours"],
        "seconds": {"forward": forward, "training": training},
    }


def against_yardstick(channels: int, length: int, repeats: int, library: str | None) -> dict:
    """The best backend against C++, forward and backward.

    The C++ writes into memory that it was given before; ours allocates its results, as whoever calls it has it.
    """
    threads = torch.get_num_threads()
    inputs = make_inputs(channels, length)
    yardstick, ours = Yardstick(inputs, library), Scan(inputs, chosen_backend("cpu"))
    dout = torch.ones(1, length, channels)
    forward = in_turns({"ours": ours.forward, "yardstick": lambda: yardstick.forward(threads)}, repeats)
    difference = (ours.forward().transpose(1, 2) - yardstick.out).norm() / yardstick.out.norm()
    yardstick.forward(threads, keep=True)
    calls = {"ours": ours.backward, "yardstick": lambda: yardstick.backward(dout, threads)}
    backward = in_turns(calls, repeats, prepare={"ours": ours.begin})
    return {
        "forward": forward["yardstick"] / forward["ours"],
        "backward": backward["yardstick"] / backward["ours"],
        "difference": difference.item(),
        "seconds": {"forward": forward, "backward": backward},
    }


def over_threads(channels: int, length: int, repeats: int) -> dict:
    """One thread against two, forward and backward."""
    if available_cores() < 2:
        raise NotMeasured("this process has one core")
    scan = Scan(make_inputs(channels, length), chosen_backend("cpu"))

    def begin(threads: int):
        def run() -> None:
            scan.begin()
            torch.set_num_threads(threads)

        return run

    prepare = {"one": lambda: torch.set_num_threads(1), "two": lambda: torch.set_num_threads(2)}
    forward = in_turns({"one": scan.forward, "two": scan.forward}, repeats, prepare=prepare)
    prepare = {"one": begin(1), "two": begin(2)}
    backward = in_turns({"one": scan.backward, "two": scan.backward}, repeats, prepare=prepare)
    return {
        "forward": forward["one"] / forward["two"],
        "backward": backward["one"] / backward["two"],
        "seconds": {"forward": forward, "backward": backward},
    }


def over_zeros(channels: int, length: int, repeats: int) -> dict:
    """Time on padding against time on an image: states, and in the backward their adjoints, fade to nothing."""
    backend = chosen_backend("cpu")
    normal = make_inputs(channels, length)
    padded = {**normal, "u": normal["u"].clone(memory_format=torch.preserve_format)}
    padded["u"][:, :, length // 16 :] = 0
    with_image, with_zeros = Scan(normal, backend), Scan(padded, backend)
    # The adjoint runs from the end to the beginning: where the loss sees only the end, it fades before that.
    with_zeros._dout[:, :, : length - length // 16] = 0
    forward = in_turns({"image": with_image.forward, "zeros": with_zeros.forward}, repeats)
    calls = {"image": with_image.backward, "zeros": with_zeros.backward}
    prepare = {"image": with_image.begin, "zeros": with_zeros.begin}
    backward = in_turns(calls, repeats, prepare=prepare)
    return {
        "forward": forward["zeros"] / forward["image"],
        "backward": backward["zeros"] / backward["image"],
        "seconds": {"forward": forward, "backward": backward},
    }


def over_backends(channels: int, length: int, repeats: int, device: str) -> dict:
    """Every backend that works on the device, in turns."""
    names = available_backends(device)
    scans = {name: Scan(make_inputs(channels, length, device), name) for name in names}
    forward = in_turns({name: scan.forward for name, scan in scans.items()}, repeats, device)
    training = in_turns({name: scan.both for name, scan in scans.items()}, min(repeats, 3), device)
    values = {"seconds": {"forward": forward, "training": training}}
    if "numba" in names and "chunked" in names:
        values["forward"] = forward["chunked"] / forward["numba"]
        values["training"] = training["chunked"] / training["numba"]
    return values
