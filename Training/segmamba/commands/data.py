"""``segmamba data``: data sets."""

import argparse

from segmamba.commands.data_check import add_check, run_check
from segmamba.commands.data_split import add_split, run_split
from segmamba.commands.output import add_json, add_progress, print_json, progress_shown, say


def add_parser(commands) -> argparse.ArgumentParser:
    """Adds the sub-command with its own sub-commands."""
    parser = commands.add_parser("data", help="data sets: check, split, phantom", allow_abbrev=False)
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    add_check(actions)
    add_split(actions)
    phantom = actions.add_parser(
        "phantom",
        help="draw brain-tumour phantoms as a data set",
        description="Draw brain-tumour phantoms (T1, T1Gd, T2, FLAIR; regions WT, TC, ET) as an nnU-Net raw data set.",
    )
    phantom.add_argument("-o", "--output", required=True, metavar="FOLDER", help="new or empty folder")
    phantom.add_argument("--cases", type=int, default=20, metavar="N", help="number of cases (default 20)")
    phantom.add_argument("--seed", type=int, default=1, metavar="N", help="seed of the first case; then one more each")
    phantom.add_argument("--size", type=int, nargs=3, metavar=("I", "J", "K"), help="voxels (default 80 96 80)")
    phantom.add_argument("--spacing", type=float, nargs=3, metavar=("I", "J", "K"), help="mm (default 2 2 2)")
    add_progress(phantom)
    add_json(phantom)
    return parser


def run(options: argparse.Namespace) -> int:
    """Runs it."""
    return {"check": run_check, "phantom": _run_phantom, "split": run_split}[options.action](options)


def _run_phantom(options: argparse.Namespace) -> int:
    from segmamba.data.phantom import write_dataset
    from segmamba.errors import UserError

    if options.cases < 1:
        raise UserError(f"--cases is {options.cases}; it must be at least 1")
    if options.seed < 0:
        raise UserError(f"--seed is {options.seed}; it must be 0 or more")
    geometry = {name: tuple(value) for name in ("size", "spacing") if (value := getattr(options, name)) is not None}
    with progress_shown(options.progress) as report:
        folder = write_dataset(
            options.output,
            range(options.seed, options.seed + options.cases),
            progress=None if report is None else lambda done, total: report(done / total, "drawing phantoms"),
            **geometry,
        )
    if options.json:
        print_json({"path": str(folder), "cases": options.cases, "first_seed": options.seed})
    else:
        say(f"{folder}: {options.cases} phantoms; train with `segmamba train {folder} --network lightmunet -o RUN`")
    return 0
