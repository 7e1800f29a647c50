"""The plan of ``bench scan``."""

import inspect
from importlib import import_module

import pytest

from segmamba.benchmark.scan_bench import _measure, run_scan
from segmamba.benchmark.scan_rows import STAGES, plan
from segmamba.errors import UserError


@pytest.fixture(scope="module")
def planned():
    return plan(threads=2, repeats=3, device="cpu", library=None, full=True)


def test_names_are_unique_and_every_row_has_its_measurement(planned):
    jobs, rows = planned
    assert len({row.name for row in rows}) == len(rows) and len({job.name for job in jobs}) == len(jobs)
    assert {row.job for row in rows} == {job.name for job in jobs}


def test_every_measurement_is_a_function_that_takes_these_arguments(planned):
    for job in planned[0]:
        module, _, name = job.measure.partition(":")
        function = getattr(import_module(f"segmamba.benchmark.{module}"), name)
        inspect.signature(function).bind(**job.arguments)
        inspect.signature(function).bind(**(job.quick or job.arguments))


def test_the_goals_of_the_scan_are_all_there(planned):
    limits = {row.name: (row.must, row.goal) for row in planned[1]}
    assert limits["forward"] == (80, 140) and limits["training"] == (60, 100)
    assert limits["forward-deep"] == (30, 55) and limits["training-deep"] == (20, 35)
    for stage in range(len(STAGES)):
        for way in ("forward", "backward"):
            assert limits[f"yardstick-{way}-{stage}"] == limits[f"yardstick-{way}-{stage}-2-threads"] == (0.75, 0.95)
    assert limits["threads-forward"] == (1.4, 1.65) and limits["threads-backward"] == (1.5, 1.8)
    assert limits["memory-inference"] == (0.05, 2e6) and limits["memory-training"] == (0.6, 0.5)
    assert limits["zeros-forward"] == limits["zeros-backward"] == (1.1, 1.0)
    assert limits["error-output"] == (1e-6, 3e-7) and limits["error-gradients"] == (1e-5, 3e-6)
    assert limits["compile"] == (10, None) and limits["cached"] == (0.5, 0.25)
    assert limits["share"] == (0.15, 0.07) and limits["whole"] == (6, 9)
    assert limits["chunked-forward"] == limits["chunked-training"] == (25, None)


def test_what_takes_minutes_is_a_row_that_says_so(planned):
    jobs, rows = plan(threads=1, repeats=3, device="cpu", library=None, full=False)
    assert "whole" not in {job.name for job in jobs} and "whole" in {row.name for row in rows}
    (row,) = run_scan(1, 1, only=["whole"])["rows"]
    assert (row["measured"], row["verdict"]) == ("not measured", "takes minutes; measured with --full")


def test_an_unknown_row_is_refused_with_those_that_there_are():
    with pytest.raises(UserError, match=r"--only nonsense: .* forward, training"):
        run_scan(1, 1, only=["nonsense"])


def test_rows_of_the_processor_are_left_out_on_a_card(planned):
    jobs = {job.name: job for job in planned[0]}
    assert _measure(jobs["share"], "cuda", quick=True).problem == "a row of the processor"
    assert "cuda" in jobs["memory"].devices and "cuda" in jobs["backends"].devices


@pytest.mark.slow
def test_a_start_is_measured_with_nothing_kept_and_again_with_what_it_kept(planned):
    (job,) = (job for job in planned[0] if job.name == "start")
    values = _measure(job, "cpu", quick=True).values
    assert values["first"] > values["cached"] and len(values["all"]) == 4
