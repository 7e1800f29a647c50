"""Optimiser and learning rate: values of the schedules, and which parameters are not decayed."""

import math

import pytest
import torch

from segmamba import networks
from segmamba.training.recipe import Optimiser
from segmamba.training.schedule import learning_rate, make_optimiser


def test_poly_decays_from_the_rate_to_zero():
    choice = Optimiser(kind="sgd", lr=0.01, schedule="poly", warmup_steps=0)
    assert learning_rate(0, 1000, choice) == 0.01
    assert learning_rate(500, 1000, choice) == pytest.approx(0.01 * 0.5**0.9)
    assert learning_rate(999, 1000, choice) == pytest.approx(0.01 * 0.001**0.9)
    assert learning_rate(1000, 1000, choice) == 0


def test_cosine_is_half_way_down_at_half_time():
    choice = Optimiser(lr=0.2, schedule="cosine", warmup_steps=0)
    assert learning_rate(0, 100, choice) == 0.2
    assert learning_rate(25, 100, choice) == pytest.approx(0.1 * (1 + math.cos(math.pi / 4)))
    assert learning_rate(50, 100, choice) == pytest.approx(0.1)
    assert learning_rate(100, 100, choice) == pytest.approx(0, abs=1e-12)


def test_constant_stays():
    choice = Optimiser(lr=0.2, schedule="constant", warmup_steps=0)
    assert {learning_rate(n, 100, choice) for n in range(100)} == {0.2}


def test_the_warm_up_rises_linearly_and_then_leaves_the_rate_alone():
    choice = Optimiser(lr=1.0, schedule="constant", warmup_steps=4)
    assert [learning_rate(n, 100, choice) for n in range(6)] == [0.25, 0.5, 0.75, 1, 1, 1]


class Named(torch.nn.Module):
    """Parameters with the names of a mixer of three directions, and of what stands around it."""

    def __init__(self):
        super().__init__()
        self.norm, self.conv = torch.nn.LayerNorm(4), torch.nn.Conv3d(2, 2, 3)
        self.skip_scale = torch.nn.Parameter(torch.ones(1))
        for name in ("A_log", "A_b_log", "A_s_log"):
            self.register_parameter(name, torch.nn.Parameter(torch.ones(4, 2)))
        for name in ("D", "D_b", "D_s"):
            self.register_parameter(name, torch.nn.Parameter(torch.ones(4)))


def groups_by_name(network, choice):
    optimiser = make_optimiser(network, choice)
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    assert sum(len(group["params"]) for group in optimiser.param_groups) == len(names)
    return {names[id(p)]: group["weight_decay"] for group in optimiser.param_groups for p in group["params"]}


def test_norms_biases_scales_and_state_space_parameters_are_not_decayed():
    decay = groups_by_name(Named(), Optimiser(weight_decay=0.1))
    assert decay == {name: 0.1 if name == "conv.weight" else 0.0 for name in decay}


@pytest.mark.parametrize("name", networks.names())
def test_in_every_network_weights_are_decayed_and_a_log_and_d_are_not(name):
    decay = groups_by_name(networks.build(name, 1, 2), Optimiser(weight_decay=0.1))
    state_space = [key for key in decay if "A_" in key.rpartition(".")[2] or key.rpartition(".")[2][0] == "D"]
    assert state_space and not any(decay[key] for key in state_space)
    assert not any(value for key, value in decay.items() if key.endswith((".bias", "skip_scale")))
    assert all(value for key, value in decay.items() if key.endswith(("in_proj.weight", "out_proj.weight")))


def test_sgd_has_nesterov_momentum_and_adamw_the_recipes_rate():
    sgd = make_optimiser(Named(), Optimiser(kind="sgd", lr=0.3, momentum=0.9))
    assert isinstance(sgd, torch.optim.SGD)
    assert all(g["nesterov"] and g["momentum"] == 0.9 and g["lr"] == 0.3 for g in sgd.param_groups)
    assert isinstance(make_optimiser(Named(), Optimiser()), torch.optim.AdamW)
