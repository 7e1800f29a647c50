"""The plain-torch fall-back's memory: a fixed amount for its blocks, and what grows is linear in the sequence."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from segmamba.scan.chunked import selective_scan_chunked

CHANNELS = 64


class _Largest(TorchDispatchMode):
    """The most numbers in any tensor that an operation returns."""

    def __init__(self):
        super().__init__()
        self.numbers = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else [result]:
            if isinstance(tensor, torch.Tensor):
                self.numbers = max(self.numbers, tensor.untyped_storage().nbytes() // tensor.itemsize)
        return result


def _run(inputs, train: bool):
    grouped = {name: value.unsqueeze(1) if name in "BC" else value for name, value in inputs.items()}
    if not train:
        with torch.no_grad():
            return [*selective_scan_chunked(**grouped, delta_softplus=True)]
    leaves = {name: value.detach().requires_grad_() for name, value in grouped.items()}
    out, last = selective_scan_chunked(**leaves, delta_softplus=True)
    # The sum's gradient is a single number, expanded.
    return [out, last, *torch.autograd.grad(out.sum() + last.sum(), list(leaves.values()))]


def _memory(inputs, train: bool) -> tuple[int, int]:
    """Bytes at the peak of a call, beyond its inputs; and how many of them are not its outputs and gradients."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        results = _run(inputs, train)
    held, peak = 0, 0
    for event in profile.profiler.kineto_results.events():
        if event.name() == "[memory]":
            held += event.nbytes()
            peak = max(peak, held)
    size = sum(tensor.numel() * tensor.itemsize for tensor in results)
    assert peak >= size
    return peak, peak - size


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("state", [16, 64])
def test_no_tensor_is_as_large_as_the_states_of_all_tokens(scan_inputs, state, train):
    inputs = scan_inputs(channels=CHANNELS, length=8192, state=state, kind=torch.float32)
    with _Largest() as largest:
        _run(inputs, train)
    assert inputs["u"].numel() <= largest.numbers <= max(inputs["u"].numel(), inputs["B"].numel())


@pytest.mark.parametrize("state", [16, 64])
def test_inference_takes_no_more_for_a_longer_sequence(scan_inputs, state):
    """But for the output itself."""
    once, twice = (
        _memory(scan_inputs(channels=CHANNELS, length=length, state=state, kind=torch.float32), train=False)[1]
        for length in (4096, 8192)
    )
    assert 0 < once < 2**21 and twice < 1.05 * once


def test_training_takes_less_than_another_input_whatever_the_number_of_states(scan_inputs):
    """What doubling the sequence adds to the peak, beyond outputs and gradients; and how much four times the states."""
    added, peaks = {}, {}
    for state in (16, 64):
        (peak, once), (peaks[state], twice) = (
            _memory(scan_inputs(channels=CHANNELS, length=length, state=state, kind=torch.float32), train=True)
            for length in (8192, 16384)
        )
        assert 0 < peaks[state] <= 2 * peak
        added[state] = (twice - once) / (CHANNELS * 8192 * 4)
    assert 0 < added[16] < 0.6 and 0 < added[64] < 1.2
    assert peaks[64] < 2 * peaks[16]
