"""``segmamba data check``: what in a data set would hurt a training."""

import argparse
from pathlib import Path

from segmamba.commands.output import add_json, add_progress, print_json, print_table, progress_shown, say


def add_check(actions) -> None:
    """Adds the action."""
    check = actions.add_parser(
        "check",
        help="read every case and tell what is wrong",
        description="Read every case of a data set, one after another, and tell what is wrong: files that cannot be "
        "read, images and labels that do not fit (by more than 0.1 voxel), unknown and empty labels, NaN, constant "
        "images, duplicates by content, odd sizes and spacings, and cases that are likely one subject's on both sides "
        "of a fold.",
        epilog="Exit status: 0 where training is possible, whatever the warnings; 2 where an error prevents it.",
        allow_abbrev=False,
    )
    check.add_argument("dataset", metavar="DATASET", help="its folder, or the file that lists it")
    check.add_argument("-o", "--output", metavar="PAGE.html", help="a page with a picture of every case")
    check.add_argument("--splits", metavar="FILE", help="folds (default: the data set's own, as `train` finds them)")
    add_progress(check)
    add_json(check)


def run_check(options: argparse.Namespace) -> int:
    """Runs it."""
    from segmamba.data.checking import check_dataset
    from segmamba.data.datasets import read_dataset
    from segmamba.data.splits import find_splits, listed_folds, read_splits

    output = _page(options.output)
    dataset = read_dataset(options.dataset)
    folds = listed_folds(dataset) if options.splits is None else None
    if folds is None and (splits := find_splits(dataset.folder, options.splits)):
        folds = read_splits(splits, dataset)
    pictures: dict[str, bytes] = {}
    look = None
    if output:
        from segmamba.evaluation.thumbnails import draw_thumbnail

        def look(case, image, label):
            pictures[case.name] = draw_thumbnail(image, label, dataset.labels)

    with progress_shown(options.progress) as report:
        check = check_dataset(dataset, folds, look, report)
    if output:
        _write(output, check, pictures)
    if options.json:
        print_json(_result(check))
    else:
        if check.findings:
            print_table(
                [["severity", "kind", "case", "finding"]]
                + [[f.severity, f.kind, f.case or "-", f.message] for f in check.findings]
            )
        counts = f"{_several(check.count('error'), 'error')}, {_several(check.count('warning'), 'warning')}"
        say(f"{options.dataset}: {dataset.layout}, {_several(len(dataset.cases), 'case')}, {counts}")
        if output:
            say(f"{output}: every case in a picture")
    return 2 if check.count("error") else 0


def _page(text: str | None) -> Path | None:
    """Where the page goes, checked before hours of reading."""
    from segmamba.errors import UserError

    if text is None:
        return None
    path = Path(text)
    if path.suffix.lower() not in (".html", ".htm"):
        raise UserError(f"-o {text}: the page is HTML; end its name with .html")
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise UserError(f"-o {text}: name a file in a folder that exists")
    return path


def _write(path: Path, check, pictures: dict[str, bytes]) -> None:
    from segmamba.atomic import replacing
    from segmamba.errors import UserError
    from segmamba.evaluation.dataset_page import make_dataset_page

    try:
        with replacing(path) as temporary:
            temporary.write_text(make_dataset_page(check, pictures), encoding="utf-8")
    except OSError as error:
        raise UserError(f"-o {path}: the page cannot be written ({error.strerror}); name another place") from error


def _result(check) -> dict:
    return {
        "dataset": str(check.dataset.folder),
        "layout": check.dataset.layout,
        "cases": len(check.dataset.cases),
        "errors": check.count("error"),
        "warnings": check.count("warning"),
        "findings": [
            {"severity": f.severity, "kind": f.kind, "case": f.case or None, "message": f.message}
            for f in check.findings
        ],
        "pairs": [{"cases": [p.one, p.other], "reason": p.reason} for p in check.pairs],
        "per_case": {f.name: {"size": f.size, "spacing": f.spacing, "volumes_ml": f.volumes_ml} for f in check.facts},
    }


def _several(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
