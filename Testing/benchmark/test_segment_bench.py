"""What ``bench segment`` makes of its rounds."""

import pytest

from segmamba.benchmark.segment_bench import ROWS, WAYS, _outcomes, check_model, timed
from segmamba.errors import UserError


def a_round(first: float, second: float, compute: float) -> dict:
    return {
        "answer": {"seconds": 0.1},
        "first": timed(first, compute),
        "second": timed(second, compute),
        "command": timed(first + 1, None),
    }


def test_the_rest_is_all_but_the_network():
    assert timed(3.0, 2.5) == {"seconds": 3.0, "compute_seconds": 2.5, "rest": 0.5}
    assert timed(3.0, None)["rest"] is None


def test_of_each_way_the_fastest_round_counts():
    found = _outcomes([a_round(9, 4, 3.5), a_round(8, 5, 3)], "")
    assert found["first"].values["seconds"] == 8
    assert (found["second"].values["seconds"], found["second"].values["rest"]) == (4, 0.5)
    assert set(found) == {*WAYS, "answer"}


@pytest.mark.parametrize(("rest", "verdict"), [(0.9, "must"), (1.0, "must"), (1.1, "missed")])
def test_a_second_beyond_the_network_is_the_most_that_a_warm_job_may_take(rest, verdict):
    found = _outcomes([a_round(9, 3 + rest, 3)], "")
    row = next(row for row in ROWS if row.name == "second-rest")
    assert row.judge(found["second"])["verdict"] == verdict


def test_without_a_round_every_row_has_the_reason():
    found = _outcomes([], "failed: the worker ended with status 1: no message")
    assert {row.judge(found[row.job])["measured"] for row in ROWS} == {"failed"}


def test_a_model_of_other_images_is_refused():
    check_model("phantom-lightmunet")
    with pytest.raises(UserError, match=r"--model hippocampus-lightmunet takes .*T1, T1Gd, T2, FLAIR"):
        check_model("hippocampus-lightmunet")
