"""Calls that are timed in turns."""

import time

from segmamba.benchmark.timing import in_turns, seconds


def test_calls_take_turns_after_a_warm_up():
    order = []
    in_turns({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, 3)
    assert order == ["a", "b"] * 4


def test_the_warm_up_can_be_left_out():
    order = []
    in_turns({"a": lambda: order.append("a")}, 2, warm=False)
    assert order == ["a", "a"]


def test_the_least_counts_and_the_warm_up_does_not():
    pauses = iter([0.0, 0.3, 0.03, 0.2])
    least = in_turns({"a": lambda: time.sleep(next(pauses))}, 3)["a"]
    assert 0.03 <= least < 0.2


def test_preparation_is_not_timed():
    order = []
    prepare = {"a": lambda: (order.append("prepare"), time.sleep(0.2))}
    took = in_turns({"a": lambda: order.append("a")}, 1, prepare=prepare, warm=False)["a"]
    assert order == ["prepare", "a"] and took < 0.1


def test_seconds_are_wall_time():
    assert 0.02 <= seconds(lambda: time.sleep(0.02)) < 1
