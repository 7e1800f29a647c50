"""Verdicts on rows of goals."""

import pytest

from segmamba.benchmark.jobs import Outcome
from segmamba.benchmark.rows import Row, show

MORE = Row("speed", "speed", "job", "ratio", 80, 140)
LESS = Row("error", "error", "job", "ratio", 1e-6, 3e-7, more=False, unit="e")


@pytest.mark.parametrize(
    ("value", "verdict"), [(200, "goal"), (140, "goal"), (100, "must"), (80, "must"), (79, "missed")]
)
def test_more_is_better(value, verdict):
    assert MORE.judge(Outcome({"ratio": value}))["verdict"] == verdict


@pytest.mark.parametrize(("value", "verdict"), [(1e-7, "goal"), (3e-7, "goal"), (5e-7, "must"), (2e-6, "missed")])
def test_less_is_better(value, verdict):
    assert LESS.judge(Outcome({"ratio": value}))["verdict"] == verdict


def test_a_row_tells_its_limits_in_words():
    told = MORE.judge(Outcome({"ratio": 91.23}))
    assert (told["measured"], told["must"], told["goal"]) == ("91.2 x", "at least 80 x", "at least 140 x")
    assert LESS.judge(Outcome({"ratio": 1e-7}))["must"] == "at most 1.0e-06"


def test_small_sizes_get_no_verdict():
    told = MORE.judge(Outcome({"ratio": 1.0}), counts=False)
    assert told["measured"] == "1 x" and told["verdict"] == ""


def test_a_failed_measurement_is_a_row_with_its_reason():
    told = MORE.judge(Outcome(problem="no g++"))
    assert (told["value"], told["measured"], told["verdict"]) == (None, "not measured", "no g++")
    assert MORE.judge(Outcome(problem="failed: ValueError: x"))["measured"] == "failed"


def test_a_value_that_the_system_cannot_tell_is_no_failure():
    assert MORE.judge(Outcome({"ratio": None}))["measured"] == "not measured"


def test_a_goal_in_another_unit_is_judged_by_its_own_value():
    row = Row("memory", "memory", "job", "share", 0.05, 2e6, False, "%", "bytes", "MB")
    told = row.judge(Outcome({"share": 0.04, "bytes": 4e6}))
    assert (told["measured"], told["verdict"]) == ("4 MB (4 %)", "must")
    assert row.judge(Outcome({"share": 0.04, "bytes": 1e6}))["verdict"] == "goal"
    assert row.judge(Outcome({"share": 0.06, "bytes": 1e6}))["goal"] == "at most 2 MB"


def test_no_slower_is_told_within_the_noise_but_a_must_is_not_stretched():
    row = Row("zeros", "zeros", "job", "ratio", 1.1, 1.0, more=False)
    assert [row.judge(Outcome({"ratio": r}))["verdict"] for r in (1.01, 1.05, 1.11)] == ["goal", "must", "missed"]


def test_a_row_without_limits_gets_no_verdict():
    assert Row("a", "a", "job", "ratio").judge(Outcome({"ratio": 3.0}))["verdict"] == ""


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [(1234.5, "x", "1234 x"), (0.99876, "dice", "0.9988"), (0.123, "%", "12.3 %"), (1.5, "s", "1.50 s")],
)
def test_values_are_shown_with_their_units(value, unit, text):
    assert show(value, unit) == text
