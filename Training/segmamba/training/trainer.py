"""The training loop, from the data set to the last checkpoint and its validation."""

import contextlib
import copy
import dataclasses
import json
import logging
import math
import os
import time
from pathlib import Path

import msgspec
import torch
from torch import Tensor, nn
from tqdm import tqdm

from segmamba import networks
from segmamba.bundle import Metadata
from segmamba.data.datasets import Case, Dataset
from segmamba.data.splits import Fold
from segmamba.errors import UserError
from segmamba.evaluation.metrics import mean_dice
from segmamba.inference.devices import resolve_precision
from segmamba.inference.window import autocast
from segmamba.training import run as runs
from segmamba.training.augmentation import Augmenter, mirror_axes
from segmamba.training.checkpoint import load_checkpoint, random_state, save_checkpoint, set_random_state
from segmamba.training.journal import Journal
from segmamba.training.losses import LossFunction, make_loss
from segmamba.training.memory import peak_memory_mb
from segmamba.training.plan import make_metadata
from segmamba.training.recipe import Recipe
from segmamba.training.samples import Samples, prepare_cases
from segmamba.training.schedule import learning_rate, make_optimiser
from segmamba.training.validation import validate

log = logging.getLogger(__name__)

CHECKPOINT = "checkpoint.pt"
SUMMARY = "summary.json"
_MEASURED_STEPS = 6  # to turn hours into epochs; the first ones, which compile and allocate, do not count
_RESERVED = 0.85  # of the hours is for steps, the rest for validation and writing


def train(
    dataset: Dataset,
    fold: Fold,
    folder: Path,
    recipe: Recipe,
    *,
    fold_name: str = "0",
    device: str = "cpu",
    resume: str | None = None,
    bar: bool = False,
) -> dict:
    """Trains one fold and validates it.

    Args:
        dataset: The data set.
        fold: Its training and validation cases.
        folder: The run's folder; it receives run.json, log.jsonl, progress.png, checkpoint.pt and summary.json.
        recipe: Every choice; values left open are decided here and written to run.json.
        fold_name: Name of the fold in the log.
        device: Torch device.
        resume: None, ``"must"`` or ``"auto"``, see :func:`segmamba.training.run.start_or_resume`.
        bar: Whether to show progress bars on standard error.

    Returns:
        The content of summary.json: validation Dice per label, its mean, counts and times.

    Raises:
        UserError: For mistakes in the data set, the recipe or the folder.
    """
    if recipe.train.threads is not None:
        torch.set_num_threads(recipe.train.threads)
    going_on = runs.start_or_resume(folder, resume)
    by_name = {case.name: case for case in dataset.cases}
    train_cases, val_cases = [by_name[name] for name in fold.train], [by_name[name] for name in fold.val]

    if going_on:
        begun = runs.read_run(folder)
        runs.check_same(folder, begun, recipe, fold)
        asked, recipe, metadata = recipe, begun["recipe"], begun["metadata"]
    else:
        asked = recipe
        metadata = make_metadata(dataset, list(fold.train), recipe)
        axes = mirror_axes(recipe.augmentation, [label.name for label in metadata.labels], metadata.orientation)
        metadata = dataclasses.replace(metadata, training={"mirror_axes": list(axes)})
        precision = resolve_precision(recipe.train.precision, torch.device(device))
        recipe = msgspec.structs.replace(recipe, train=msgspec.structs.replace(recipe.train, precision=precision))
    prepare_cases(dataset, train_cases, metadata, folder / "prepared", bar)

    torch.manual_seed(recipe.seed)
    network = networks.build(
        metadata.network, in_channels=len(metadata.channels), out_channels=metadata.output_channels, **metadata.options
    )
    network.to(device, memory_format=torch.channels_last_3d)
    loss_function = make_loss(recipe.loss.kind, metadata.regions)

    def samples(epochs: int) -> Samples:
        axes = tuple(metadata.training["mirror_axes"])
        length = epochs * recipe.train.steps_per_epoch * recipe.train.batch
        augmenter = Augmenter(recipe.augmentation, axes, metadata.patch)
        return Samples(
            folder / "prepared", list(fold.train), metadata, augmenter, recipe.data.foreground, recipe.seed, length
        )

    if not going_on:
        if recipe.train.epochs is None:
            epochs = 100
            if recipe.train.hours is not None:
                seconds = measure_step(network, samples(1), recipe, loss_function, device)
                epochs = epochs_for(recipe.train.hours, seconds, recipe.train.steps_per_epoch)
                log.info("%.2f s a step: %d epochs fit into %g hours", seconds, epochs, recipe.train.hours)
            recipe = msgspec.structs.replace(recipe, train=msgspec.structs.replace(recipe.train, epochs=epochs))
        runs.write_run(folder, dataset, fold, fold_name, asked, recipe, metadata)

    epochs, per_epoch = recipe.train.epochs, recipe.train.steps_per_epoch
    steps = epochs * per_epoch
    averaged = copy.deepcopy(network).eval().requires_grad_(False)
    optimiser = make_optimiser(network, recipe.optimiser)
    scaler = torch.amp.GradScaler(torch.device(device).type, enabled=recipe.train.precision == "fp16")
    journal = Journal(folder)
    epoch, spent = 0, 0.0
    if going_on and (folder / CHECKPOINT).is_file():
        state = load_checkpoint(folder / CHECKPOINT)
        network.load_state_dict(state["network"])
        averaged.load_state_dict(state["averaged"])
        optimiser.load_state_dict(state["optimiser"])
        scaler.load_state_dict(state["scaler"])
        set_random_state(state["random"], torch.device(device))
        epoch, spent = state["epoch"], state["seconds"]
        log.info("going on after epoch %d of %d", epoch, epochs)
    journal.cut(epoch)

    loader = torch.utils.data.DataLoader(
        samples(epochs),
        batch_size=recipe.train.batch,
        sampler=range(epoch * per_epoch * recipe.train.batch, steps * recipe.train.batch),
        num_workers=recipe.train.workers,
        persistent_workers=recipe.train.workers > 0,
        pin_memory=device.startswith("cuda"),
    )
    batches = iter(loader)
    while epoch < epochs:
        began = time.perf_counter()
        network.train()
        losses, skipped = [], 0
        for step in tqdm(
            range(epoch * per_epoch, (epoch + 1) * per_epoch),
            desc=f"epoch {epoch + 1}/{epochs}",
            unit="step",
            leave=False,
            disable=not bar,
        ):
            image, target = next(batches)
            for group in optimiser.param_groups:
                group["lr"] = learning_rate(step, steps, recipe.optimiser)
            loss = train_step(network, optimiser, scaler, loss_function, image, target, recipe, device)
            if math.isfinite(loss):
                losses.append(loss)
                average(averaged, network, recipe.train.ema, step)
            else:
                skipped += 1
        epoch += 1
        seconds = time.perf_counter() - began
        spent += seconds
        if not losses:
            raise UserError(
                f"{folder}: every step of epoch {epoch} gave a loss that is not finite; lower optimiser.lr or use "
                "train.precision=fp32"
            )
        if skipped:
            log.warning("epoch %d: %d steps skipped, their loss or gradient was not finite", epoch, skipped)
        row = {
            "epoch": epoch,
            "step": epoch * per_epoch,
            "loss": round(sum(losses) / len(losses), 6),
            "lr": learning_rate(epoch * per_epoch - 1, steps, recipe.optimiser),
            "seconds": round(seconds, 3),
            "samples_per_second": round(per_epoch * recipe.train.batch / seconds, 3),
            "peak_memory_mb": peak_memory_mb(device),
            "skipped": skipped,
        }
        if epoch % recipe.validation.every == 0 and epoch < epochs:
            some = spread(val_cases, recipe.validation.cases)
            row["dice"] = measured_dice(averaged, metadata, dataset, some, recipe, device)
        save_checkpoint(
            folder / CHECKPOINT,
            {
                "epoch": epoch,
                "seconds": spent,
                "network": network.state_dict(),
                "averaged": averaged.state_dict(),
                "optimiser": optimiser.state_dict(),
                "scaler": scaler.state_dict(),
                "random": random_state(torch.device(device)),
            },
        )
        journal.add(row)
        if "dice" in row or epoch == epochs:
            journal.draw()
        log.info(
            "epoch %d/%d  loss %.4f  %.1f s%s", epoch, epochs, row["loss"], seconds, _dice_text(row.get("dice", {}))
        )
    return finish(folder, averaged, metadata, dataset, val_cases, recipe, fold_name, device, spent)


def train_step(
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    loss_function: LossFunction,
    image: Tensor,
    target: Tensor,
    recipe: Recipe,
    device: str,
) -> float:
    """One forward, backward and update; returns the loss, NaN where the step was skipped for not being finite."""
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
    return float(loss.detach()) if finite else math.nan


@torch.no_grad()
def average(averaged: nn.Module, network: nn.Module, decay: float, step: int) -> None:
    """Moves the averaged weights towards the network's; the decay starts low, so that early weights are forgotten."""
    decay = min(decay, (1 + step) / (10 + step))
    torch._foreach_lerp_(list(averaged.parameters()), list(network.parameters()), 1 - decay)


def measure_step(
    network: nn.Module, samples: Samples, recipe: Recipe, loss_function: LossFunction, device: str
) -> float:
    """Seconds of a real step, sample preparation included, on a copy of the network: the fastest of several."""
    trial = copy.deepcopy(network).train()
    optimiser = make_optimiser(trial, recipe.optimiser)
    scaler = torch.amp.GradScaler(torch.device(device).type, enabled=recipe.train.precision == "fp16")
    loader = iter(
        torch.utils.data.DataLoader(
            samples,
            batch_size=recipe.train.batch,
            sampler=[n % len(samples) for n in range(_MEASURED_STEPS * recipe.train.batch)],
        )
    )
    times = []
    for _ in range(_MEASURED_STEPS):
        began = time.perf_counter()
        train_step(trial, optimiser, scaler, loss_function, *next(loader), recipe, device)
        times.append(time.perf_counter() - began)
    return sorted(times[2:])[len(times[2:]) // 2]


def epochs_for(hours: float, seconds_a_step: float, steps_per_epoch: int) -> int:
    """Whole epochs that fit into ``hours``, at least one."""
    return max(1, int(hours * 3600 * _RESERVED / (seconds_a_step * steps_per_epoch)))


def spread(cases: list[Case], count: int | None) -> list[Case]:
    """``count`` cases evenly spread over the list; all where it is None or larger."""
    if count is None or count >= len(cases):
        return cases
    return [cases[n * len(cases) // count] for n in range(count)]


def measured_dice(network, metadata: Metadata, dataset: Dataset, cases, recipe: Recipe, device: str) -> dict:
    """Mean Dice per label, rounded for the log."""
    results = validate(
        network,
        metadata,
        dataset,
        cases,
        device=device,
        precision=recipe.train.precision,
        overlap_fraction=recipe.validation.overlap,
    )
    return {name: None if dice is None else round(dice, 4) for name, dice in mean_dice(results).items()}


def finish(folder, network, metadata, dataset, cases, recipe, fold_name, device, seconds) -> dict:
    """Validates every case of the fold with the averaged weights and writes summary.json."""
    with contextlib.suppress(FileNotFoundError):
        return json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
    log.info("validating %d cases", len(cases))
    results = validate(
        network,
        metadata,
        dataset,
        cases,
        device=device,
        precision="fp32",
        overlap_fraction=recipe.validation.overlap,
    )
    dice = mean_dice(results)
    known = [value for value in dice.values() if value is not None]
    summary = {
        "fold": fold_name,
        "cases": len(cases),
        "dice": dice,
        "mean_dice": sum(known) / len(known) if known else None,
        "how": (
            f"mean over {len(cases)} validation cases of fold {fold_name} of the Dice per label on each case's own grid, "
            "cases where a label is empty in both left out; averaged weights of the last epoch, no mirroring, "
            f"overlap {recipe.validation.overlap:g}, fp32"
        ),
        "training_seconds": round(seconds, 1),
        "epochs": recipe.train.epochs,
        "per_case": {
            case.name: {name: counts.dice for name, counts in result.items()}
            for case, result in zip(cases, results, strict=True)
        },
    }
    temporary = folder / (SUMMARY + ".tmp")
    temporary.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    os.replace(temporary, folder / SUMMARY)
    log.info("validation Dice%s", _dice_text(dice))
    return summary


def _dice_text(dice: dict) -> str:
    return "".join(f"  {name} {'-' if value is None else format(value, '.3f')}" for name, value in dice.items())
