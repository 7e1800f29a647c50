"""Lists of files: CSV and JSON say the same, folds and subjects are kept, and mistakes name the line."""

import json

import numpy as np
import pytest
from layouts import GRID, box, picture, save, write_list, write_slicer

from segmamba.data.datasets import LabelEntry, read_case_label, read_dataset
from segmamba.data.splits import listed_folds
from segmamba.errors import UserError
from segmamba.images import array, from_array


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_lists_tell_all(tmp_path, kind):
    dataset = read_dataset(write_list(tmp_path / "set", kind))
    assert dataset.channels == ("T1", "FLAIR") and dataset.names == ("p0", "p1", "p2", "p3")
    assert dataset.labels == (LabelEntry("outer", 1, (1,)), LabelEntry("inner", 2, (2,)))
    assert [case.subject for case in dataset.cases] == ["s0", "s0", "s1", "s1"]
    assert [path.name for path in dataset.cases[0].images] == ["p0_0.nii.gz", "p0_1.nii.gz"]
    folds = listed_folds(dataset)
    assert [fold.val for fold in folds] == [("p0", "p1"), ("p2", "p3")]
    assert [fold.train for fold in folds] == [("p2", "p3"), ("p0", "p1")]


def test_further_columns_are_kept(tmp_path):
    assert read_dataset(write_list(tmp_path / "set")).cases[0].columns == (("site", "A"),)


def test_a_bare_list_gets_its_names_and_labels_from_the_files(tmp_path):
    for n in range(2):
        save(picture(n), tmp_path / f"s{n}" / "t1.nii.gz")
        save(from_array(box(n) * 20, GRID), tmp_path / f"s{n}" / "mask.nii.gz")
    listed = [{"image": f"s{n}/t1.nii.gz", "label": f"s{n}\\mask.nii.gz"} for n in range(2)]
    (tmp_path / "list.json").write_text(json.dumps(listed))
    dataset = read_dataset(tmp_path / "list.json")
    assert dataset.names == ("s0", "s1") and dataset.channels == ("image",)
    assert dataset.labels == (LabelEntry("label 20", 20, (20,)), LabelEntry("label 40", 40, (40,)))
    assert listed_folds(dataset) is None


def test_labels_may_be_segments(tmp_path):
    write_slicer(tmp_path, overlapping=True)
    rows = [f"scan{n}.nrrd;scan{n}.seg.nrrd" for n in range(3)]
    (tmp_path / "list.csv").write_text("\n".join(["image;label", *rows]))
    dataset = read_dataset(tmp_path / "list.csv")
    assert dataset.regions and [entry.name for entry in dataset.labels] == ["organ", "lesion"]
    inner = np.isin(array(read_case_label(dataset.cases[2])), dataset.labels[1].members)
    np.testing.assert_array_equal(inner, box(2) == 2)


def test_images_by_name_come_in_the_order_of_the_channels(tmp_path):
    path = write_list(tmp_path / "set", "json")
    about = json.loads(path.read_text())
    about["cases"][1]["image"] = dict(zip(("FLAIR", "T1"), reversed(about["cases"][1]["image"]), strict=True))
    path.write_text(json.dumps(about))
    assert [file.name for file in read_dataset(path).cases[1].images] == ["p1_0.nii.gz", "p1_1.nii.gz"]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("volumes/p1_0.nii.gz", "volumes/gone.nii.gz", ["gone.nii.gz", "line 3"]),
        ("masks/p1.nii.gz", "", ["p1_0.nii.gz has no label", "line 3"]),
        ("volumes/p1_1.nii.gz", "", ["line 3 has no image:FLAIR"]),
        ("p1,s0,0", "p1,s0,last", ["line 3.fold is 'last'"]),
        ("p1,s0,0", "p1,s0,5", ["no case has the fold 2"]),
        ("p1,s0", "../p1,s0", ["line 3.case"]),
        ("p1,s0", "p0,s0", ["'p0' appears more than once"]),
        (",label,", ",mask,", ["must name label"]),
        ("image:T1", "image:FLAIR", ["names 'image:FLAIR' twice"]),
    ],
)
def test_a_mistake_in_a_list_is_named(tmp_path, old, new, words):
    path = write_list(tmp_path / "set")
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(UserError) as caught:
        listed_folds(read_dataset(path))
    assert all(word in str(caught.value) for word in [*words, "list.csv"] if word), str(caught.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda about: about.update(cases={}), "lists no cases"),
        (lambda about: about.update(cases=[]), "lists no cases"),
        (lambda about: about.update(channels=["T1"]), r"cases\[0\] has the images"),
        (lambda about: about.update(channels="T1"), "channels is 'T1'"),
        (lambda about: about["cases"].append("x"), r"cases\[4\] is 'x'"),
        (lambda about: about.update(labels={"background": 0, "b": 2}), "count from 1"),
        (lambda about: [case.update(fold=0) for case in about["cases"]], "every case has the fold 0"),
        (lambda about: about["cases"][0].update(image={"T1": "masks/p0.nii.gz", "T2": "masks/p0.nii.gz"}), "T2"),
        (lambda about: about["cases"][0].update(subject=[1]), r"cases\[0\]\.subject"),
    ],
)
def test_a_mistake_in_a_json_list_is_named(tmp_path, change, words):
    path = write_list(tmp_path / "set", "json")
    about = json.loads(path.read_text())
    change(about)
    path.write_text(json.dumps(about))
    with pytest.raises(UserError, match=words):
        listed_folds(read_dataset(path))
