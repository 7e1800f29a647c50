"""``segmamba evaluate``: masks against references."""

import argparse
from pathlib import Path

from segmamba.commands.output import add_json, print_json, print_table, say


def add_parser(commands) -> argparse.ArgumentParser:
    """Adds the sub-command."""
    parser = commands.add_parser(
        "evaluate",
        help="compare masks with references",
        description="Compare masks with the references of the same name: Dice and volumes per case and label.",
        allow_abbrev=False,
    )
    parser.add_argument("predictions", metavar="PREDICTIONS", help="folder of masks, or one mask")
    parser.add_argument("references", metavar="REFERENCES", help="folder of reference masks, or one")
    parser.add_argument("-o", "--output", required=True, metavar="REPORT", help="folder for cases.csv and summary.json")
    named = parser.add_mutually_exclusive_group()
    named.add_argument("--dataset", metavar="FOLDER", help="folder whose dataset.json names the labels")
    named.add_argument("--model", metavar="NAME|FOLDER|ZIP", help="model whose labels they are")
    add_json(parser)
    return parser


def run(options: argparse.Namespace) -> int:
    """Runs it."""
    from segmamba import models
    from segmamba.data.datasets import LabelEntry, read_labels
    from segmamba.evaluation.report import check_report, evaluate, write_report

    check_report(Path(options.output))
    labels = read_labels(options.dataset) if options.dataset else None
    if options.model:
        labels = [LabelEntry(x.name, x.value, x.members) for x in models.find(options.model).metadata.labels]
    rows, summary = evaluate(Path(options.predictions), Path(options.references), labels)
    write_report(rows, summary, Path(options.output))
    if options.json:
        print_json(summary)
        return 0
    table = [["label", "Dice", "cases", "misses", "extra"]]
    for name, found in summary["labels"].items():
        dice = "-" if found["dice"] is None else f"{found['dice']:.4f}"
        table.append([name, dice, str(found["measured"]), str(found["misses"]), str(found["extra"])])
    print_table(table, right=(1, 2, 3, 4))
    say(f"{options.output}: cases.csv, summary.json")
    return 0
