"""A run's folder: begun once, gone on with only as it was begun, and what run.json says."""

import json

import numpy as np
import pytest
import SimpleITK as sitk
from boxes import fold_of, recipe, write_dataset

from segmamba.data.splits import Fold
from segmamba.errors import UserError
from segmamba.training.plan import make_metadata
from segmamba.training.run import case_hash, check_folds, check_same, read_run, start_or_resume, write_run


@pytest.fixture
def begun(tmp_path):
    """A data set and the folder of a run on it that has just begun."""
    dataset = write_dataset(tmp_path / "data", 3)
    asked = recipe()
    folder = tmp_path / "run"
    folder.mkdir()
    fold = fold_of(dataset)
    write_run(folder, dataset, fold, "0", asked, asked, make_metadata(dataset, list(fold.train), asked))
    return dataset, folder


def test_a_new_folder_is_made_and_nothing_is_there_to_go_on_with(tmp_path):
    for resume in (None, "auto"):
        folder = tmp_path / str(resume) / "deep" / "run"
        assert start_or_resume(folder, resume) is False
        assert list(folder.iterdir()) == []


def test_resuming_where_there_is_nothing_fails(tmp_path):
    with pytest.raises(UserError, match="holds no run to resume"):
        start_or_resume(tmp_path / "run", "must")
    assert not (tmp_path / "run").exists()


def test_a_folder_that_holds_a_run_is_not_begun_again(begun):
    _, folder = begun
    with pytest.raises(UserError, match="already holds a run"):
        start_or_resume(folder, None)
    assert start_or_resume(folder, "must") and start_or_resume(folder, "auto")


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match=r"is not empty \(thesis\.txt\)"):
        start_or_resume(tmp_path, None)
    assert start_or_resume(tmp_path, "auto") is False  # such as the log that a scheduler writes there


@pytest.mark.parametrize("name", ["checkpoint.pt", "summary.json", "log.jsonl"])
def test_results_of_a_run_without_its_run_file_are_never_overwritten(tmp_path, name):
    (tmp_path / name).write_text("")
    for resume in (None, "auto"):
        with pytest.raises(UserError, match=f"{name}.*holds no run.json"):
            start_or_resume(tmp_path, resume)


def test_what_a_run_killed_while_preparing_leaves_is_no_obstacle(tmp_path):
    (tmp_path / "prepared").mkdir()
    half = tmp_path / "prepared" / f".{'0a' * 16}"
    half.write_text("half a case")
    assert start_or_resume(tmp_path, None) is False
    assert not half.exists()


def test_somebody_elses_folder_of_that_name_is_refused_and_kept(tmp_path):
    (tmp_path / "prepared").mkdir()
    (tmp_path / "prepared" / "dinner.txt").write_text("soup")
    for resume in (None, "auto"):
        with pytest.raises(UserError, match=r"is not empty \(prepared\)"):
            start_or_resume(tmp_path, resume)
    assert (tmp_path / "prepared" / "dinner.txt").read_text() == "soup"


def test_a_folder_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written to"):
        start_or_resume(tmp_path / "file" / "run", None)


def test_several_folds_go_on_where_one_has_begun_and_are_refused_before_the_first(begun, tmp_path):
    _, first = begun
    folders = [first, tmp_path / "fold_1", tmp_path / "fold_2"]
    assert check_folds(folders, "must") == "auto"
    with pytest.raises(UserError, match="no run to resume in fold_1, fold_2"):
        check_folds(folders[1:], "must")
    assert check_folds(folders[1:], None) is None
    with pytest.raises(UserError, match=r"run already holds a run"):
        check_folds([*folders[1:], first], None)
    assert not folders[1].exists()
    folders[2].mkdir()
    (folders[2] / "checkpoint.pt").write_text("")
    with pytest.raises(UserError, match=r"fold_2 is not empty"):
        check_folds(folders, "must")


def test_a_file_of_the_data_that_has_vanished_is_told(begun):
    dataset, folder = begun
    dataset.cases[1].label.unlink()
    with pytest.raises(UserError, match=r"case1\.nii\.gz, of case case1, cannot be read"):
        check_same(folder, read_run(folder), recipe(), fold_of(dataset), dataset)


def test_the_run_file_holds_recipe_data_split_and_versions(begun):
    dataset, folder = begun
    content = json.loads((folder / "run.json").read_text())
    assert content["fold"] == {"name": "0", "train": ["case0", "case1"], "val": ["case2"]}
    assert content["hashes"] == {case.name: case_hash(case) for case in dataset.cases}
    assert {"segmamba", "torch", "numpy", "python"} <= content["versions"].keys()
    assert content["recipe"]["seed"] == 0 and content["asked"]["train"]["steps_per_epoch"] == 2
    assert read_run(folder)["recipe"] == recipe()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 1, "recipe": 5}', '{"format": 99}', "\x00"])
def test_a_damaged_or_newer_run_file_is_refused_by_name(begun, text):
    _, folder = begun
    (folder / "run.json").write_text(text)
    with pytest.raises(UserError, match=r"run\.json"):
        read_run(folder)


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"seed": 4}, "seed"),
        ({"train": {"epochs": 5}}, r"train\.epochs"),
        ({"network": {"name": "lightmunet", "options": {"init_filters": 16}}}, r"network\.options\.init_filters"),
        ({"data": {"patch": [16, 16, 24]}}, r"data\.patch"),
    ],
)
def test_another_recipe_is_refused_naming_the_key(begun, change, path):
    dataset, folder = begun
    with pytest.raises(UserError, match=path):
        check_same(folder, read_run(folder), recipe(**change), fold_of(dataset), dataset)


def test_the_same_recipe_fold_and_data_go_on_even_with_tuples_in_the_options(begun):
    dataset, folder = begun
    options = {"init_filters": 8, "blocks_down": (1, 1), "blocks_up": (1,)}
    check_same(folder, read_run(folder), recipe(network={"options": options}), fold_of(dataset), dataset)


def test_another_fold_is_refused(begun):
    dataset, folder = begun
    with pytest.raises(UserError, match="fold"):
        check_same(folder, read_run(folder), recipe(), Fold(("case1", "case2"), ("case0",)), dataset)


@pytest.mark.parametrize("part", ["imagesTr/case1_0000", "labelsTr/case2"])
def test_data_that_changed_is_refused_naming_the_case(begun, part):
    dataset, folder = begun
    path = dataset.folder / f"{part}.nii.gz"
    image = sitk.ReadImage(str(path))
    array = sitk.GetArrayFromImage(image)
    array[0, 0, 0] = 1 - array[0, 0, 0]
    changed = sitk.GetImageFromArray(np.asarray(array))
    changed.CopyInformation(image)
    sitk.WriteImage(changed, str(path))
    with pytest.raises(UserError, match=f"{part[9:14].lstrip('/')}.* have changed"):
        check_same(folder, read_run(folder), recipe(), fold_of(dataset), dataset)
