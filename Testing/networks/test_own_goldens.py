"""Mixers and networks against goldens of our own, made when ours matched the papers' code (``make_goldens.py``)."""

import pytest
import torch
from golden import relative
from procedural import OWN, STRIDE, computed, filled, picture, read

from segmamba.networks import build, names
from segmamba.networks.mixer import Mamba

NETWORKS = (
    "segmamba",
    "segmamba_v1_paper",
    "segmamba_v1_published",
    "segresmamba_paper",
    "segresmamba_published",
    "segresmamba_called",
    "lightmunet",
)


def check(tensors, seen, right, right_seen):
    """Sampled values, then norm and product of every tensor."""
    for name, tensor in right.items():
        assert relative(tensors[name], tensor) < 1e-6, name
    assert seen.keys() == right_seen.keys()
    for name, (norm, product) in right_seen.items():
        assert seen[name][0] == pytest.approx(norm, rel=1e-8, abs=1e-10), name
        assert seen[name][1] == pytest.approx(product, abs=1e-8 * max(norm, 1e-2)), name


def network_of(meta):
    return build(meta["network"], meta["shape"][1], meta["out_channels"], **meta["options"])


def test_every_file_is_tested_and_every_network_has_one():
    assert {path.stem for path in OWN.iterdir()} == {"scan", "mixers", *NETWORKS}
    assert {read(name)[0]["network"] for name in NETWORKS} == set(names())
    assert sum(path.stat().st_size for path in OWN.iterdir()) < 500_000


@pytest.mark.parametrize("number", range(4))
def test_a_mixer_gives_the_same_output_and_gradients_in_float64(number):
    cases, tensors = read("mixers")
    assert len(cases) == 4 and {case["directions"] for case in cases} == {1, 2, 3}
    length, right_seen = cases[number].pop("length"), cases[number].pop("seen")
    got, seen = computed(Mamba(**cases[number]), (2, length, cases[number]["d_model"]))
    check(got, seen, {name: tensors[f"{number}/{name}"] for name in got}, right_seen)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_gives_the_same_output_and_gradients_in_float64(name):
    meta, tensors = read(name)
    check(*computed(network_of(meta), meta["shape"]), tensors, meta["seen"])


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_gives_the_same_output_in_float32(name):
    meta, tensors = read(name)
    with torch.inference_mode():
        output = filled(network_of(meta))(picture(meta["shape"]))
    assert output.shape == (meta["shape"][0], meta["out_channels"], *meta["shape"][2:])
    assert relative(output.flatten()[::STRIDE], tensors["output"]) < 1e-4
