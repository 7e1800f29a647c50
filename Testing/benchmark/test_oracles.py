"""The plain scan and the plain mixer are the same as the package's."""

import pytest
import torch

from segmamba import networks
from segmamba.benchmark.oracles import materialised_scan, plain_mixer, plain_mixers, reference_scan
from segmamba.benchmark.scan_inputs import leaves_of, make_inputs
from segmamba.networks.mixer import Mamba
from segmamba.scan import selective_scan


@pytest.mark.parametrize("unbind", [False, True])
def test_the_materialised_scan_is_the_definition(unbind, relative_error):
    inputs = {name: value.double() for name, value in make_inputs(6, 21).items()}
    mine, right = leaves_of(inputs), leaves_of(inputs)
    got = materialised_scan(**mine, unbind=unbind)
    wanted = selective_scan(**right, delta_softplus=True, backend="reference")
    assert relative_error(got, wanted) < 1e-12
    weight = torch.randn_like(got)
    for a, b in zip(
        torch.autograd.grad((got * weight).sum(), list(mine.values())),
        torch.autograd.grad((wanted * weight).sum(), list(right.values())),
        strict=True,
    ):
        assert relative_error(a, b) < 1e-11


@pytest.mark.parametrize(("directions", "nslices"), [(1, None), (2, None), (3, 4), (3, 5)])
def test_the_plain_mixer_is_the_mixer(directions, nslices, relative_error):
    torch.manual_seed(0)
    mixer = Mamba(16, directions=directions, nslices=nslices)
    tokens = torch.randn(2, 36, 16)
    with torch.no_grad():
        assert relative_error(plain_mixer(mixer, tokens, reference_scan), mixer(tokens)) < 1e-5


def test_a_network_of_plain_mixers_computes_the_same_and_is_itself_again_afterwards(relative_error):
    torch.manual_seed(0)
    network = networks.build("segmamba", 1, 2, feat_size=[8, 8, 8, 8], hidden_size=8, depths=[1, 1, 1, 1]).eval()
    image = torch.randn(1, 1, 32, 32, 32)
    with torch.no_grad():
        right = network(image)
        with plain_mixers(network, reference_scan) as called:
            got = network(image)
        assert len(called) == 4 and relative_error(got, right) < 1e-4
        assert torch.equal(network(image), right) and len(called) == 4


def test_both_layouts_hold_the_same_numbers():
    last, first = make_inputs(5, 7), make_inputs(5, 7, layout="first")
    assert all(torch.equal(last[name], first[name]) for name in last)
    assert last["u"].stride(1) == 1 and first["u"].stride(2) == 1
