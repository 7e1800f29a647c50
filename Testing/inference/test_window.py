"""The sliding window equals MONAI's, and streams."""

import gc
import os

import numpy as np
import pytest
import torch
from monai.inferers import sliding_window_inference
from torch import nn

from segmamba.inference import window
from segmamba.inference.window import importance, plan, slide


class Net(nn.Module):
    """Deep enough that every voxel's result depends on where its window lies."""

    def __init__(self, channels: int, classes: int):
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.one = nn.Conv3d(channels, 6, 3, padding=1)
        self.two = nn.Conv3d(6, classes, 3, padding=1)
        for parameter in self.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.4

    def forward(self, x):
        return self.two(torch.tanh(self.one(x) - x.mean(dim=(1, 2, 3, 4), keepdim=True)))


class Gather:
    """Consumer that keeps everything, reading each plane as soon and as late as it may."""

    def __init__(self, size, classes):
        self.maps = torch.zeros((*size, classes))
        self.ends = []

    def ready(self, maps, end):
        first = self.ends[-1] if self.ends else 0
        if first:
            again = maps.read(first - 1, 0, self.maps.shape[1])
            torch.testing.assert_close(again, self.maps[first - 1], rtol=0, atol=0)
        for plane in range(first, end):
            middle = self.maps.shape[1] // 2
            self.maps[plane, :middle] = maps.read(plane, 0, middle)
            self.maps[plane, middle:] = maps.read(plane, middle, self.maps.shape[1])
        self.ends.append(end)


def volume(channels, size, seed=0):
    return np.random.default_rng(seed).normal(size=(channels, *size)).astype(np.float32)


CASES = [
    ((40, 36, 31), (16, 16, 16), 0.5),
    ((33, 20, 47), (16, 12, 20), 0.25),
    ((30, 30, 30), (16, 16, 16), 0.0),
    ((24, 40, 17), (32, 16, 24), 0.5),  # patch deeper and wider than the image
    ((13, 11, 12), (20, 16, 17), 0.5),  # one window holds all
    ((16, 40, 16), (16, 16, 16), 0.7),
    ((50, 9, 9), (8, 9, 9), 0.6),
]


@pytest.mark.parametrize("share", [0.0, 100.0], ids=["file", "memory"])
@pytest.mark.parametrize(("size", "patch", "overlap"), CASES)
def test_blended_probabilities_equal_monai(size, patch, overlap, share, monkeypatch):
    monkeypatch.setattr(window, "RING_SHARE", share)
    network, array = Net(2, 4).eval(), volume(2, size)
    with torch.inference_mode():
        expected = sliding_window_inference(
            torch.from_numpy(array)[None], patch, 2, lambda x: network(x).softmax(1), overlap, mode="gaussian"
        )[0].movedim(0, -1)
    gather = Gather(size, 4)
    slide(network, array, patch, 4, gather, overlap=overlap, batch=3)
    torch.testing.assert_close(gather.maps, expected, rtol=1e-5, atol=1e-6)


def test_regions_are_blended_sigmoids_as_in_monai():
    network, array = Net(1, 3).eval(), volume(1, (30, 28, 26))
    with torch.inference_mode():
        expected = sliding_window_inference(
            torch.from_numpy(array)[None], (16, 16, 16), 1, lambda x: network(x).sigmoid(), 0.5, mode="gaussian"
        )[0].movedim(0, -1)
    gather = Gather((30, 28, 26), 3)
    slide(network, array, (16, 16, 16), 3, gather, regions=True)
    torch.testing.assert_close(gather.maps, expected, rtol=1e-5, atol=1e-6)


def test_mirroring_is_the_mean_over_every_combination_of_axes():
    network, array = Net(1, 2).eval(), volume(1, (12, 14, 10))
    x = torch.from_numpy(array)[None]
    with torch.inference_mode():
        runs = [network(x.flip(axes)).softmax(1).flip(axes) for axes in [(), (2,), (4,), (2, 4)]]
    gather = Gather((12, 14, 10), 2)
    slide(network, array, (12, 14, 10), 2, gather, mirror=(0, 2))
    torch.testing.assert_close(gather.maps, torch.stack(runs).mean(0)[0].movedim(0, -1), rtol=1e-5, atol=1e-6)


def test_the_importance_map_is_monais():
    from monai.data.utils import compute_importance_map

    for patch in [(16, 16, 16), (5, 12, 33), (1, 2, 3)]:
        expected = compute_importance_map(patch, mode="gaussian", sigma_scale=0.125)
        torch.testing.assert_close(importance(patch), expected, rtol=1e-6, atol=0)


def test_windows_lie_where_monai_puts_them():
    from monai.data.utils import dense_patch_slices

    for size, patch, overlap in CASES:
        layout = plan(size, patch, overlap)
        steps = [
            full if full == length else max(1, int(length * (1 - overlap)))
            for full, length in zip(layout.padded, patch, strict=True)
        ]
        slices = dense_patch_slices(layout.padded, patch, steps)
        assert sorted({s[0].start for s in slices}) == list(layout.starts[0])
        assert layout.count == len(slices)


def test_planes_are_handed_on_as_soon_as_no_window_can_touch_them():
    gather = Gather((40, 16, 16), 2)
    slide(Net(1, 2).eval(), volume(1, (40, 16, 16)), (16, 16, 16), 2, gather, overlap=0.5)
    assert gather.ends == [8, 16, 24, 40]


def test_empty_windows_count_as_background_without_being_run():
    array = np.zeros((1, 64, 16, 16), dtype=np.float32)
    array[:, 40:] = volume(1, (24, 16, 16))
    calls = []

    class Counting(Net):
        def forward(self, x):
            calls.append(len(x))
            return super().forward(x)

    network = Counting(1, 3).eval()
    skipping, running = Gather((64, 16, 16), 3), Gather((64, 16, 16), 3)
    slide(network, array, (16, 16, 16), 3, skipping, skip_empty=True)
    assert sum(calls) == 3
    slide(network, array, (16, 16, 16), 3, running)
    torch.testing.assert_close(skipping.maps[40:], running.maps[40:])
    assert torch.all(skipping.maps[:32] == torch.tensor([1.0, 0, 0]))


def test_half_precision_stays_close_to_single():
    network, array = Net(1, 2).eval(), volume(1, (20, 20, 20))
    results = []
    for precision in ("fp32", "bf16"):
        gather = Gather((20, 20, 20), 2)
        slide(network, array, (16, 16, 16), 2, gather, precision=precision)
        results.append(gather.maps)
    assert 0 < (results[0] - results[1]).abs().max() < 0.1


def test_progress_rises_to_one_and_cancelling_leaves_nothing_open(monkeypatch):
    monkeypatch.setattr(window, "RING_SHARE", 0.0)
    seen = []
    array, network = volume(1, (30, 30, 30)), Net(1, 2).eval()
    slide(network, array, (16, 16, 16), 2, Gather((30, 30, 30), 2), progress=lambda f, m: seen.append(f))
    assert seen == sorted(seen) and seen[0] == 0 and seen[-1] == 1 and len(seen) == 28

    class Stop(Exception):
        pass

    def cancel(fraction, message):
        if fraction > 0.5:
            raise Stop

    before = set(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else set()
    with pytest.raises(Stop):
        slide(network, array, (16, 16, 16), 2, Gather((30, 30, 30), 2), progress=cancel)
    gc.collect()
    after = set(os.listdir("/proc/self/fd")) if before else set()
    assert len(after) <= len(before)


def test_a_network_with_other_channels_than_expected_is_refused():
    with pytest.raises(ValueError, match="gives 2 channels; 5"):
        slide(Net(1, 2).eval(), volume(1, (8, 8, 8)), (8, 8, 8), 5, Gather((8, 8, 8), 5))
