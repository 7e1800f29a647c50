"""Masks from files: label maps and segments that overlap, matched with labels, and what cannot be."""

from dataclasses import dataclass

import numpy as np
import pytest

from segmamba.data.datasets import LabelEntry
from segmamba.errors import UserError
from segmamba.evaluation.cases import evaluate
from segmamba.evaluation.reading import painted, read_masks, union
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


def write(path, values=None, names=("WT", "TC", "ET"), keys=(2, 1, 3)):
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
    path = tmp_path / "set" / "labelsTr" / "a.nii.gz"
    path.parent.mkdir(parents=True)
    write_image(from_array(truth(), GRID), path)
    return path


def dice(*arguments):
    return {row.label: row.counts.dice for row in evaluate(*arguments).rows}


def test_segments_that_overlap_are_matched_with_labels_by_their_names(tmp_path, reference):
    perfect = {"WT": 1.0, "TC": 1.0, "ET": 1.0}
    mask = write(tmp_path / "a.seg.nrrd")
    rows = evaluate(mask, reference, REGIONS).rows
    assert {row.label: row.counts.dice for row in rows} == perfect
    assert rows[0].counts.predicted == 4 * 56 and rows[0].predicted_ml == pytest.approx(2.24)
    # Slicer numbers segments as it likes, and either side may be such a file.
    other = write(tmp_path / "b.seg.nrrd", keys=(1, 1, 1))
    assert dice(other, reference, REGIONS) == perfect
    assert dice(reference, other, REGIONS) == perfect
    # A label without a segment was not found.
    assert dice(other, mask, (*REGIONS, LabelEntry("extra", 9, (9,)))) == {**perfect, "extra": None}


def test_a_plain_segmentation_is_matched_by_name_and_without_names_by_value(tmp_path, reference):
    values = truth()
    labels = tuple(LabelEntry(name, value, (value,)) for value, name in ((1, "core"), (2, "rest"), (3, "rim")))
    swapped = np.array([0, 5, 6, 7], np.uint8)[values]
    named = write(tmp_path / "a.seg.nrrd", swapped, ("core", "rest", "rim"), (5, 6, 7))
    assert set(dice(named, reference, labels).values()) == {1.0}
    unnamed = write(tmp_path / "b.seg.nrrd", values, ("x", "y", "z"), (1, 2, 3))
    assert set(dice(unnamed, reference, labels).values()) == {1.0}
    assert set(dice(unnamed, reference)) == {"1", "2", "3"}


def test_values_of_segments_may_be_as_large_as_a_program_likes(tmp_path, reference):
    values = np.array([0, 4_000_000_000, 7, 70_000], np.uint32)[truth()]
    labels = tuple(LabelEntry(name, value, (value,)) for value, name in ((1, "core"), (2, "rest"), (3, "rim")))
    mask = write(tmp_path / "a.seg.nrrd", values, ("core", "rest", "rim"), (4_000_000_000, 7, 70_000))
    assert set(dice(mask, reference, labels).values()) == {1.0}


def test_segments_that_fit_no_labels_are_refused(tmp_path, reference):
    mask = write(tmp_path / "a.seg.nrrd", names=("WT", "core", "ET"))
    with pytest.raises(UserError, match=r"a\.seg\.nrrd holds the segment 'core'.*ET, TC, WT"):
        evaluate(mask, reference, REGIONS)
    with pytest.raises(UserError, match=r"a\.seg\.nrrd holds segments that overlap.*--dataset"):
        evaluate(mask, reference)


def test_a_value_that_is_no_label_s_is_refused(reference):
    with pytest.raises(UserError, match=r"a\.nii\.gz holds the value 3, which is none of the labels' \(1, 2\)"):
        evaluate(reference, reference, [LabelEntry("core", 1, (1,)), LabelEntry("rest", 2, (2,))])


def test_axes_that_are_far_from_perpendicular_are_refused(tmp_path):
    tilt = (1.0, 0.0, 0.3, 0.0, 1.0, 0.0, 0.0, 0.0, 0.954)
    path = tmp_path / "a.nrrd"
    write_image(from_array(truth(), Grid(GRID.size, GRID.spacing, GRID.origin, tilt)), path)
    with pytest.raises(UserError, match=r"a\.nrrd: its axes are not perpendicular"):
        evaluate(path, path)


def test_a_region_is_painted_over_by_those_nested_in_it():
    assert [painted(label, REGIONS) for label in REGIONS] == [[2, 1, 3], [1, 3], [3]]


def test_masks_are_read_a_box_at_a_time(tmp_path, reference):
    labels = (LabelEntry("core", 1, (1, 3)), LabelEntry("rest", 2, (2,)), LabelEntry("none", 9, (9,)))
    for path in (reference, write(tmp_path / "a.seg.nrrd", truth(), ("core", "rest", "none"), (1, 2, 3))):
        masks = read_masks(path, labels, lambda label: label.members)
        assert masks.box(labels[0])[0] == (slice(2, 4) if path == reference else slice(2, 3))
        assert masks.box(labels[1]) == (slice(1, 5), slice(0, 7), slice(0, 8))
        part = (slice(1, 3), slice(0, 2), slice(3, 8))
        assert np.array_equal(masks.mask(labels[1], part), truth()[part] == 2)


def test_a_union_of_boxes_holds_them_all():
    one, other = (slice(1, 3), slice(0, 5)), (slice(2, 9), slice(1, 2))
    assert union([one, None, other]) == (slice(1, 9), slice(0, 5))
    assert union([None]) is None and union([]) is None
