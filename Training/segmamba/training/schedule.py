"""Optimiser and learning rate: a function of the step alone, so that a resumed run needs no state for it."""

import math

import torch
from torch import nn

from segmamba.training.recipe import Optimiser


def make_optimiser(network: nn.Module, choice: Optimiser) -> torch.optim.Optimizer:
    """AdamW or SGD with Nesterov momentum.

    Norms, biases and the state-space parameters A_log and D are not decayed, as in the Mamba paper's training: decay
    would pull A towards -1 and the skip D towards 0.
    """
    decayed, free = [], []
    for name, parameter in network.named_parameters():
        leaf = name.rpartition(".")[2]
        spared = parameter.ndim <= 1 or leaf.startswith(("A_", "D_")) or leaf == "D"
        (free if spared else decayed).append(parameter)
    groups = [{"params": decayed, "weight_decay": choice.weight_decay}, {"params": free, "weight_decay": 0.0}]
    if choice.kind == "sgd":
        return torch.optim.SGD(groups, lr=choice.lr, momentum=choice.momentum, nesterov=True)
    return torch.optim.AdamW(groups, lr=choice.lr)


def learning_rate(step: int, steps: int, choice: Optimiser) -> float:
    """The rate of ``step`` (0 to ``steps`` - 1): a linear rise, then poly or cosine decay to zero, or constant."""
    done = min(step / max(steps, 1), 1.0)
    if choice.schedule == "poly":
        factor = (1 - done) ** choice.poly_power
    elif choice.schedule == "cosine":
        factor = 0.5 * (1 + math.cos(math.pi * done))
    else:
        factor = 1.0
    return choice.lr * factor * min(1.0, (step + 1) / max(choice.warmup_steps, 1))
