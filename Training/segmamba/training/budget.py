"""How many epochs fit into the hours that a recipe gives: measured with real steps and a real case."""

import copy
import time

import torch
from torch import nn

from segmamba.bundle import Metadata
from segmamba.data.datasets import Case, Dataset
from segmamba.training.losses import LossFunction
from segmamba.training.recipe import Recipe
from segmamba.training.samples import Samples
from segmamba.training.schedule import make_optimiser
from segmamba.training.step import train_step
from segmamba.training.validation import validate

_STEPS = 6
_WARM_UP = 2  # the first steps compile and allocate
_USED = 0.95  # of the hours; the rest is for checkpoints and a machine that is not always equally fast


def measure_step(
    network: nn.Module, samples: Samples, recipe: Recipe, loss_function: LossFunction, device: str
) -> float:
    """Seconds of a real step, sample preparation included, on a copy of the network: the median of several."""
    trial = copy.deepcopy(network).train()
    optimiser = make_optimiser(trial, recipe.optimiser)
    scaler = torch.amp.GradScaler(torch.device(device).type, enabled=recipe.train.precision == "fp16")
    loader = iter(
        torch.utils.data.DataLoader(
            samples,
            batch_size=recipe.train.batch,
            sampler=[n % len(samples) for n in range(_STEPS * recipe.train.batch)],
        )
    )
    times = []
    for _ in range(_STEPS):
        began = time.perf_counter()
        train_step(trial, optimiser, scaler, loss_function, *next(loader), recipe, device)
        times.append(time.perf_counter() - began)
    times = sorted(times[_WARM_UP:])
    return times[len(times) // 2]


def measure_case(
    network: nn.Module, metadata: Metadata, dataset: Dataset, case: Case, recipe: Recipe, device: str
) -> float:
    """Seconds that validating one case takes."""
    began = time.perf_counter()
    validate(
        network,
        metadata,
        dataset,
        [case],
        device=device,
        precision=recipe.train.precision,
        overlap_fraction=recipe.validation.overlap,
    )
    return time.perf_counter() - began


def epochs_for(seconds: float, step: float, case: float, cases: int, recipe: Recipe) -> int:
    """Whole epochs that fit, at least one.

    Args:
        seconds: There are.
        step: Seconds of a step.
        case: Seconds of validating a case.
        cases: Validation cases of the fold; the end validates all of them, the epochs between some.
        recipe: Steps an epoch, and how often and how much is validated.
    """
    some = min(cases, recipe.validation.cases or cases)
    epoch = step * recipe.train.steps_per_epoch + case * some / recipe.validation.every
    return max(1, int((seconds * _USED - case * cases) / epoch))
