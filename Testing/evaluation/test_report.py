"""The files of a report: written whole, beside each other, or refused beforehand."""

import csv
import json

import pytest

from segmamba.errors import UserError
from segmamba.evaluation.cases import evaluate
from segmamba.evaluation.report import check_report, write_report
from segmamba.evaluation.summary import summarise


def written(folders, folder, page=None, **settings):
    evaluation = evaluate(*folders, **settings)
    summary = summarise(evaluation)
    return write_report(evaluation, summary, folder, page), summary


def table(folder):
    with open(folder / "cases.csv", newline="", encoding="utf-8") as file:
        return {(row["case"], row["label"]): row for row in csv.DictReader(file)}


def test_a_report_that_could_not_be_written_is_refused_and_no_folder_made_beforehand(tmp_path):
    check_report(tmp_path / "new" / "report")
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").touch()
    for place in (tmp_path / "file", tmp_path / "file" / "report"):
        with pytest.raises(UserError, match="file"):
            check_report(place)


def test_a_report_is_a_table_a_summary_and_a_page(tmp_path, folders):
    folder = tmp_path / "new" / "report"
    names, summary = written(folders, folder, "<html>ü</html>")
    assert (
        names
        == ["cases.csv", "summary.json", "report.html"]
        == sorted((path.name for path in folder.iterdir()), key=names.index)
    )
    assert json.loads((folder / "summary.json").read_text()) == summary
    assert (folder / "report.html").read_text(encoding="utf-8") == "<html>ü</html>"
    header = (folder / "cases.csv").read_text().splitlines()[0]
    assert header.startswith("case,label,dice,predicted_ml,reference_ml,difference_ml,")


def test_the_table_s_means_are_the_summary_s(tmp_path, folders):
    for empty in ("skip", "one", "brats"):
        _, summary = written(folders, tmp_path, empty=empty)
        rows = table(tmp_path)
        for label in ("1", "2"):
            for metric in ("dice", "nsd", "hd95_mm", "relative_difference"):
                values = [float(row[metric]) for (_, name), row in rows.items() if name == label and row[metric]]
                found = summary["labels"][label]["metrics"][metric]
                assert len(values) == found["n"]
                assert sum(values) / len(values) == pytest.approx(found["mean"], abs=1e-6)


def test_the_table_says_which_masks_are_empty(tmp_path, folders):
    written(folders, tmp_path)
    rows = table(tmp_path)
    assert {case: rows[case, "1"]["empty"] for case in ("right", "missed", "invented")} == {
        "right": "no",
        "missed": "prediction",
        "invented": "reference",
    }
    both = rows["half", "2"]
    assert both["empty"] == "both" and both["dice"] == both["nsd"] == both["hd95_mm"] == ""
    assert rows["missed", "1"]["dice"] == "0.000000" and rows["missed", "1"]["hd95_mm"] == ""
    assert float(rows["half", "1"]["hd95_mm"]) == 3 and rows["half", "1"]["nsd_tolerance_mm"] == "1"


def test_without_a_page_that_of_an_earlier_evaluation_goes(tmp_path, folders):
    written(folders, tmp_path / "report", "<html></html>")
    names, _ = written(folders, tmp_path / "report")
    assert names == ["cases.csv", "summary.json"]
    assert not (tmp_path / "report" / "report.html").exists()


def test_a_folder_that_cannot_be_made_is_refused(tmp_path, folders):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"file.* cannot be written to.*-o"):
        written(folders, tmp_path / "file" / "report")
