"""The time that is left: learned from the windows of the job, and from the job before."""

import pytest

from segmamba.inference.course import RESTORING, SEGMENTING, Course
from segmamba.serving.pace import Pace


def course(planned=10):
    made = Course()
    made.phase, made.planned = SEGMENTING, planned
    return made


def run(estimate, made, times):
    """Asks before each window, as progress does; ``times`` are when windows begin."""
    left = []
    for n, now in enumerate(times):
        made.windows = n
        left.append(estimate.seconds_left(now))
    return left


def test_nothing_is_said_before_the_first_window_is_done():
    made = course()
    estimate = Pace().start("model", made)
    assert run(estimate, made, [100.0, 102.0]) == [None, pytest.approx(18)]


def test_the_slow_first_window_is_left_out_once_there_are_others():
    made = course()
    left = run(Pace().start("model", made), made, [0.0, 9.0, 10.0, 11.0, 12.0])
    assert left[1] == pytest.approx(81) and left[-1] == pytest.approx(6)


def test_a_second_job_knows_from_its_first_moment_and_another_kind_does_not():
    pace, first = Pace(), course()
    estimate = pace.start("model", first)
    run(estimate, first, [0.0, 2.0, 4.0])
    pace.learn("model", estimate)
    assert run(pace.start("model", made := course(5)), made, [50.0]) == [pytest.approx(10)]
    assert run(pace.start("other", made := course(5)), made, [50.0]) == [None]


def test_windows_that_are_computed_again_are_learned_anew():
    made = course()
    estimate = Pace().start("model", made)
    run(estimate, made, [0.0, 1.0, 2.0])
    made.restart()
    made.planned = 10
    assert run(estimate, made, [3.0, 8.0]) == [None, pytest.approx(45)]


def test_other_phases_have_no_estimate_and_empty_windows_count_as_done():
    made = course()
    estimate = Pace().start("model", made)
    assert estimate.seconds_left(0.0) is None
    made.windows, made.empty = 1, 3
    assert estimate.seconds_left(4.0) == pytest.approx(6)
    made.phase = RESTORING
    assert estimate.seconds_left(5.0) is None
