"""SegMamba's masks in both precisions, and the goals that compare networks."""

import pytest
import torch

from segmamba.benchmark import network_goals
from segmamba.benchmark.agreement import _dice, agreement
from segmamba.benchmark.jobs import Outcome
from segmamba.benchmark.network_goals import ROWS, fastest, measure_goals, needed
from segmamba.benchmark.shapes import Shape

SMALL = {"feat_size": [8, 8, 8, 8], "hidden_size": 8, "depths": [1, 1, 1, 1]}


def row(network, seconds, precision="fp32", layout="last", peak=10, shape="4x32", way="forward"):
    return {
        "network": network, "shape": shape, "precision": precision, "layout": layout, "way": way,
        "seconds": seconds, "peak": peak, "problem": "" if seconds else "did not fit into memory",
    }  # fmt: skip


def test_masks_of_a_briefly_trained_network_nearly_agree():
    values = agreement(48, 1, "cpu", SMALL, steps=6, crop=32, model=None)
    assert values["ratio"] > 0 and set(values["seconds"]) == {"fp32", "bf16"}
    assert values["dice"] is None or 0.5 < values["dice"] <= 1
    assert values["true_dice"] is None or values["true_dice"] <= 1


def test_dice_is_told_of_every_label_that_either_mask_holds():
    one, other = torch.tensor([0, 1, 1, 3]), torch.tensor([0, 1, 2, 3])
    assert _dice(one, other) == {"1": pytest.approx(2 / 3), "2": 0.0, "3": 1.0}


def test_the_fastest_is_that_of_a_shape_and_a_way():
    rows = [row("a", 3.0), row("a", 1.0, shape="1x96"), row("a", 2.0, layout="first"), row("a", None)]
    assert fastest(rows, "4x32", "forward") == rows[2]
    assert fastest(rows, "4x32", "training") is None


def test_goals_need_their_networks_and_their_shape():
    large, small = Shape(4, 128, 4), Shape(1, 96, 14)
    assert all(needed(["segmamba", "segresmamba", "lightmunet", "dynunet", "swinunetr"], [large], True).values())
    assert not any(needed(["segmamba", "swinunetr"], [small], True).values())
    assert not any(needed(["segmamba", "swinunetr"], [large], False).values())
    assert needed(["segmamba", "dynunet"], [large], True)["agreement"] is True
    assert needed(["segmamba", "dynunet"], [large], True)["segmamba"] is False


def test_pairs_are_compared_in_their_best_choice_and_bf16_only_where_masks_agree(monkeypatch):
    asked = []

    def measured(what, arguments, threads, device):
        asked.append((what, arguments))
        return Outcome({"dice": 0.99} if "agreement" in what else {"ratio": 0.4})

    # The measurements themselves take minutes; what is tested is which are asked for.
    monkeypatch.setattr(network_goals, "measure", measured)
    rows = [
        row("segmamba", 9.0),
        row("segmamba", 2.0, "bf16"),
        row("swinunetr", 8.0, "bf16", "first"),
        row("swinunetr_v2", None),
        row("lightmunet", 3.0, peak=20),
        row("dynunet", 4.0, peak=40),
    ]
    wanted = dict.fromkeys(needed([], [], True), True)
    outcomes = measure_goals(wanted, rows, 1, 2, "cpu", None, 3, lambda _: None, Shape(4, 32, 4))
    assert outcomes["segmamba"].values["one"] == {"network": "segmamba", "layout": "last", "precision": "fp32"}
    assert outcomes["segmamba"].values["other"] == {"network": "swinunetr", "layout": "first", "precision": "bf16"}
    assert outcomes["segmamba-fastest"].values["one"]["precision"] == "bf16"
    assert outcomes["segresmamba"].problem == "one of the two was not measured"
    assert outcomes["lightmunet-memory"].values == {"ratio": 0.5}
    assert all(arguments["shape"] == [4, 32, 4] for what, arguments in asked if "compare" in what)
    verdicts = {r.name: r.judge(outcomes[r.job])["verdict"] for r in ROWS}
    assert verdicts["segmamba-swinunetr"] == "must" and verdicts["bf16-dice"] == "missed"
