"""``segmamba data check`` and ``data split``: tables, a page, JSON, folds that train, and the exit status."""

import json
import sys
from pathlib import Path

import pytest
import SimpleITK as sitk

sys.path.insert(0, str(Path(__file__).parents[1] / "data"))
from layouts import GRID, box, picture, save, write_list, write_raw

from segmamba.images import from_array


@pytest.fixture
def folder(tmp_path):
    return write_raw(tmp_path / "set")


def test_a_clean_data_set(done, folder):
    out = done("data", "check", folder)
    assert out == f"{folder}: nnU-Net raw, 3 cases, 0 errors, 0 warnings\n"


def test_warnings_do_not_fail(done, folder):
    save(from_array(box() * 0, GRID), folder / "labelsTr" / "case0.nii.gz")
    lines = done("data", "check", folder).splitlines()
    assert lines[1].split()[:4] == ["warning", "empty", "label", "case0"]
    assert lines[-1].endswith("0 errors, 1 warning")


def test_an_error_fails_with_the_whole_table(command, folder):
    for n in (0, 2):
        (folder / "labelsTr" / f"case{n}.nii.gz").write_text("a letter")
    outcome = command("data", "check", folder)
    assert outcome.status == 2 and outcome.err == ""
    assert [line.split()[:4] for line in outcome.out.splitlines()[1:3]] == [
        ["error", "unreadable", "label", "case0"],
        ["error", "unreadable", "label", "case2"],
    ]


def test_the_result_as_json(command, folder):
    save(picture(0), folder / "imagesTr" / "case1_0000.nii.gz")
    outcome = command("data", "check", folder, "--json")
    found = json.loads(outcome.out)
    assert outcome.status == 0 and (found["errors"], found["warnings"]) == (0, 2)
    assert {(f["kind"], f["case"]) for f in found["findings"]} == {("duplicate", "case1"), ("subjects", None)}
    assert found["pairs"][0]["cases"] == ["case0", "case1"]
    assert found["per_case"]["case2"]["size"] == [18, 20, 16]


def test_the_page_shows_every_case_and_loads_nothing(command, tmp_path, folder):
    (folder / "imagesTr" / "case1_0000.nii.gz").write_text("<script>")
    assert command("data", "check", folder, "-o", tmp_path / "page.html").status == 2
    page = (tmp_path / "page.html").read_text()
    assert page.count("data:image/png;base64,") == 3
    assert page.index("<b>case1</b>") < page.index("<b>case0</b>")
    assert "<script" not in page and "http" not in page.replace("http-equiv", "")


def test_folds_of_the_data_set_are_looked_at(done, folder):
    image = sitk.Cast(picture(0) * 1.01, sitk.sitkFloat32)
    save(image, folder / "imagesTr" / "case1_0000.nii.gz")
    folds = [{"train": ["case0"], "val": ["case1", "case2"]}]
    (folder / "splits.json").write_text(json.dumps(folds))
    assert "the other side of fold 0" in done("data", "check", folder)
    (folder / "together.json").write_text(json.dumps([{"train": ["case0", "case1"], "val": ["case2"]}]))
    assert "0 warnings" in done("data", "check", folder, "--splits", folder / "together.json")


def test_a_page_that_cannot_be_written_is_refused_at_once(refused, tmp_path, folder):
    refused(["data", "check", folder, "-o", tmp_path / "page.txt"], "page.txt", ".html")
    refused(["data", "check", folder, "-o", tmp_path / "gone" / "page.html"], "page.html", "folder")
    refused(["data", "check", tmp_path / "gone"], tmp_path / "gone")


def test_split_writes_folds_that_check_and_train_take(done, tmp_path):
    path = write_list(tmp_path / "set")
    out = done("data", "split", path, "-k", "2", "-o", tmp_path / "folds.json")
    assert out.splitlines()[0].split() == ["fold", "train", "val", "subjects", "outer", "inner"]
    assert out.splitlines()[1].split() == ["0", "2", "2", "1", "2", "2"]
    folds = json.loads((tmp_path / "folds.json").read_text())
    assert sorted(fold["val"] for fold in folds) == [["p0", "p1"], ["p2", "p3"]]
    assert "0 errors" in done("data", "check", path, "--splits", tmp_path / "folds.json")


def test_split_as_json(done, tmp_path, folder):
    options = ["-k", "3", "--subjects", r"case\d", "--seed", "2", "-o", tmp_path / "folds.json", "--json"]
    found = json.loads(done("data", "split", folder, *options))
    assert (found["path"], found["seed"], len(found["folds"])) == (str(tmp_path / "folds.json"), 2, 3)


def test_unknown_subjects_are_warned_of(command, tmp_path, folder, caplog):
    assert command("data", "split", folder, "-k", "3", "-o", tmp_path / "folds.json").status == 0
    assert any("--subjects" in record.getMessage() for record in caplog.records)


def test_a_split_that_cannot_be_made_is_refused(refused, tmp_path, folder):
    out = ["-o", tmp_path / "folds.json"]
    refused(["data", "split", folder, "-k", "4", *out], "-k 4", "3 subjects")
    refused(["data", "split", folder, "-k", "1", *out], "-k 1")
    refused(["data", "split", folder, "--subjects", "nobody", *out], "--subjects 'nobody'", "case0")
    refused(["data", "split", folder, "-o", tmp_path / "folds.txt"], "folds.txt", ".json")
