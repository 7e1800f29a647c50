"""Folds: found in the stated order, checked against the data set, dealt without leaking, hashed by content."""

import hashlib
import json
import logging
from pathlib import Path

import pytest

from segmamba.data.datasets import Case, Dataset, LabelEntry, read_dataset
from segmamba.data.splits import Fold, deal, find_splits, make_folds, read_splits, split_hash
from segmamba.errors import UserError


def dataset_of(*names: str) -> Dataset:
    cases = tuple(Case(name, (Path(f"{name}.nii.gz"),), Path(f"{name}.nii.gz"), 1) for name in names)
    return Dataset(
        Path("some_set"), "Set", "", "", "", ("T1",), ("MR",), (LabelEntry("A", 1, (1,)),), False, cases
    )  # fmt: skip


def write(path: Path, value: object) -> Path:
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return path


def test_files_of_folds_are_found_in_the_stated_order(tmp_path):
    assert find_splits(tmp_path) is None
    for name in ("splits.json", "splits_final.json", "splits_by_subject.json"):
        write(tmp_path / name, "[]")
        assert find_splits(tmp_path) == tmp_path / name


def test_an_explicit_file_goes_first_and_must_exist(tmp_path):
    write(tmp_path / "splits_by_subject.json", "[]")
    mine = write(tmp_path / "mine.json", "[]")
    assert find_splits(tmp_path, mine) == mine
    with pytest.raises(UserError, match=r"absent\.json"):
        find_splits(tmp_path, tmp_path / "absent.json")


def test_folds_are_read_as_they_stand(tmp_path):
    path = write(tmp_path / "s.json", [{"train": ["b", "a"], "val": ["c"]}, {"train": ["c"], "val": ["a", "b"]}])
    assert read_splits(path, dataset_of("a", "b", "c")) == [Fold(("b", "a"), ("c",)), Fold(("c",), ("a", "b"))]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("[{", "not valid JSON"),
        ({"train": ["a"], "val": ["b"]}, "list of folds"),
        ([], "list of folds"),
        (["a"], "'train'"),
        ([{"train": ["a"]}], "'val'"),
        ([{"train": ["a"], "val": "b"}], "'val'"),
        ([{"train": [], "val": ["b"]}], "no case in 'train'"),
        ([{"train": ["a"], "val": []}], "no case in 'val'"),
        ([{"train": ["a"], "val": ["b"]}, {"train": ["a", "x9"], "val": ["b"]}], r"fold 1 .*x9"),
        ([{"train": ["a", "a"], "val": ["b"]}], "more than once: a"),
        ([{"train": ["a", "b"], "val": ["b"]}], "validates on: b"),
    ],
)
def test_wrong_files_of_folds_are_refused_by_name(tmp_path, value, message):
    path = write(tmp_path / "wrong.json", value)
    with pytest.raises(UserError, match=message) as caught:
        read_splits(path, dataset_of("a", "b", "c"))
    assert "wrong.json" in str(caught.value)


def test_cases_in_no_fold_are_named_in_the_log(tmp_path, caplog):
    path = write(tmp_path / "s.json", [{"train": ["a"], "val": ["b"]}])
    with caplog.at_level(logging.WARNING):
        read_splits(path, dataset_of("a", "b", "left_out"))
    assert "left_out" in caplog.text


def test_dealt_folds_cover_each_case_once_and_do_not_leak():
    names = tuple(f"case_{n:02d}" for n in range(23))
    folds = make_folds(dataset_of(*names), k=5)
    assert len(folds) == 5
    assert sorted(name for fold in folds for name in fold.val) == sorted(names)
    for fold in folds:
        assert set(fold.train) | set(fold.val) == set(names)
        assert not set(fold.train) & set(fold.val)
        assert 4 <= len(fold.val) <= 5


def test_dealing_depends_on_the_seed_alone():
    names = [f"n{n}" for n in range(20)]
    assert deal(names, 5, 0) == deal(reversed(names), 5, 0)
    assert deal(names, 5, 0) != deal(names, 5, 1)


def test_dealing_stays_as_it_is_between_versions():
    assert [fold.val for fold in deal("abcdef", 3, seed=0)] == [("a", "e"), ("c", "f"), ("b", "d")]


def test_unknown_subjects_are_warned_of(caplog):
    with caplog.at_level(logging.WARNING):
        make_folds(dataset_of("a", "b", "c", "d", "e"))
    assert "subject" in caplog.text


def test_fewer_cases_than_folds_leave_one_out():
    assert make_folds(dataset_of("a", "b")) in (
        [Fold(("a",), ("b",)), Fold(("b",), ("a",))],
        [Fold(("b",), ("a",)), Fold(("a",), ("b",))],
    )


def test_a_single_case_trains_and_validates_with_a_warning(caplog):
    with caplog.at_level(logging.WARNING):
        assert make_folds(dataset_of("a")) == [Fold(("a",), ("a",))]
    assert "one case" in caplog.text


@pytest.mark.parametrize(("names", "k"), [("abc", 1), ("", 5)])
def test_what_cannot_be_dealt_is_refused(names, k):
    with pytest.raises(UserError):
        deal(names, k)


def test_hash_is_of_the_canonical_json():
    expected = hashlib.sha256(b'{"train":["a","b"],"val":["c"]}').hexdigest()
    assert split_hash(Fold(("b", "a"), ("c",))) == split_hash(Fold(("a", "b"), ("c",))) == expected
    assert split_hash(Fold(("a",), ("b", "c"))) != expected


def test_folds_by_subject_of_the_real_set_keep_pairs_together(reference_data):
    dataset = read_dataset(reference_data / "data" / "hippocampus")
    path = find_splits(dataset.folder)
    assert path.name == "splits_by_subject.json"
    folds = read_splits(path, dataset)
    assert len(folds) == 5

    def subjects(names):
        return {(int(name.removeprefix("hippocampus_")) + 1) // 2 for name in names}

    assert not any(subjects(fold.train) & subjects(fold.val) for fold in folds)
