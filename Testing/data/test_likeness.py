"""Pairs that are likely one subject's: stated, neighbours of one scanner's range, or one image twice."""

from pathlib import Path

import numpy as np

from segmamba.data.description import Case
from segmamba.data.likeness import find_pairs, signature


def pairs_of(values: dict[str, np.ndarray], **subjects: str) -> set[tuple[str, str]]:
    cases = [Case(name, (Path(name),), None, 1, subjects.get(name)) for name in values]
    found = find_pairs(cases, {name: signature(array) for name, array in values.items()})
    return {(pair.one, pair.other) for pair in found}


def noise(seed: int, scale: float = 100, shape=(12, 10, 9)) -> np.ndarray:
    return np.random.default_rng(seed).gamma(2.0, scale, shape)


def test_neighbours_with_one_range_of_intensities_are_a_pair():
    values = {f"s_{n:02d}": noise(n, scale) for n, scale in enumerate((100, 100, 180, 180, 300))}
    assert pairs_of(values) == {("s_00", "s_01"), ("s_02", "s_03")}


def test_like_intensities_alone_are_no_pair():
    assert pairs_of({"s_1": noise(1), "s_3": noise(3), "t": noise(4)}) == set()


def test_one_image_in_another_size_and_scale_is_a_pair():
    image = noise(1, shape=(16, 16, 16)).cumsum(axis=0)
    again = 3 * np.repeat(image, 2, axis=1) + 7
    assert pairs_of({"x": image, "y": again, "z": noise(2, shape=(16, 16, 16)).cumsum(axis=1)}) == {("x", "y")}


def test_stated_subjects_are_pairs():
    assert pairs_of({"a": noise(1), "k": noise(2), "z": noise(3)}, a="s", z="s") == {("a", "z")}


def test_images_smaller_than_the_blocks_are_compared_too():
    assert pairs_of({"a": noise(1, shape=(3, 5, 2)), "c": noise(1, shape=(3, 5, 2))}) == {("a", "c")}
