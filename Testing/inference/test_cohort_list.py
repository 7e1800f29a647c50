"""Cohorts as people describe them: folders, CSV and JSON lists, and every mistake in one sentence."""

import json

import pytest

from segmamba.errors import UserError
from segmamba.inference.cohort_list import read_cohort

TWO = ("T1", "T2")


def refused(path, *words, channels=("T1",)):
    with pytest.raises(UserError) as caught:
        read_cohort(path, channels)
    text = str(caught.value)
    assert "\n" not in text
    for word in (path, *words):
        assert str(word) in text, text


def names(cohort):
    return [(case.name, [path.name for path in case.images]) for case in cohort.cases]


def touch(folder, *files):
    for file in files:
        (folder / file).touch()
    return folder


def test_a_folder_gives_its_cases_with_their_channels_in_order(tmp_path):
    touch(tmp_path, "b_1_0001.nii.gz", "b_1_0000.nrrd", "a_0000.nii.gz", "a_0001.mha", "notes.txt", "._a_0000.nii.gz")
    cohort = read_cohort(tmp_path, TWO)
    assert names(cohort) == [("a", ["a_0000.nii.gz", "a_0001.mha"]), ("b_1", ["b_1_0000.nrrd", "b_1_0001.nii.gz"])]
    assert not cohort.warnings and not any(case.problem for case in cohort.cases)


def test_images_that_are_left_out_are_named(tmp_path):
    cohort = read_cohort(touch(tmp_path, "a_0000.nii.gz", "plain.nii.gz"), ("T1",))
    assert names(cohort) == [("a", ["a_0000.nii.gz"])]
    (warning,) = cohort.warnings
    assert "plain.nii.gz" in warning and "left out" in warning


def test_incomplete_cases_have_a_problem_and_refuse_only_where_all_are(tmp_path):
    touch(tmp_path, "a_0000.nii.gz", "a_0001.nii.gz", "b_0001.nii.gz", "c_0000.nii.gz", "c_0001.nii", "c_0001.mha")
    problems = {case.name: case.problem for case in read_cohort(tmp_path, TWO).cases}
    assert problems["a"] == "" and "b has 0001" in problems["b"] and "two files for channel 0001" in problems["c"]
    refused(tmp_path, "0002 (T3)", "all 3 cases", channels=("T1", "T2", "T3"))


def test_folders_without_cases_and_what_is_no_cohort_are_refused(tmp_path):
    (tmp_path / "set" / "imagesTs").mkdir(parents=True)
    refused(tmp_path / "set", "CASE_0000.nii.gz", tmp_path / "set" / "imagesTs")
    refused(tmp_path / "missing", "no such folder or list")
    (tmp_path / "list.txt").write_text("a")
    refused(tmp_path / "list.txt", ".json", ".csv")


@pytest.mark.parametrize(
    "text",
    [
        "case,T1,T2\np,x.nii,sub/y.nii\n",
        "name;t2;T1;fold\np;sub/y.nii;x.nii;0\n\n",
        "case\t0000\t0001\r\np\tx.nii\tsub/y.nii\r\n",
    ],
)
def test_a_csv_list_has_a_column_for_each_channel(tmp_path, text):
    (tmp_path / "list.csv").write_text(text, encoding="utf-8-sig")
    (case,) = read_cohort(tmp_path / "list.csv", TWO).cases
    assert case.name == "p" and case.images == (tmp_path / "x.nii", tmp_path / "sub" / "y.nii")


@pytest.mark.parametrize(
    "value",
    [
        [{"case": "p", "images": ["x.nii", "y.nii"]}],
        {"cases": [{"name": "p", "images": {"t2": "y.nii", "T1": "x.nii"}, "fold": 1}]},
    ],
)
def test_a_json_list_has_the_images_of_each_case(tmp_path, value):
    (tmp_path / "list.json").write_text(json.dumps(value))
    (case,) = read_cohort(tmp_path / "list.json", TWO).cases
    assert case.name == "p" and case.images == (tmp_path / "x.nii", tmp_path / "y.nii")


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("l.csv", "", ["case,T1"]),
        ("l.csv", "case,other\na,b\n", ["case,other", "case,T1"]),
        ("l.csv", "case,T1\n", ["no cases"]),
        ("l.csv", "case,T1\na\n,x.nii\n", ["row 2", "1 cells", "row 3", "names no case"]),
        ("l.csv", "case,T1\na,x.nii\na,y.nii\n", ["case a is there twice"]),
        ("l.csv", "case,T1\na,x.nii\nA,y.nii\n", ["a and A"]),
        ("l.csv", "case,T1\n../a,x.nii\n", ["'../a'", "rename"]),
        ("l.csv", "case,T1\na,\n", ["a has 0 images", "0000 (T1)"]),
        ("l.csv", b"case,T1\n\xff,x\n", ["UTF-8"]),
        ("l.json", "[", ["valid JSON"]),
        ("l.json", "{}", ['"cases"']),
        ("l.json", "[]", ["[]", "list"]),
        ("l.json", '[3, {"case": "a"}, {"images": ["x"]}]', ["[0]", "[1].images", "[2].case"]),
        ("l.json", '[{"case": "a", "images": {"T7": "x"}}]', ["T7", "T1"]),
        ("l.json", '[{"case": "a", "images": ["x", "y"]}]', ["a has 2 images"]),
    ],
)
def test_mistakes_in_lists_are_named(tmp_path, name, text, words):
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    refused(tmp_path / name, *words)
