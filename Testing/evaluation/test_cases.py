"""What is measured in each case, and what it counts where masks are empty."""

import pytest

from segmamba.errors import UserError
from segmamba.evaluation.cases import METRICS, Row, evaluate
from segmamba.evaluation.metrics import Overlap
from segmamba.evaluation.policy import PENALTY_MM, POLICIES

NOTHING = dict.fromkeys(METRICS)
AGREEMENT = {name: 1.0 if name in ("dice", "nsd") else 0.0 for name in METRICS}


def row(predicted, reference, common=0, **measured):
    return Row("a", "b", Overlap(predicted, reference, common), 0.5, **measured)


def test_a_case_counts_what_was_measured():
    scores = row(6, 8, 4, hd95_mm=2.5, nsd=0.75).scores(POLICIES["skip"])
    assert scores == {
        "dice": pytest.approx(8 / 14),
        "nsd": 0.75,
        "hd95_mm": 2.5,
        "difference_ml": -1.0,
        "absolute_difference_ml": 1.0,
        "relative_difference": -0.25,
        "absolute_relative_difference": 0.25,
    }
    for policy in POLICIES.values():
        assert row(6, 8, 4, hd95_mm=2.5, nsd=0.75).scores(policy) == scores


def test_which_masks_are_empty_is_told():
    assert [row(1, 1).empty, row(0, 1).empty, row(1, 0).empty, row(0, 0).empty] == [
        "no",
        "prediction",
        "reference",
        "both",
    ]


def test_a_label_in_neither_mask_is_left_out_or_agreement():
    assert row(0, 0).scores(POLICIES["skip"]) == NOTHING
    assert row(0, 0).scores(POLICIES["one"]) == row(0, 0).scores(POLICIES["brats"]) == AGREEMENT


@pytest.mark.parametrize(("policy", "hd95"), [("skip", None), ("one", None), ("brats", 373.13)])
def test_a_label_in_one_mask_alone_is_no_overlap_under_every_policy(policy, hd95):
    miss, extra = row(0, 4).scores(POLICIES[policy]), row(4, 0).scores(POLICIES[policy])
    for scores in (miss, extra):
        assert (scores["dice"], scores["nsd"], scores["hd95_mm"]) == (0.0, 0.0, hd95)
    assert (miss["difference_ml"], miss["relative_difference"]) == (-2.0, -1.0)
    assert (extra["difference_ml"], extra["relative_difference"]) == (2.0, None)
    assert pytest.approx((240**2 + 240**2 + 155**2) ** 0.5, abs=0.01) == PENALTY_MM


def test_cases_are_measured_in_mm_and_ml(folders):
    evaluation = evaluate(*folders, tolerance=3.0)
    rows = {(row.case, row.label): row for row in evaluation.rows}
    assert len(rows) == 8 and evaluation.policy.name == "skip"
    half = rows["half", "1"]
    # Boxes of 4 x 4 x 6 voxels, 3 mm from each other.
    assert half.counts == Overlap(96, 96, 48) and half.predicted_ml == pytest.approx(0.096)
    assert half.hd95_mm == 3 and half.nsd == 1 and half.tolerance_mm == 3
    assert rows["right", "1"].hd95_mm == 0 and rows["right", "2"].counts.dice == 1
    assert rows["missed", "1"].hd95_mm is None and rows["missed", "1"].empty == "prediction"
    assert rows["half", "2"].empty == "both"


def test_spacing_is_that_of_the_axes_on_oblique_grids_too(tmp_path, save, box):
    oblique = (0.8, 0.0, 0.6, 0.0, 1.0, 0.0, -0.6, 0.0, 0.8)
    one = save(box(1, (2, 8)), tmp_path / "a.nii.gz", (2.0, 1.0, 1.0), oblique)
    other = save(box(1, (5, 11)), tmp_path / "b.nii.gz", (2.0, 1.0, 1.0), oblique)
    (found,) = evaluate(one, other).rows
    assert found.hd95_mm == pytest.approx(6, rel=1e-5) and found.predicted_ml == pytest.approx(0.192)


def test_a_label_may_have_a_tolerance_of_its_own(folders):
    evaluation = evaluate(*folders, tolerance=1.0, tolerances={"1": 3.0})
    assert evaluation.tolerances == {"1": 3.0, "2": 1.0}
    assert [row.nsd for row in evaluation.rows_of("1") if row.case == "half"] == [1.0]
    with pytest.raises(UserError, match=r"--nsd-tolerance tumour=.*no such label; there are 1, 2"):
        evaluate(*folders, tolerances={"tumour": 1.0})


def test_progress_runs_from_nothing_to_all(folders):
    seen = []
    evaluate(*folders, report=lambda fraction, message: seen.append((fraction, message)))
    assert [fraction for fraction, _ in seen] == [0, 0.25, 0.5, 0.75, 1]
    assert seen[0][1] == "case 1 of 4"


def test_references_that_were_not_predicted_are_counted(folders):
    (folders[0] / "half.nii.gz").unlink()
    assert evaluate(*folders).without_prediction == 1
