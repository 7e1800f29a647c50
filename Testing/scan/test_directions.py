"""Several directions in one call, as groups, against one call each."""

import pytest
import torch

from segmamba.errors import UserError
from segmamba.scan import directions
from segmamba.scan.directions import scan_directions

NAMES = ("u", "delta", "A", "B", "C", "D", "delta_bias")


@pytest.fixture
def mixer_inputs(scan_inputs):
    """A function that gives the lists of arguments of three directions, channels last as in a mixer."""

    def make(count=3, **options):
        each = [scan_inputs(seed=seed, kind=torch.float32, **options) for seed in range(count)]
        for inputs in each:
            for name in ("u", "delta", "B", "C"):
                inputs[name] = inputs[name].transpose(-1, -2).contiguous().transpose(-1, -2).requires_grad_()
            for name in ("A", "D", "delta_bias"):
                inputs[name].requires_grad_()
        return [[inputs[name] for inputs in each] for name in NAMES]

    return make


def results(lists, **options):
    ys = scan_directions(*lists, delta_softplus=True, **options)
    loss = sum((y * (n + torch.arange(y.shape[2]).cos())).sum() for n, y in enumerate(ys))
    leaves = [value for values in lists if values is not None for value in values]
    return ys, torch.autograd.grad(loss, leaves)


@pytest.mark.parametrize("backend", ["chunked", "numba"])
@pytest.mark.parametrize(
    "options",
    [
        dict(batch=2, channels=20, length=37),
        dict(batch=1, channels=16, length=130, state=8),
        dict(batch=2, channels=12, length=21, groups=2),
        dict(count=1, channels=5, length=9),
    ],
    ids=["tails", "blocks", "groups within", "one direction"],
)
def test_one_call_and_several_give_the_same(mixer_inputs, relative_error, backend, options):
    lists = mixer_inputs(**options)
    one, one_grads = results(lists, backend=backend, grouped=True)
    several, several_grads = results(lists, backend=backend, grouped=False)
    assert len(one) == len(several) == options.get("count", 3)
    for together, alone, u in zip(one, several, lists[0], strict=True):
        assert together.shape == u.shape and relative_error(together, alone) < 1e-6
    for together, alone in zip(one_grads, several_grads, strict=True):
        assert together.shape == alone.shape and relative_error(together, alone) < 3e-6


@pytest.mark.parametrize("grouped", [True, False])
def test_what_is_left_out_is_left_out(mixer_inputs, relative_error, grouped):
    lists = mixer_inputs(channels=8, length=12)
    lists[5] = None
    ys = scan_directions(*lists[:6], None, True, backend="chunked", grouped=grouped)
    zeros = [torch.zeros(8) for _ in range(3)]
    right = scan_directions(*lists[:5], zeros, zeros, True, backend="reference")
    for y, expected in zip(ys, right, strict=True):
        assert relative_error(y, expected) < 1e-6


def calls(monkeypatch, lists, **options):
    """How many scans a call makes."""
    made = []
    scan = directions.selective_scan
    monkeypatch.setattr(directions, "selective_scan", lambda *args, **rest: made.append(1) or scan(*args, **rest))
    scan_directions(*lists, delta_softplus=True, **options)
    return len(made)


@pytest.mark.parametrize("gains", [True, False])
def test_the_backend_says_which_of_both_it_is(mixer_inputs, monkeypatch, gains):
    monkeypatch.setattr(directions, "gains_from_groups", lambda backend: gains if backend == "numba" else None)
    assert calls(monkeypatch, mixer_inputs(channels=4, length=5)) == (1 if gains else 3)


def test_the_processors_backends_run_direction_by_direction(mixer_inputs, monkeypatch):
    assert calls(monkeypatch, mixer_inputs(channels=4, length=5), backend="numba") == 3


def test_nothing_gives_nothing():
    assert scan_directions([], [], [], [], []) == []


def test_missing_tensors_are_named(mixer_inputs):
    lists = mixer_inputs(channels=4, length=5)
    with pytest.raises(ValueError, match="Cs has 2 tensors, us has 3"):
        scan_directions(*lists[:4], lists[4][:2], *lists[5:])


def test_directions_of_different_shapes_are_refused_in_one_call(mixer_inputs):
    lists = mixer_inputs(channels=4, length=5)
    lists[0][1] = torch.zeros(1, 4, 6)
    with pytest.raises(ValueError, match=r"us have shapes \(1, 4, 5\), \(1, 4, 6\); allowed is one shape"):
        scan_directions(*lists, grouped=True)


def test_an_unknown_backend_is_the_users_mistake(mixer_inputs):
    with pytest.raises(UserError, match="'fast' is not known"):
        scan_directions(*mixer_inputs(channels=4, length=5), backend="fast")
