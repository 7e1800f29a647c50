"""Measurements of the scan give their values, at sizes that say nothing of speed."""

import shutil

import pytest
import torch

from segmamba.benchmark import scan_network, scan_speed
from segmamba.benchmark.jobs import NotMeasured, measure
from segmamba.benchmark.machine import available_cores

SMALL = {"feat_size": [8, 8, 8, 8], "hidden_size": 8, "depths": [1, 1, 1, 1]}


@pytest.fixture(autouse=True)
def threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def check_ratios(values: dict, *keys: str) -> None:
    assert all(values[key] > 0 for key in keys)
    assert all(s > 0 for by_name in values["seconds"].values() for s in by_name.values())


def test_against_the_references():
    values = scan_speed.against_reference(16, 64, 1)
    check_ratios(values, "forward", "forward_published", "training", "training_published")
    assert set(values["seconds"]["forward"]) == {"ours", "reference", "published"}


@pytest.mark.skipif(shutil.which("g++") is None, reason="no g++")
def test_against_the_yardstick_which_computes_the_same():
    values = scan_speed.against_yardstick(32, 64, 1, None)
    check_ratios(values, "forward", "backward")
    assert values["difference"] < 1e-6


def test_over_threads():
    if available_cores() < 2:
        with pytest.raises(NotMeasured, match="one core"):
            scan_speed.over_threads(16, 64, 1)
    else:
        check_ratios(scan_speed.over_threads(16, 64, 1), "forward", "backward")


def test_over_zeros_and_backends():
    check_ratios(scan_speed.over_zeros(16, 64, 1), "forward", "backward")
    values = scan_speed.over_backends(16, 64, 1, "cpu")
    assert {"numba", "chunked", "reference"} <= set(values["seconds"]["forward"])
    assert values["forward"] == values["seconds"]["forward"]["chunked"] / values["seconds"]["forward"]["numba"]


def test_memory_is_told_in_units_of_the_output():
    # In a process of its own, as it is meant: memory that was used before and is free again would not be seen.
    values = measure("scan_memory:memory", {"channels": 32, "length": 65536, "device": "cpu"}, 1).values
    if values["inference"] is None:
        pytest.skip("this system has no high-water mark")
    assert values["inference"] == values["inference_bytes"] / (32 * 65536 * 4)
    assert values["inference"] < 0.5 and 0.2 < values["training"] < 2


def test_the_share_and_the_whole_of_a_small_network():
    values = scan_network.share(32, SMALL, 1)
    assert 0 < values["share"] < 1 and values["mixers_seconds"] < values["seconds"]
    values = scan_network.whole(16, SMALL, 1)
    assert values["ratio"] > 0 and values["published"] > 0 and values["difference"] < 1e-3


def test_the_start_of_a_scan_takes_time():
    assert isinstance(scan_network.start("scan")["seconds"], float)
