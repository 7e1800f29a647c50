"""``segmamba segment --cohort``: the options that go with it, and what is told at the end."""

import argparse
import sys

from segmamba.commands.output import print_json, print_table, progress_shown, say
from segmamba.errors import UserError

#: Options of one case, which many cannot share.
_ONE_CASE = ("roi", "series", "probabilities", "uncertainty", "preview")
#: Options that mean nothing without a cohort.
_MANY = ("scheduler", "format", "overwrite")
_NAMED = 5


class _Cohort(argparse.Action):
    """Keeps the cohort; the images are then not needed."""

    images: argparse.Action

    def __call__(self, parser, namespace, values, option_string=None) -> None:
        setattr(namespace, self.dest, values)
        self.images.required = False


def add_cohort(parser: argparse.ArgumentParser, images: argparse.Action) -> None:
    """Adds the options of cohorts; ``images`` is needed without ``--cohort`` alone."""
    group = parser.add_argument_group(
        "many cases",
        "Masks go to OUT/CASE.nii.gz, with manifest.jsonl, failed.jsonl and statistics.csv. The same command again "
        "does what is not done yet, and what failed.",
    )
    cohort = group.add_argument(
        "--cohort",
        action=_Cohort,
        metavar="FOLDER|LIST",
        help="in place of IMAGE: a folder of CASE_0000.nii.gz, CASE_0001.nii.gz, ..., or a CSV list (columns case and "
        'one for each channel) or JSON list ({"case": ..., "images": [...]}) of files; OUT is a folder then',
    )
    cohort.images = images
    group.add_argument(
        "--format", metavar="SUFFIX", help="of the masks: .nii.gz (default), .nii, .nrrd, .mha, .seg.nrrd"
    )
    group.add_argument("--overwrite", action="store_true", help="compute all cases anew, whatever OUT holds")
    group.add_argument(
        "--scheduler",
        metavar="tcp://HOST:PORT",
        help="compute on the workers of a Dask cluster; the model, the images and OUT must lie on a file system that "
        "they share with this computer under the same paths",
    )


def check_one_case(options: argparse.Namespace) -> None:
    """Refuses options of cohorts where there is none.

    Raises:
        UserError: Naming the option.
    """
    for name in _MANY:
        if getattr(options, name):
            raise UserError(f"--{name} goes with --cohort; leave it out for one case")


def run_cohort(options: argparse.Namespace) -> int:
    """Runs it; returns the exit status."""
    if options.images:
        raise UserError(f"{options.images[0]} and --cohort are both given; give images of one case, or a cohort")
    for name in _ONE_CASE:
        if getattr(options, name):
            raise UserError(f"--{name} goes with one case; leave it out with --cohort")
    if options.threads is not None and options.threads < 1:
        raise UserError(f"--threads is {options.threads}; it must be at least 1")

    from segmamba.images import MASK_SUFFIXES, check_output

    suffix = "." + (options.format or ".nii.gz").lower().lstrip(".")
    if suffix not in MASK_SUFFIXES:
        raise UserError(f"--format {options.format} is unknown; it is one of {', '.join(MASK_SUFFIXES)}")
    if options.statistics is not None:
        check_output(options.statistics, suffixes=(".csv",))

    from segmamba.inference.cohort import segment_cohort

    with progress_shown(options.progress) as progress:
        result = segment_cohort(
            options.cohort,
            options.output,
            options.model,
            device=options.device,
            precision=options.precision,
            tta=options.tta,
            overlap=options.overlap,
            suffix=suffix,
            threads=options.threads,
            scheduler=options.scheduler,
            overwrite=options.overwrite,
            statistics=options.statistics,
            progress=progress,
        )
    for warning in result.warnings:
        sys.stderr.write(f"segmamba: warning: {warning}\n")
    _report(result, options)
    sys.stdout.flush()
    if not result.failed:
        return 0
    total = len(result.done) + len(result.skipped) + len(result.failed)
    names = ", ".join(line["case"] for line in result.failed[:_NAMED])
    more = f" and {len(result.failed) - _NAMED} more" if len(result.failed) > _NAMED else ""
    told = f"{len(result.failed)} of {total} cases failed ({names}{more}); see {result.output / 'failed.jsonl'}"
    if result.defects:
        sys.stderr.write(f"segmamba: {told}; {len(result.defects)} by a defect of the program\n")
        return 1
    raise UserError(f"{told}, mend them, and give the same command again")


def _report(result, options: argparse.Namespace) -> None:
    if options.json:
        print_json(
            {
                "output": str(result.output),
                "statistics": str(result.statistics),
                "done": [line["case"] for line in result.done],
                "skipped": [line["case"] for line in result.skipped],
                "failed": [{"case": line["case"], "error": line["error"]} for line in result.failed],
                "warnings": result.warnings,
            }
        )
        return
    print_table([[line["case"], "failed", line["error"]] for line in result.failed])
    seconds = sum(line["seconds"] for line in result.done)
    warned = sum(bool(line.get("warnings")) for line in [*result.done, *result.skipped])
    say(
        f"{result.output}: {len(result.done)} done in {seconds:.1f} s, {len(result.skipped)} there already, "
        f"{len(result.failed)} failed" + (f"; {warned} with warnings, see manifest.jsonl" if warned else "")
    )
