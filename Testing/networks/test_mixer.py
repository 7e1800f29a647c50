"""The Mamba mixer: orders of the directions, shapes, initialisation."""

import pytest
import torch
import torch.nn.functional as F

from segmamba.networks.mixer import Mamba
from segmamba.scan.orders import inter_slice


def test_the_inter_slice_order_reads_across_the_slices():
    # new[i * k + s] = old[s * (L / k) + i]
    assert inter_slice(12, 3).index().tolist() == [0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11]


@pytest.mark.parametrize(("length", "nslices"), [(1, 8), (7, 3), (10, 4), (64, 64), (5, 8)])
def test_the_inter_slice_order_is_a_permutation_for_every_length(length, nslices):
    order, tokens = inter_slice(length, nslices), torch.arange(length).view(1, -1, 1)
    assert sorted(order.index().tolist()) == list(range(length))
    assert torch.equal(order.put_back(order.take(tokens)), tokens)


def test_time_steps_start_between_a_thousandth_and_a_tenth():
    mixer = Mamba(16, directions=3, nslices=4)
    for suffix in ("", "_b", "_s"):
        dt = F.softplus(getattr(mixer, f"dt_proj{suffix}").bias)
        assert float(dt.min()) > 0.9e-3
        assert float(dt.max()) < 0.11
        a = torch.exp(getattr(mixer, f"A{suffix}_log"))
        assert torch.allclose(a[0], torch.arange(1.0, 17.0))


def test_the_plain_mixer_is_causal():
    torch.manual_seed(0)
    mixer = Mamba(8).eval()
    x = torch.randn(1, 20, 8)
    changed = x.clone()
    changed[:, 12:] = 0
    with torch.inference_mode():
        assert torch.allclose(mixer(x)[:, :12], mixer(changed)[:, :12], atol=1e-6)


@pytest.mark.parametrize("wrong", [{"directions": 4}, {"directions": 3}, {"directions": 3, "nslices": 0}])
def test_wrong_directions_are_refused(wrong):
    with pytest.raises(ValueError, match=r"directions|nslices"):
        Mamba(8, **wrong)


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16], ids=str)
def test_a_sequence_fed_piece_by_piece_gives_the_same_tokens(kind):
    torch.manual_seed(1)
    mixer, h = Mamba(20).eval(), torch.randn(2, 300, 20)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=kind == torch.bfloat16):
        whole = mixer(h)
        advance = mixer.stream(h)
        pieces = [advance(h[:, first - min(first, 3) : first + 96], min(first, 3)) for first in range(0, 300, 96)]
    assert whole.dtype == kind
    assert torch.allclose(torch.cat(pieces, 1).float(), whole.float(), atol=1e-6 if kind == torch.float32 else 1e-2)


def test_what_cannot_be_fed_piece_by_piece_says_so():
    h = torch.randn(1, 40, 16)
    assert Mamba(16).stream(h) is None, "gradients are wanted"
    with torch.inference_mode():
        assert Mamba(16, directions=2).stream(h) is None
        assert Mamba(16).double().stream(h.double()) is None
        mixer = Mamba(16)
        mixer.backend = "chunked"
        assert mixer.stream(h) is None
