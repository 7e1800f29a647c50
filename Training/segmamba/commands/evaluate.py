"""``segmamba evaluate``: masks against references."""

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

from segmamba.commands.output import add_json, add_progress, print_json, print_table, progress_shown, say
from segmamba.errors import UserError

# As in segmamba.evaluation.policy, which is not imported for a parser.
_EMPTY = ("skip", "one", "brats")


def add_parser(commands) -> argparse.ArgumentParser:
    """Adds the sub-command."""
    parser = commands.add_parser(
        "evaluate",
        help="compare masks with references",
        description=(
            "Compare masks with the references of the same name: Dice, surface Dice (NSD), HD95 and volumes per case "
            "and label, with means, confidence intervals and a page with plots and the worst cases."
        ),
        allow_abbrev=False,
    )
    parser.add_argument("predictions", metavar="PREDICTIONS", help="folder of masks, or one mask")
    parser.add_argument("references", metavar="REFERENCES", help="folder of reference masks, or one")
    parser.add_argument(
        "-o", "--output", required=True, metavar="REPORT", help="folder for cases.csv, summary.json and report.html"
    )
    named = parser.add_mutually_exclusive_group()
    named.add_argument("--dataset", metavar="FOLDER", help="folder whose dataset.json names the labels")
    named.add_argument("--model", metavar="NAME|FOLDER|ZIP", help="model whose labels they are")
    parser.add_argument(
        "--nsd-tolerance",
        action="append",
        default=[],
        metavar="MM|LABEL=MM",
        help="tolerance of the surface Dice in mm (default 1), for all labels or one; may be given again",
    )
    parser.add_argument(
        "--empty",
        choices=_EMPTY,
        default="skip",
        help="a label that both masks lack is left out of means (skip, the default) or counts as agreement (one); "
        "brats counts it as agreement and an HD95 with one empty mask as 373.13 mm",
    )
    parser.add_argument("--images", metavar="FOLDER", help="images CASE or CASE_0000 to draw the worst cases over")
    parser.add_argument("--no-html", action="store_true", help="write no report.html")
    add_progress(parser)
    add_json(parser)
    return parser


def run(options: argparse.Namespace) -> int:
    """Runs it."""
    tolerance, tolerances = read_tolerances(options.nsd_tolerance)
    if options.images and options.no_html:
        raise UserError("--images is drawn into report.html; leave out --no-html, or --images")

    from segmamba import models
    from segmamba.data.datasets import LabelEntry, read_labels
    from segmamba.evaluation.cases import TOLERANCE_MM, evaluate
    from segmamba.evaluation.report import check_report, write_report
    from segmamba.evaluation.summary import summarise, unpredicted

    check_report(Path(options.output))
    labels = read_labels(options.dataset) if options.dataset else None
    if options.model:
        labels = [LabelEntry(x.name, x.value, x.members) for x in models.find(options.model).metadata.labels]
    page = None
    with progress_shown(options.progress) as report:
        evaluation = evaluate(
            Path(options.predictions),
            Path(options.references),
            labels,
            empty=options.empty,
            tolerance=TOLERANCE_MM if tolerance is None else tolerance,
            tolerances=tolerances,
            images=Path(options.images) if options.images else None,
            report=_part(report, 0.0, 1.0 if options.no_html else 0.8),
        )
        summary = summarise(evaluation)
        if not options.no_html:
            from segmamba.evaluation.page import make_page

            page = make_page(evaluation, summary, _part(report, 0.8, 1.0))
            if report:
                report(1.0, "done")
    written = write_report(evaluation, summary, Path(options.output), page)
    if options.json:
        print_json(summary)
        return 0
    print_table(_table(summary), right=tuple(range(1, 9)))
    say(f"Empty masks ({options.empty}): {summary['empty']}")
    if summary["without_prediction"]:
        say(unpredicted(summary))
    say(f"{options.output}: {', '.join(written)}")
    return 0


def read_tolerances(texts: Sequence[str]) -> tuple[float | None, dict[str, float]]:
    """The values of ``--nsd-tolerance``: the one for all labels, None where there is none, and those of single labels.

    Raises:
        UserError: A value is no number of millimetres.
    """
    tolerance, single = None, {}
    for text in texts:
        name, _, number = text.rpartition("=")
        try:
            value = float(number)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and value >= 0):
            raise UserError(f"--nsd-tolerance {text!r}: give millimetres, as 1.5, or a label's, as TUMOUR=1.5")
        if name:
            single[name] = value
        else:
            tolerance = value
    return tolerance, single


def _table(summary: dict) -> list[list[str]]:
    table = [["label", "Dice", "95%CI", "NSD", "HD95mm", "unmeasured", "cases", "misses", "extra"]]
    for name, found in summary["labels"].items():
        bounds = found["metrics"]["dice"]["ci95"]
        table.append(
            [
                name,
                _number(found["dice"], 4),
                "-".join(_number(bound, 3) for bound in bounds) if bounds else "-",
                _number(found["nsd"], 4),
                _number(found["hd95_mm"], 2),
                *(str(found[key]) for key in ("hd95_not_measurable", "measured", "misses", "extra")),
            ]
        )
    return table


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _part(report, start: float, end: float):
    """A callback that reports a part of the whole."""
    return report and (lambda fraction, message: report(start + (end - start) * fraction, message))
