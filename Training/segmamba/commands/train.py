"""``segmamba train``: a data set in, a run out."""

import argparse
import logging
from pathlib import Path

from segmamba.commands.output import add_json, add_progress, print_json, print_table, say, shows_bar
from segmamba.network_names import NAMES

log = logging.getLogger(__name__)


def add_parser(commands) -> argparse.ArgumentParser:
    """Adds the sub-command."""
    parser = commands.add_parser(
        "train",
        help="train a network on a data set",
        description="Train a network on a data set: Medical Segmentation Decathlon, nnU-Net raw, BraTS 2021 or 2023, "
        "images beside segmentations of 3D Slicer (.seg.nrrd), or a CSV or JSON file that lists images and labels.",
        allow_abbrev=False,
    )
    parser.add_argument("dataset", metavar="DATASET", help="its folder, or the file that lists it")
    parser.add_argument("--network", metavar="NAME", help=f"{', '.join(NAMES)} (default: the recipe's)")
    parser.add_argument("-o", "--output", required=True, metavar="RUN", help="the run's folder, new or empty")
    parser.add_argument("--recipe", metavar="FILE|NAME", help="JSON file with what differs from the defaults")
    parser.add_argument(
        "--set", action="append", default=[], dest="changes", metavar="KEY=VALUE", help="one value of the recipe"
    )
    parser.add_argument("--splits", metavar="FILE", help="folds (default: the data set's own, else made with seed 0)")
    parser.add_argument("--fold", default="0", metavar="K|all", help="fold to train (default 0)")
    parser.add_argument(
        "--resume",
        nargs="?",
        const=True,  # no text: that would be checked as if it had been typed
        type=_auto,
        metavar="auto",
        help="go on with the run in RUN; `--resume auto` starts anew where there is none",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps (default auto)")
    add_progress(parser)
    add_json(parser)
    return parser


def run(options: argparse.Namespace) -> int:
    """Runs it."""
    from segmamba.data.datasets import read_dataset
    from segmamba.data.splits import find_splits, listed_folds, make_folds, read_splits
    from segmamba.training.recipe import load_recipe

    recipe = load_recipe(options.recipe, options.network, options.changes)
    dataset = read_dataset(options.dataset)
    folds = listed_folds(dataset) if options.splits is None else None
    splits = None if folds else find_splits(dataset.folder, options.splits)
    if folds:
        log.info("folds of %s", dataset.source)
    elif splits is None:
        folds = make_folds(dataset)
    else:
        folds = read_splits(splits, dataset)
        log.info("folds of %s", splits)
    chosen = range(len(folds)) if options.fold == "all" else [_fold_number(options.fold, len(folds))]

    from segmamba.inference.devices import resolve_device
    from segmamba.training.run import check_folds
    from segmamba.training.trainer import train

    device = str(resolve_device(options.device))
    output, resume = Path(options.output), "must" if options.resume is True else options.resume
    folders = {number: output / f"fold_{number}" if options.fold == "all" else output for number in chosen}
    if options.fold == "all":
        resume = check_folds(list(folders.values()), resume)
    results = {}
    for number, folder in folders.items():
        results[str(number)] = train(
            dataset,
            folds[number],
            folder,
            recipe,
            fold_name=str(number),
            device=device,
            resume=resume,
            bar=shows_bar(options.progress),
        )
    if options.json:
        print_json(results)
    else:
        rows = [["fold", "label", "Dice"]]
        for number, result in results.items():
            rows += [[number, name, "-" if d is None else f"{d:.4f}"] for name, d in result["dice"].items()]
        print_table(rows, right=(2,))
        for folder in folders.values():
            say(f"{folder}: log.jsonl, progress.png; make a model of it with `segmamba export {folder} -o MODEL`")
    return 0


def _auto(text: str) -> str:
    """The one word that ``--resume`` takes: whatever follows it is taken for one, the data set's folder too."""
    if text != "auto":
        raise argparse.ArgumentTypeError(f"{text!r} is not 'auto'; put --resume after DATASET, or write --resume auto")
    return text


def _fold_number(text: str, count: int) -> int:
    from segmamba.errors import UserError

    if not text.isdecimal() or int(text) >= count:
        raise UserError(f"--fold {text}: the data set has the folds 0 to {count - 1}, or all")
    return int(text)
