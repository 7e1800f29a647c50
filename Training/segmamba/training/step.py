"""One step of training: forward, backward, update, and the average that follows the weights."""

import torch
from torch import Tensor, nn

from segmamba.inference.window import autocast
from segmamba.training.losses import LossFunction
from segmamba.training.recipe import Recipe


def train_step(
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    loss_function: LossFunction,
    image: Tensor,
    target: Tensor,
    recipe: Recipe,
    device: str,
) -> tuple[float, bool]:
    """One forward, backward and update.

    Returns:
        The loss, and whether the weights were updated: a step whose loss or gradient is not finite changes nothing.
        (In fp16 that is how the scaler finds a scale that fits.)
    """
    image = image.to(device, non_blocking=True, memory_format=torch.channels_last_3d)
    target = target.to(device, non_blocking=True)
    with autocast(torch.device(device), recipe.train.precision):
        logits = network(image)
    loss = loss_function(logits, target)
    optimiser.zero_grad(set_to_none=True)
    scaler.scale(loss).backward()
    scaler.unscale_(optimiser)
    norm = nn.utils.clip_grad_norm_(network.parameters(), recipe.optimiser.clip)
    finite = bool(torch.isfinite(loss) & torch.isfinite(norm))
    if finite:
        scaler.step(optimiser)
    scaler.update()
    return float(loss.detach()), finite


@torch.no_grad()
def average(averaged: nn.Module, network: nn.Module, decay: float, step: int) -> None:
    """Moves the averaged weights towards the network's; the decay starts low, so that early weights are forgotten."""
    decay = min(decay, (1 + step) / (10 + step))
    torch._foreach_lerp_(list(averaged.parameters()), list(network.parameters()), 1 - decay)
    for mean, own in zip(averaged.buffers(), network.buffers(), strict=True):
        mean.copy_(own)
