"""Which files belong together."""

import json

import numpy as np
import pytest

from segmamba.errors import UserError
from segmamba.evaluation.matching import find_images, find_labels, find_pairs, without_prediction


@pytest.fixture
def files(tmp_path):
    """``files("a/b.nii", ...)`` makes empty files and gives their paths."""

    def make(*names):
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        return [tmp_path / name for name in names]

    return make


def test_masks_are_paired_by_name_whatever_their_format(tmp_path, files):
    files("p/b.seg.nrrd", "p/a.nii.gz", "p/.hidden.nii", "p/notes.txt", "r/a.mha", "r/b.nii", "r/c.nii", "r/d.nii")
    pairs = find_pairs(tmp_path / "p", tmp_path / "r")
    assert [(pair.case, pair.prediction.name, pair.reference.name) for pair in pairs] == [
        ("a", "a.nii.gz", "a.mha"),
        ("b", "b.seg.nrrd", "b.nii"),
    ]
    assert without_prediction(pairs, tmp_path / "r") == 2


def test_two_files_are_one_case(files):
    one, other = files("p/scan.nii.gz", "r/truth.nii.gz")
    (pair,) = find_pairs(one, other)
    assert (pair.case, pair.prediction, pair.reference, pair.image) == ("scan", one, other, None)
    assert without_prediction([pair], other) == 0


def test_what_cannot_be_paired_is_refused(tmp_path, files):
    files("p/a.nii", "p/a.mha", "r/a.nii", "q/b.nii", "e/notes.txt")
    with pytest.raises(UserError, match=r"a\.mha and a\.nii; one mask a case"):
        find_pairs(tmp_path / "p", tmp_path / "r")
    with pytest.raises(UserError, match="b has no reference of that name"):
        find_pairs(tmp_path / "q", tmp_path / "r")
    with pytest.raises(UserError, match=r"e holds no masks"):
        find_pairs(tmp_path / "e", tmp_path / "r")
    with pytest.raises(UserError, match=r"gone does not exist"):
        find_pairs(tmp_path / "gone", tmp_path / "r")
    with pytest.raises(UserError, match="two folders or two files"):
        find_pairs(tmp_path / "q", tmp_path / "r" / "a.nii")


def test_images_are_named_as_cases_or_as_first_channels(tmp_path, files):
    files("p/a.nii", "p/b.nii", "r/a.nii", "r/b.nii", "i/a_0000.nii.gz", "i/a_0001.nii.gz", "i/b.nrrd", "i/b_0000.nii")
    pairs = find_images(find_pairs(tmp_path / "p", tmp_path / "r"), tmp_path / "i")
    assert [pair.image.name for pair in pairs] == ["a_0000.nii.gz", "b.nrrd"]


def test_one_case_s_image_may_be_a_file(tmp_path, files):
    mask, truth, image = files("p/a.nii", "r/a.nii", "scan.nrrd")
    assert find_images(find_pairs(mask, truth), image)[0].image == image


def test_images_that_are_missing_are_refused(tmp_path, files):
    files("p/a.nii", "p/b.nii", "r/a.nii", "r/b.nii", "i/a.nii")
    pairs = find_pairs(tmp_path / "p", tmp_path / "r")
    with pytest.raises(UserError, match=r"--images .*gone does not exist"):
        find_images(pairs, tmp_path / "gone")
    with pytest.raises(UserError, match=r"--images .*i holds no image b or b_0000"):
        find_images(pairs, tmp_path / "i")
    with pytest.raises(UserError, match=r"--images .*a\.nii is a file, and there are 2 cases"):
        find_images(pairs, tmp_path / "i" / "a.nii")


def test_labels_are_named_by_a_description_whose_images_are_not_there(tmp_path, save):
    values = np.zeros((4, 4, 4), np.uint8)
    values[0], values[1] = 3, 7
    path = save(values, tmp_path / "set" / "labelsTr" / "a.nii.gz")
    pairs = find_pairs(path, path)
    assert [(label.name, label.value) for label in find_labels(pairs, path)] == [("3", 3), ("7", 7)]
    about = {"labels": {"background": 0, "WT": [1, 2, 3], "TC": [1, 3], "ET": [3]}, "regions_class_order": [2, 1, 3]}
    (tmp_path / "set" / "dataset.json").write_text(json.dumps(about))
    assert [label.name for label in find_labels(pairs, path.parent)] == ["WT", "TC", "ET"]
