"""``segmamba export``: a run in, a model package out."""

import argparse
from pathlib import Path

from segmamba.commands.output import add_json, print_json, say


def add_parser(commands) -> argparse.ArgumentParser:
    """Adds the sub-command."""
    parser = commands.add_parser(
        "export",
        help="make a model package of a run",
        description="Write the weights of a run's last checkpoint as a model package that segments at once.",
        allow_abbrev=False,
    )
    parser.add_argument("run_folder", metavar="RUN", help="folder that `segmamba train` wrote")
    parser.add_argument("-o", "--output", required=True, metavar="MODEL", help="a folder, or a file that ends in .zip")
    parser.add_argument("--card", metavar="FILE.json", help="name, description, licence, colours, terminology, ...")
    parser.add_argument("--overwrite", action="store_true", help="replace a package that is there")
    add_json(parser)
    return parser


def run(options: argparse.Namespace) -> int:
    """Runs it."""
    from segmamba.training.export import export

    bundle = export(Path(options.run_folder), Path(options.output), options.card, options.overwrite)
    if options.json:
        print_json({"path": str(bundle.path), "name": bundle.metadata.name, "bytes": bundle.size_bytes})
    else:
        say(f"{bundle.path} written, {bundle.size_bytes / 1e6:.1f} MB; segment with --model {bundle.path}")
    return 0
