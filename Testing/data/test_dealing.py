"""Folds by subject: subjects stay whole, labels are spread, and the seed decides."""

import re

import pytest
from layouts import write_brats, write_list, write_raw

from segmamba.data.datasets import read_dataset
from segmamba.data.dealing import deal_subjects, read_presence, subjects_of
from segmamba.data.splits import make_folds, read_splits, write_splits
from segmamba.errors import UserError

# 30 cases of 15 subjects; a rare label in six subjects' first case, a common one in each.
SUBJECTS = {f"c{n:02d}": f"s{n // 2}" for n in range(30)}
PRESENCE = {name: {"common"} | ({"rare"} if n % 2 == 0 and n < 12 else set()) for n, name in enumerate(SUBJECTS)}


@pytest.mark.parametrize("seed", range(5))
def test_subjects_stay_whole_and_each_case_validates_once(seed):
    folds = deal_subjects(SUBJECTS, PRESENCE, 5, seed)
    assert sorted(name for fold in folds for name in fold.val) == sorted(SUBJECTS)
    for fold in folds:
        assert sorted(fold.train + fold.val) == sorted(SUBJECTS)
        assert not {SUBJECTS[name] for name in fold.train} & {SUBJECTS[name] for name in fold.val}


@pytest.mark.parametrize("seed", range(5))
def test_labels_are_spread(seed):
    folds = deal_subjects(SUBJECTS, PRESENCE, 3, seed)
    assert [sum("rare" in PRESENCE[name] for name in fold.val) for fold in folds] == [2, 2, 2]
    assert [len(fold.val) for fold in folds] == [10, 10, 10]


def test_large_subjects_leave_no_fold_empty():
    subjects = {f"c{n}": "big" if n < 20 else f"s{n}" for n in range(24)}
    folds = deal_subjects(subjects, {}, 5, 0)
    assert sorted(len(fold.val) for fold in folds) == [1, 1, 1, 1, 20]


def test_the_seed_decides():
    assert deal_subjects(SUBJECTS, PRESENCE, 5, 3) == deal_subjects(dict(reversed(SUBJECTS.items())), PRESENCE, 5, 3)
    assert deal_subjects(SUBJECTS, PRESENCE, 5, 3) != deal_subjects(SUBJECTS, PRESENCE, 5, 4)


@pytest.mark.parametrize(("k", "words"), [(1, "2 or more"), (16, "15 subjects")])
def test_a_wrong_number_of_folds_is_refused(k, words):
    with pytest.raises(UserError, match=f"-k {k}.*{words}"):
        deal_subjects(SUBJECTS, PRESENCE, k)


def test_subjects_come_from_the_data_set_a_column_or_an_expression(tmp_path):
    dataset = read_dataset(write_list(tmp_path / "set"))
    assert subjects_of(dataset) == {"p0": "s0", "p1": "s0", "p2": "s1", "p3": "s1"}
    assert subjects_of(dataset, "subject") == subjects_of(dataset)
    assert set(subjects_of(dataset, "site").values()) == {"A"}
    assert subjects_of(dataset, r"p(\d)") == {f"p{n}": str(n) for n in range(4)}
    assert subjects_of(dataset, r"^p")["p3"] == "p"


@pytest.mark.parametrize("by", ["age", "("])
def test_what_names_no_subject_is_refused(tmp_path, by):
    with pytest.raises(UserError, match=re.escape(f"--subjects {by!r}")):
        subjects_of(read_dataset(write_list(tmp_path / "set")), by)


def test_labels_of_each_case_are_read(tmp_path):
    assert read_presence(read_dataset(write_brats(tmp_path / "set", count=1))) == {
        "BraTS-GLI-00000-000": {"WT", "TC", "ET"}
    }


def test_folds_are_written_as_they_are_read(tmp_path):
    dataset = read_dataset(write_raw(tmp_path / "set"))
    folds = deal_subjects(subjects_of(dataset), {}, 3)
    write_splits(folds, tmp_path / "folds.json")
    assert read_splits(tmp_path / "folds.json", dataset) == folds


def test_folds_that_training_makes_keep_stated_subjects_whole(tmp_path, caplog):
    folds = make_folds(read_dataset(write_brats(tmp_path / "set")))
    assert {("BraTS-GLI-00000-000", "BraTS-GLI-00000-001"), ("BraTS-GLI-00001-000",)} == {fold.val for fold in folds}
    assert not caplog.records or all(record.levelname != "WARNING" for record in caplog.records)
