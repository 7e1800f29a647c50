"""Claims of papers beside what was counted and measured."""

from segmamba.benchmark.claims import claims
from segmamba.benchmark.network_measures import count, count_flat


def test_counted_claims_come_with_a_remark():
    counts = count(["segresmamba", "segresmamba_published", "lightmunet", "dynunet"], [[4, 128, 4]])
    told = claims(counts, count_flat(512), lambda *_: None)
    assert [c["network"] for c in told] == ["SegResMamba"] * 2 + ["LightM-UNet"] * 3
    assert all(c["remark"].startswith("Does not bear out") and c["source"].startswith("arXiv:") for c in told)
    assert "184 G as the code computes" in told[1]["here"]
    assert "9.2 and 34.5 times fewer" in told[3]["here"] and "1.1 and 3.4 times less" in told[4]["here"]


def test_measured_claims_are_compared_as_ratios():
    rows = {
        ("segresmamba", "training"): {"seconds": 1.0, "peak": 38},
        ("segmamba", "training"): {"seconds": 3.0, "peak": 100},
        ("segresmamba", "forward"): {"seconds": 1.0, "peak": 1},
        ("segmamba", "forward"): {"seconds": 4.0, "peak": 1},
        ("swinunetr", "forward"): {"seconds": 1.1, "peak": 1},
    }
    told = claims({}, {}, lambda network, shape, way: rows.get((network, way)))
    assert [(c["here"][:4], c["remark"].split(";")[0]) for c in told] == [
        ("0.38", "Bears out."),
        ("0.25", "Better than claimed."),
        ("0.91", "Does not bear out here"),
    ]


def test_nothing_is_claimed_of_what_is_not_there():
    assert claims({}, {}, lambda *_: None) == []
