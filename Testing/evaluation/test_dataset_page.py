"""The page of a data set's check holds what was found, escaped, and the worst cases first."""

from pathlib import Path

from segmamba.data.checking import Check, Facts, Finding
from segmamba.data.datasets import Case, Dataset, LabelEntry
from segmamba.evaluation.dataset_page import make_dataset_page


def test_findings_and_cases_are_on_the_page():
    names = ("good", "so & so", "<bad>")
    cases = tuple(Case(name, (Path(name),), Path(name), 1) for name in names)
    dataset = Dataset(
        folder=Path("set"), name="Set <1>", description="", licence="", reference="", channels=("T1",),
        modalities=("MR",), labels=(LabelEntry("tumour & co", 1, (1,)),), regions=False, cases=cases,
    )  # fmt: skip
    findings = (Finding("error", "geometry", "<bad>", "a < b"), Finding("warning", "empty label", "so & so", "none"))
    facts = tuple(Facts(name, (5, 6, 7), (1.0, 1.0, 2.5), "LPS", {"tumour & co": 3.5}) for name in names)
    page = make_dataset_page(Check(dataset, findings, facts, ()), {name: b"png" for name in names})
    assert "<bad>" not in page and "a &lt; b" in page and "Set &lt;1&gt;" in page
    order = [page.index(f"<b>{name}</b>") for name in ("&lt;bad&gt;", "so &amp; so", "good")]
    assert order == sorted(order)
    assert page.count("data:image/png;base64,") == 3
    assert "5 × 6 × 7" in page and "1 × 1 × 2.5 mm" in page and "3.5" in page
    assert "1 without errors and warnings" in page
