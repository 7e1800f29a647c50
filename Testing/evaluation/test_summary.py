"""The summary: means with intervals, what could not be measured, the policy."""

import json

import numpy as np
import pytest
from scipy import stats

from segmamba.evaluation.cases import METRICS, evaluate
from segmamba.evaluation.summary import describe, interval, summarise, unpredicted


def test_values_are_described_by_mean_spread_and_quartiles():
    found = describe([1.0, 2.0, 3.0, 4.0, 10.0])
    assert (found["n"], found["mean"], found["median"], found["q1"], found["q3"]) == (5, 4, 3, 2, 4)
    assert (found["min"], found["max"]) == (1, 10) and found["std"] == pytest.approx(np.sqrt(50 / 4))
    low, high = found["ci95"]
    assert 1 <= low < 4 < high <= 10


def test_one_value_has_no_interval_and_none_has_nothing():
    one = describe([0.5])
    assert one["mean"] == one["median"] == 0.5 and one["ci95"] is None and one["std"] is None
    assert describe([]) == {"n": 0, **dict.fromkeys(("mean", "ci95", "median", "std", "q1", "q3", "min", "max"))}


def test_an_interval_is_the_same_every_time_and_close_to_theory():
    values = np.random.default_rng(3).normal(0.8, 0.1, 200)
    low, high = interval(values)
    assert [low, high] == interval(values)
    theory = stats.t.interval(0.95, 199, values.mean(), stats.sem(values))
    assert (low, high) == pytest.approx(theory, abs=0.002)


def test_an_interval_covers_the_true_mean_about_as_often_as_it_says():
    random = np.random.default_rng(0)
    intervals = [interval(random.beta(8, 2, 30)) for _ in range(150)]
    covered = sum(low <= 0.8 <= high for low, high in intervals)
    assert 0.87 <= covered / 150 <= 0.99


@pytest.mark.parametrize("values", [[0.5, 0.5, 0.5], [0.5, 0.6], [1, 1, 1, 1, 0], [0.0, 0.0, 1e-12]])
def test_an_interval_of_few_or_equal_values_is_within_them(values):
    low, high = interval(np.array(values, float))
    assert min(values) <= low <= high <= max(values)


def test_an_interval_of_many_cases_needs_no_more_memory_than_a_part_of_them():
    assert np.ptp(interval(np.linspace(0, 1, 3000))) == pytest.approx(2 * 1.96 * 0.2888 / np.sqrt(3000), rel=0.1)


def test_cases_that_cannot_be_measured_stand_beside_the_mean(folders):
    label = summarise(evaluate(*folders))["labels"]["1"]
    assert label["dice"] == label["metrics"]["dice"]["mean"] == (1 + 0.5) / 4
    assert (label["measured"], label["misses"], label["extra"], label["both_empty"]) == (4, 1, 1, 0)
    assert label["hd95_mm"] == 1.5 and label["hd95_not_measurable"] == 2
    hd95, relative = label["metrics"]["hd95_mm"], label["metrics"]["relative_difference"]
    assert (hd95["n"], hd95["not_measurable"]) == (2, 2)
    assert (relative["n"], relative["not_measurable"]) == (3, 1)  # invented: nothing to relate to
    assert set(label["metrics"]) == set(METRICS)


@pytest.mark.parametrize(
    ("empty", "dice", "measured", "hd95", "not_measurable"),
    [("skip", 1, 1, 0, 0), ("one", 1, 4, 0, 0), ("brats", 1, 4, 0, 0)],
)
def test_the_policy_says_whether_labels_in_neither_mask_count(folders, empty, dice, measured, hd95, not_measurable):
    summary = summarise(evaluate(*folders, empty=empty))
    label = summary["labels"]["2"]
    assert (label["dice"], label["measured"], label["both_empty"]) == (dice, measured, 3)
    assert (label["hd95_mm"], label["hd95_not_measurable"]) == (hd95, not_measurable)
    assert summary["empty_policy"] == empty


def test_brats_has_a_penalty_where_one_mask_is_empty(folders):
    label = summarise(evaluate(*folders, empty="brats"))["labels"]["1"]
    assert label["hd95_mm"] == pytest.approx((0 + 3 + 2 * 373.13) / 4) and label["hd95_not_measurable"] == 0


def test_the_summary_says_how_it_was_measured(folders):
    summary = summarise(evaluate(*folders, tolerances={"1": 2.0}))
    assert json.loads(json.dumps(summary)) == summary
    assert summary["cases"] == 4 and summary["mean_dice"] == (0.375 + 1) / 2 and summary["mean_hd95_mm"] == 0.75
    assert "left out" in summary["empty"] and "not measurable" in summary["definitions"]["relative_difference"]
    assert "share a face" in summary["definitions"]["surface"] and "directed" in summary["definitions"]["hd95_mm"]
    assert "bootstrap" in summary["interval"] and summary["predictions"] == str(folders[0])
    assert summary["labels"]["1"]["nsd_tolerance_mm"] == 2 and summary["labels"]["2"]["nsd_tolerance_mm"] == 1


def test_references_without_a_prediction_are_told():
    assert unpredicted({"without_prediction": 0}) == ""
    assert unpredicted({"without_prediction": 1}).startswith("1 reference has")
    assert unpredicted({"without_prediction": 7}).startswith("7 references have")
