"""Reports: label maps and segments that overlap, matched with labels, and what cannot be."""

import json
from dataclasses import dataclass

import numpy as np
import pytest

from segmamba.data.datasets import LabelEntry
from segmamba.errors import UserError
from segmamba.evaluation.report import check_report, evaluate, painted, write_report
from segmamba.images import Grid, from_array, write_image, write_segmentation

GRID = Grid((8, 7, 6), (1.0, 2.0, 5.0), (1.0, 2.0, 3.0), (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0))
REGIONS = (LabelEntry("WT", 2, (1, 2, 3)), LabelEntry("TC", 1, (1, 3)), LabelEntry("ET", 3, (3,)))


@dataclass
class Segment:
    value: int
    name: str
    colour: tuple[int, int, int] = (255, 0, 0)
    terminology: dict | None = None


def truth() -> np.ndarray:
    values = np.zeros((6, 7, 8), np.uint8)
    values[1:5], values[2:4], values[3] = 2, 1, 3
    return values


def save(path, values=None, names=("WT", "TC", "ET"), keys=(2, 1, 3)):
    """The truth's regions as segments; or a label map."""
    segments = [Segment(value, name) for value, name in zip(keys, names, strict=True)]
    if values is not None:
        write_segmentation(from_array(values, GRID), path, segments)
        return path
    regions = sum(np.isin(truth(), label.members).astype(np.uint8) << n for n, label in enumerate(REGIONS))
    write_segmentation(from_array(truth(), GRID), path, segments, regions)
    return path


@pytest.fixture
def reference(tmp_path):
    (tmp_path / "set" / "labelsTr").mkdir(parents=True)
    path = tmp_path / "set" / "labelsTr" / "a.nii.gz"
    write_image(from_array(truth(), GRID), path)
    return path


def dice(rows):
    return {row.label: row.counts.dice for row in rows}


def test_segments_that_overlap_are_matched_with_labels_by_their_names(tmp_path, reference):
    perfect = {"WT": 1.0, "TC": 1.0, "ET": 1.0}
    mask = save(tmp_path / "a.seg.nrrd")
    rows, summary = evaluate(mask, reference, REGIONS)
    assert dice(rows) == perfect and summary["mean_dice"] == 1.0
    assert rows[0].counts.predicted == 4 * 56 and float(rows[0].cells()["predicted_ml"]) == pytest.approx(2.24)
    # Slicer numbers segments as it likes, and either side may be such a file.
    other = save(tmp_path / "b.seg.nrrd", keys=(1, 1, 1))
    assert dice(evaluate(other, reference, REGIONS)[0]) == perfect
    assert dice(evaluate(reference, other, REGIONS)[0]) == perfect
    # A label without a segment was not found.
    rows, summary = evaluate(other, mask, (*REGIONS, LabelEntry("extra", 9, (9,))))
    assert dice(rows) == {**perfect, "extra": None} and summary["labels"]["extra"]["measured"] == 0


def test_a_plain_segmentation_is_matched_by_name_and_without_names_by_value(tmp_path, reference):
    values = truth()
    labels = tuple(LabelEntry(name, value, (value,)) for value, name in ((1, "core"), (2, "rest"), (3, "rim")))
    swapped = np.array([0, 5, 6, 7], np.uint8)[values]
    named = save(tmp_path / "a.seg.nrrd", swapped, ("core", "rest", "rim"), (5, 6, 7))
    assert set(dice(evaluate(named, reference, labels)[0]).values()) == {1.0}
    unnamed = save(tmp_path / "b.seg.nrrd", values, ("x", "y", "z"), (1, 2, 3))
    assert set(dice(evaluate(unnamed, reference, labels)[0]).values()) == {1.0}
    assert set(dice(evaluate(unnamed, reference)[0])) == {"1", "2", "3"}


def test_segments_that_fit_no_labels_are_refused(tmp_path, reference):
    mask = save(tmp_path / "a.seg.nrrd", names=("WT", "core", "ET"))
    with pytest.raises(UserError, match=r"a\.seg\.nrrd holds the segment 'core'.*ET, TC, WT"):
        evaluate(mask, reference, REGIONS)
    with pytest.raises(UserError, match=r"a\.seg\.nrrd holds segments that overlap.*--dataset"):
        evaluate(mask, reference)


def test_labels_are_named_by_a_description_whose_images_are_not_there(tmp_path, reference):
    about = {"labels": {"background": 0, "WT": [1, 2, 3], "TC": [1, 3], "ET": [3]}, "regions_class_order": [2, 1, 3]}
    (tmp_path / "set" / "dataset.json").write_text(json.dumps(about))
    rows, _ = evaluate(save(tmp_path / "a.seg.nrrd"), reference)
    assert dice(rows) == {"WT": 1.0, "TC": 1.0, "ET": 1.0}


def test_a_region_is_painted_over_by_those_nested_in_it():
    assert [painted(label, REGIONS) for label in REGIONS] == [[2, 1, 3], [1, 3], [3]]


def test_a_report_that_could_not_be_written_is_refused_and_no_folder_made_beforehand(tmp_path):
    check_report(tmp_path / "new" / "report")
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").touch()
    for place in (tmp_path / "file", tmp_path / "file" / "report"):
        with pytest.raises(UserError, match="file"):
            check_report(place)


def test_the_report_is_a_table_and_a_summary(tmp_path, reference):
    rows, summary = evaluate(save(tmp_path / "a.seg.nrrd"), reference, REGIONS)
    write_report(rows, summary, tmp_path / "new" / "report")
    assert json.loads((tmp_path / "new" / "report" / "summary.json").read_text()) == summary
    lines = (tmp_path / "new" / "report" / "cases.csv").read_text().splitlines()
    assert lines[0].startswith("case,label,dice") and lines[1].startswith("a,WT,1.0") and len(lines) == 4
