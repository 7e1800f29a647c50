"""The files of a report: a table of all cases, a summary, and a page to look at."""

import csv
import json
import os
import tempfile
from pathlib import Path

from segmamba.atomic import replacing
from segmamba.errors import UserError
from segmamba.evaluation.cases import Evaluation, Row
from segmamba.evaluation.policy import Policy

TABLE, SUMMARY, PAGE = "cases.csv", "summary.json", "report.html"
_COLUMNS = (
    "case",
    "label",
    "dice",
    "predicted_ml",
    "reference_ml",
    "difference_ml",
    "relative_difference",
    "nsd",
    "hd95_mm",
    "nsd_tolerance_mm",
    "empty",
)


def check_report(folder: Path) -> None:
    """Checks, before anything is computed, that a report can be written; the folder is not made yet.

    Raises:
        UserError: It is a file, or cannot be made or written to.
    """
    folder = Path(folder)
    there = next(place for place in (folder, *folder.absolute().parents) if os.path.exists(place))
    if not there.is_dir():
        raise UserError(f"{folder} cannot be written to ({there} is a file); name another folder with -o")
    try:
        # Tried rather than asked: permissions do not tell of read-only disks, and root may do anything.
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise UserError(f"{folder} cannot be written to ({error.strerror}); name another folder with -o") from error


def write_report(evaluation: Evaluation, summary: dict, folder: Path, page: str | None = None) -> list[str]:
    """Writes ``cases.csv``, ``summary.json`` and, where its text is given, ``report.html``.

    Returns:
        The names of the files.

    Raises:
        UserError: Where the folder cannot be written.
    """
    folder = Path(folder)
    written = [TABLE, SUMMARY]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(folder / TABLE) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, _COLUMNS)
            writer.writeheader()
            writer.writerows(cells(row, evaluation.policy) for row in evaluation.rows)
        with replacing(folder / SUMMARY) as temporary:
            temporary.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
        if page is None:
            # A page of an earlier evaluation would tell of other figures.
            (folder / PAGE).unlink(missing_ok=True)
        else:
            with replacing(folder / PAGE) as temporary:
                temporary.write_text(page, encoding="utf-8")
            written.append(PAGE)
    except OSError as error:
        raise UserError(f"{folder} cannot be written to ({error.strerror}); name another folder with -o") from error
    return written


def cells(row: Row, policy: Policy) -> dict[str, str]:
    """A row of the table: volumes as they are, scores as the policy counts them; empty where nothing counts."""
    scores = row.scores(policy)
    values = {
        "dice": scores["dice"],
        "predicted_ml": row.predicted_ml,
        "reference_ml": row.reference_ml,
        "difference_ml": row.predicted_ml - row.reference_ml,
        "relative_difference": scores["relative_difference"],
        "nsd": scores["nsd"],
        "hd95_mm": scores["hd95_mm"],
    }
    written = {name: "" if value is None else f"{value:.6f}" for name, value in values.items()}
    return {
        "case": row.case,
        "label": row.label,
        **written,
        "nsd_tolerance_mm": f"{row.tolerance_mm:g}",
        "empty": row.empty,
    }
