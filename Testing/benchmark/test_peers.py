"""The networks of the comparison have the sizes that papers give for them."""

import pytest

from segmamba.benchmark import published
from segmamba.benchmark.counting import count
from segmamba.benchmark.peers import NAMES, NETWORKS, find, nnunet
from segmamba.network_names import NAMES as OURS


@pytest.mark.parametrize(("name", "title"), [("unetr", "UNETR"), ("swinunetr", "SwinUNETR"), ("dynunet", "nnU-Net")])
def test_parameters_are_those_of_the_published_table(name, title):
    pytest.importorskip("einops")
    (wanted,) = (parameters for network, parameters, _ in published.TABLE_96 if network == title)
    parameters = sum(p.numel() for p in find(name).build(1, 14, 96).parameters())
    assert parameters / 1e6 == pytest.approx(wanted, abs=0.051)


def test_nnunets_2d_network_halves_a_patch_of_512_down_to_4():
    counts = count(nnunet(2, 1, 2), 1, (512, 512))
    assert counts.parameters / 1e6 == pytest.approx(46.3, abs=0.1) and counts.scan_elements == 0


def test_every_network_of_ours_is_among_them():
    ours = {network.name.removesuffix("_published") for network in NETWORKS if network.ours}
    assert ours == set(OURS) and len(set(NAMES)) == len(NAMES)
