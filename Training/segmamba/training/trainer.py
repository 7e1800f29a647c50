"""The training loop, from the data set to the last checkpoint and its validation."""

import contextlib
import copy
import dataclasses
import json
import logging
import math
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import torch
from torch import nn
from tqdm import tqdm

from segmamba import networks
from segmamba.bundle import Metadata
from segmamba.data.datasets import Case, Dataset
from segmamba.data.splits import Fold
from segmamba.errors import UserError
from segmamba.evaluation.metrics import mean_dice
from segmamba.inference.devices import resolve_precision
from segmamba.training import run as runs
from segmamba.training.augmentation import Augmenter, mirror_axes
from segmamba.training.budget import epochs_for, measure_case, measure_step
from segmamba.training.cases import check_cases
from segmamba.training.checkpoint import damaged, load_checkpoint, random_state, save_checkpoint, set_random_state
from segmamba.training.journal import Journal
from segmamba.training.losses import make_loss
from segmamba.training.memory import peak_memory_mb
from segmamba.training.plan import make_metadata
from segmamba.training.recipe import Recipe
from segmamba.training.run import CHECKPOINT, PREPARED, SUMMARY
from segmamba.training.samples import Samples, prepare_cases
from segmamba.training.schedule import learning_rate, make_optimiser
from segmamba.training.step import average, train_step
from segmamba.training.validation import validate

log = logging.getLogger(__name__)

_DEFAULT_EPOCHS = 100


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
    began = time.perf_counter()
    train_cases, val_cases = [dataset.case(name) for name in fold.train], [dataset.case(name) for name in fold.val]
    if recipe.train.threads is not None:
        torch.set_num_threads(recipe.train.threads)
    # The network and the loss first: a wrong option is told before a case is read.
    torch.manual_seed(recipe.seed)
    network = networks.build(
        recipe.network.name,
        in_channels=len(dataset.channels),
        out_channels=len(dataset.labels) + (0 if dataset.regions else 1),
        **recipe.network.options,
    )
    network.to(device, memory_format=torch.channels_last_3d)
    loss_function = make_loss(recipe.loss.kind, dataset.regions)

    def samples(length: int) -> Samples:
        augmenter = Augmenter(recipe.augmentation, metadata.training["mirror_axes"], metadata.spacing)
        names, foreground = list(fold.train), recipe.data.foreground
        return Samples(folder / PREPARED, names, metadata, augmenter, foreground, recipe.seed, length)

    with runs.nothing_left_unless_begun(folder, keep=resume == "auto"):
        going_on = runs.start_or_resume(folder, resume)
        if going_on:
            begun = runs.read_run(folder)
            runs.check_same(folder, begun, recipe, fold, dataset)
            recipe, metadata = begun["recipe"], begun["metadata"]
        else:
            asked = recipe
            shutil.rmtree(folder / PREPARED, ignore_errors=True)  # of a run that never began, perhaps on other data
            check_cases(val_cases, dataset)
            metadata = make_metadata(dataset, list(fold.train), recipe)
            axes = mirror_axes(recipe.augmentation, [label.name for label in metadata.labels], metadata.orientation)
            metadata = dataclasses.replace(metadata, training={"mirror_axes": list(axes)})
            recipe = _with(recipe, precision=resolve_precision(recipe.train.precision, torch.device(device)))
            prepare_cases(dataset, train_cases, metadata, folder / PREPARED, bar)
            epochs = recipe.train.epochs
            if recipe.train.hours is not None:
                step = measure_step(network, samples(len(train_cases)), recipe, loss_function, device)
                case = measure_case(network, metadata, dataset, val_cases[0], recipe, device)
                left = recipe.train.hours * 3600 - (time.perf_counter() - began)
                fitting = epochs_for(left, step, case, len(val_cases), recipe)
                log.info("%.2f s a step, %.1f s a validation case: %d epochs fit into %g hours",
                         step, case, fitting, recipe.train.hours)  # fmt: skip
                epochs = min(fitting, epochs or fitting)
            recipe = _with(recipe, epochs=epochs or _DEFAULT_EPOCHS)
            runs.write_run(folder, dataset, fold, fold_name, asked, recipe, metadata)

    epochs, per_epoch, batch = recipe.train.epochs, recipe.train.steps_per_epoch, recipe.train.batch
    steps = epochs * per_epoch
    averaged = copy.deepcopy(network).eval().requires_grad_(False)
    optimiser = make_optimiser(network, recipe.optimiser)
    scaler = torch.amp.GradScaler(torch.device(device).type, enabled=recipe.train.precision == "fp16")
    journal = Journal(folder)
    epoch, spent = 0, 0.0
    torch.manual_seed(recipe.seed)  # whatever measuring drew, a run that goes on from no checkpoint did not draw
    if going_on and (folder / CHECKPOINT).is_file():
        state = load_checkpoint(folder / CHECKPOINT)
        try:
            network.load_state_dict(state["network"])
            averaged.load_state_dict(state["averaged"])
            optimiser.load_state_dict(state["optimiser"])
            scaler.load_state_dict(state["scaler"])
            set_random_state(state["random"], torch.device(device))
        except (RuntimeError, ValueError, KeyError, TypeError) as error:
            raise damaged(folder / CHECKPOINT) from error
        epoch, spent = state["epoch"], state["seconds"]
        log.info("going on after epoch %d of %d", epoch, epochs)
    if epoch == epochs and (summary := read_summary(folder)) is not None:
        _close(journal, epochs, summary)  # a run that was killed at the very end has its summary, but not this
        return summary
    (folder / SUMMARY).unlink(missing_ok=True)  # of weights that are no longer the last
    journal.cut(epoch)

    if epoch < epochs:
        prepare_cases(dataset, train_cases, metadata, folder / PREPARED, bar)
        loader = torch.utils.data.DataLoader(
            samples(steps * batch),
            batch_size=batch,
            sampler=range(epoch * per_epoch * batch, steps * batch),
            num_workers=recipe.train.workers,
            persistent_workers=recipe.train.workers > 0,
            pin_memory=device.startswith("cuda"),
            # Its own: the loader draws from the generator at every start, and a resumed run starts once more.
            generator=torch.Generator(),
        )
        batches = iter(loader)
    while epoch < epochs:
        began = time.perf_counter()
        network.train()
        losses, skipped = [], 0
        with _says_how_to_go_on(epoch):
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
                loss, updated = train_step(network, optimiser, scaler, loss_function, image, target, recipe, device)
                if math.isfinite(loss):
                    losses.append(loss)
                if updated:
                    average(averaged, network, recipe.train.ema, step)
                else:
                    skipped += 1
        epoch += 1
        seconds = time.perf_counter() - began
        spent += seconds
        # In fp16 a whole short epoch may pass until the scale fits; a loss that is not finite is past help.
        if not losses or (skipped == per_epoch and not scaler.is_enabled()):
            raise UserError(
                f"{folder}: every step of epoch {epoch} gave a loss or gradient that is not finite; start a new run "
                "with a lower optimiser.lr or with train.precision=fp32"
            )
        if skipped:
            log.warning("epoch %d: %d steps skipped, their loss or gradient was not finite", epoch, skipped)
        row = {
            "epoch": epoch,
            "step": epoch * per_epoch,
            "loss": round(sum(losses) / len(losses), 6),
            "lr": learning_rate(epoch * per_epoch - 1, steps, recipe.optimiser),
            "seconds": round(seconds, 3),
            "samples_per_second": round(per_epoch * batch / seconds, 3),
            "peak_memory_mb": peak_memory_mb(device),
            "skipped": skipped,
        }
        with _says_how_to_go_on(epoch - 1):
            if epoch % recipe.validation.every == 0 and epoch < epochs:
                some = spread(val_cases, recipe.validation.cases)
                row |= measured_dice(averaged, metadata, dataset, some, recipe, device, bar)
            # The log goes first: a row without its checkpoint is cut when the run goes on, a missing one would stay so.
            journal.add(row)
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
        if "dice" in row:
            journal.draw()
        log.info(
            "epoch %d/%d  loss %.4f  %.1f s%s", epoch, epochs, row["loss"], seconds, _dice_text(row.get("dice", {}))
        )
    batches = loader = None  # ends the workers
    with _says_how_to_go_on(epochs):
        summary = finish(folder, averaged, metadata, dataset, val_cases, recipe, fold_name, device, spent, bar)
    _close(journal, epochs, summary)
    return summary


def _close(journal: Journal, epochs: int, summary: dict) -> None:
    """The final Dice in the log and the plot."""
    journal.amend(epochs, {"dice": _rounded(summary["dice"]), "dice_cases": summary["cases"]})
    journal.draw()


def _with(recipe: Recipe, **changes) -> Recipe:
    """The recipe with other values of its group ``train``."""
    return msgspec.structs.replace(recipe, train=msgspec.structs.replace(recipe.train, **changes))


@contextlib.contextmanager
def _says_how_to_go_on(epoch: int) -> Iterator[None]:
    """Tells who interrupts a run that nothing but the present epoch is lost."""
    try:
        yield
    except KeyboardInterrupt:
        log.info("interrupted; the same command with --resume goes on after epoch %d", epoch)
        raise


def spread(cases: list[Case], count: int | None) -> list[Case]:
    """``count`` cases evenly spread over the list; all where it is None or larger."""
    if count is None or count >= len(cases):
        return cases
    return [cases[n * len(cases) // count] for n in range(count)]


def measured_dice(network, metadata: Metadata, dataset: Dataset, cases, recipe: Recipe, device: str, bar: bool) -> dict:
    """Mean Dice per label, rounded for the log, and over how many cases."""
    results = validate(
        network,
        metadata,
        dataset,
        cases,
        device=device,
        precision=recipe.train.precision,
        overlap_fraction=recipe.validation.overlap,
        bar=bar,
    )
    return {"dice": _rounded(mean_dice(results)), "dice_cases": len(cases)}


def read_summary(folder: Path) -> dict | None:
    """What :func:`finish` wrote, or None where it has not, or the file is damaged."""
    try:
        summary = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    whole = isinstance(summary, dict) and summary.keys() >= {"dice", "mean_dice", "cases", "how"}
    whole = whole and isinstance(summary["dice"], dict)
    return summary if whole else None


def finish(
    folder: Path,
    network: nn.Module,
    metadata: Metadata,
    dataset: Dataset,
    cases: list[Case],
    recipe: Recipe,
    fold_name: str,
    device: str,
    seconds: float,
    bar: bool = False,
) -> dict:
    """Validates every case of the fold with the averaged weights and writes summary.json."""
    log.info("validating %d cases", len(cases))
    results = validate(
        network,
        metadata,
        dataset,
        cases,
        device=device,
        precision="fp32",
        overlap_fraction=recipe.validation.overlap,
        bar=bar,
    )
    dice = mean_dice(results)
    known = [value for value in dice.values() if value is not None]
    weights = "averaged weights" if recipe.train.ema else "weights"
    summary = {
        "fold": fold_name,
        "cases": len(cases),
        "dice": dice,
        "mean_dice": sum(known) / len(known) if known else None,
        "how": (
            f"mean over {len(cases)} validation cases of fold {fold_name} of the Dice per label on each case's own "
            f"grid, cases where a label is empty in both left out; {weights} of the last epoch, no mirroring, "
            f"overlap {recipe.validation.overlap:g}, fp32"
        ),
        "training_seconds": round(seconds, 1),
        "epochs": recipe.train.epochs,
        "per_case": {
            case.name: {name: counts.dice for name, counts in result.items()}
            for case, result in zip(cases, results, strict=True)
        },
    }
    runs.write_json(folder / SUMMARY, summary)
    log.info("validation Dice%s", _dice_text(dice))
    return summary


def _rounded(dice: dict) -> dict:
    return {name: None if value is None else round(value, 4) for name, value in dice.items()}


def _dice_text(dice: dict) -> str:
    return "".join(f"  {name} {'-' if value is None else format(value, '.3f')}" for name, value in dice.items())
