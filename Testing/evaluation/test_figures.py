"""Plots: an SVG file each, with what the page says in words."""

from xml.etree import ElementTree

import numpy as np
import pytest

from segmamba.data.datasets import LabelEntry
from segmamba.evaluation.cases import Evaluation, Row, evaluate
from segmamba.evaluation.figures import draw_scores, draw_volumes
from segmamba.evaluation.metrics import Overlap
from segmamba.evaluation.policy import POLICIES


def texts(svg: bytes) -> str:
    """All words of a drawing; what is no XML fails."""
    return " ".join(ElementTree.fromstring(svg).itertext())


def made_up(cases: int, names: list[str]) -> Evaluation:
    random = np.random.default_rng(0)
    rows = [
        Row(str(case), name, Overlap(100, 110, int(common)), 0.01, hd95_mm=float(hd95), nsd=0.5)
        for case in range(cases)
        for name, common, hd95 in zip(
            names, random.integers(50, 100, len(names)), random.random(len(names)), strict=True
        )
    ]
    labels = tuple(LabelEntry(name, n, (n,)) for n, name in enumerate(names, start=1))
    return Evaluation("p", "r", (), labels, POLICIES["skip"], dict.fromkeys(names, 1.0), 0, tuple(rows))


def test_every_label_has_a_row_and_what_is_not_measurable_is_written(folders):
    drawn = texts(draw_scores(evaluate(*folders, tolerance=2.0)))
    assert "Dice" in drawn and "Surface Dice (NSD), 2 mm" in drawn and "HD95 in mm" in drawn
    assert "2 not measurable" in drawn


def test_with_a_penalty_everything_is_measurable(folders):
    assert "not measurable" not in texts(draw_scores(evaluate(*folders, empty="brats")))


def test_the_same_scores_give_the_same_drawing():
    evaluation = made_up(30, ["a", "b"])
    assert draw_scores(evaluation) == draw_scores(evaluation)
    assert draw_volumes(evaluation, "b") == draw_volumes(evaluation, "b")


def test_volumes_have_limits_of_agreement_from_three_cases_on():
    assert "+1.96 SD" not in texts(draw_volumes(made_up(2, ["a"]), "a"))
    evaluation = made_up(5, ["a"])
    drawn = texts(draw_volumes(evaluation, "a"))
    assert "bias" in drawn and "-0.1" in drawn  # of 1.0 and 1.1 ml, always alike


@pytest.mark.parametrize("name", [r"$\frac$", "<script>", "a & b", "Leber 肝臓", "x" * 300, "two\nlines", "_^{"])
def test_a_name_is_drawn_as_it_is(name, recwarn):
    evaluation = made_up(6, [name, "other"])
    drawn = texts(draw_scores(evaluation))
    assert " ".join(name.split("\n"))[:20] in drawn
    draw_volumes(evaluation, name)
    assert not [warning for warning in recwarn if "Glyph" in str(warning.message)]


def test_a_drawing_of_many_cases_stays_small():
    assert len(draw_scores(made_up(4000, ["a", "b"]))) < 500_000
