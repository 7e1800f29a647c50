"""The page: whole by itself, nothing of a name is markup, and it says what the summary says."""

import base64
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from segmamba.evaluation.cases import evaluate
from segmamba.evaluation.page import make_page
from segmamba.evaluation.summary import summarise

HOSTILE = "<script>alert('x')</script> & \"quoted\" onerror=alert(1)"
_VOID = {"meta", "img", "br"}


class Reader(HTMLParser):
    """Tags with their attributes, and all text; that tags are closed in their order."""

    def __init__(self):
        super().__init__()
        self.tags, self.open, self.words = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def read(*arguments, **settings) -> tuple[str, Reader]:
    evaluation = evaluate(*arguments, **settings)
    page = make_page(evaluation, summarise(evaluation))
    reader = Reader()
    reader.feed(page)
    assert not reader.open
    return page, reader


def pictures(reader: Reader, kind: str) -> list[bytes]:
    start = f"data:image/{kind};base64,"
    sources = [attributes["src"] for tag, attributes in reader.tags if tag == "img"]
    return [base64.b64decode(source[len(start) :]) for source in sources if source.startswith(start)]


def test_the_page_holds_figures_plots_and_pictures_of_the_worst(folders):
    _, reader = read(*folders)
    text = " ".join(" ".join(reader.words).split())
    for words in ("Summary", "Every case", "Volumes", "Worst cases", "All values", "How this was measured"):
        assert words in text
    assert "0.375" in text and "2 not measurable" in text and "missed" in text and "not in the reference" in text
    assert "policy skip" in text and "left out" in text and "share a face" in text and "bootstrap" in text
    # Scores and volumes of two labels; three cases of the first differ.
    assert len(pictures(reader, "svg+xml")) == 3 and len(pictures(reader, "png")) == 3


def test_nothing_is_loaded_from_elsewhere_and_nothing_runs(folders):
    page, reader = read(*folders)
    assert {tag for tag, _ in reader.tags}.isdisjoint({"script", "link", "iframe", "object", "base"})
    for _, attributes in reader.tags:
        assert all(value.startswith("data:image/") for key, value in attributes.items() if key in ("src", "href"))
        assert not [key for key in attributes if key.startswith("on")]
    assert "url(" not in page and "@import" not in page
    assert "default-src 'none'" in page


def test_names_are_text_whatever_they_hold(tmp_path, save):
    case = "<img src=x onerror=alert(1)> & 'c'"
    reference = np.zeros((8, 20, 20), np.uint8)
    reference[2:5, 4:10, 4:10] = 1
    save(reference, tmp_path / "set" / "labelsTr" / "a.nrrd").rename(tmp_path / "set" / "labelsTr" / f"{case}.nrrd")
    save(np.roll(reference, 2), tmp_path / "<b>p" / "a.nrrd").rename(tmp_path / "<b>p" / f"{case}.nrrd")
    (tmp_path / "set" / "dataset.json").write_text(json.dumps({"labels": {"background": 0, HOSTILE: 1}}))
    _, reader = read(tmp_path / "<b>p", tmp_path / "set" / "labelsTr")
    words = " ".join(reader.words)
    assert HOSTILE in words and case in words and str(tmp_path / "<b>p") in words
    assert {tag for tag, _ in reader.tags}.isdisjoint({"script", "b>p"})
    assert all(attributes.get("src", "data:").startswith("data:") for _, attributes in reader.tags)


def test_one_case_that_agrees_is_a_page_without_pictures(folders):
    masks, references = folders
    page, reader = read(masks / "right.nii.gz", references / "right.nii.gz")
    assert "No prediction differs from its reference" in page and not pictures(reader, "png")
    assert "CI " not in " ".join(reader.words)  # of one case there is none


def test_without_any_label_there_is_a_page_that_says_so(tmp_path, save):
    mask = save(np.zeros((4, 4, 4), np.uint8), tmp_path / "a.nii.gz")
    _, reader = read(mask, mask)
    assert "0 labels" in reader.words and not pictures(reader, "svg+xml")


def test_a_label_in_no_mask_has_a_row_and_no_plot_of_volumes(folders):
    masks, references = folders
    (references.parent / "dataset.json").write_text(
        json.dumps({"labels": {"background": 0, "one": 1, "two": 2, "never": 3}})
    )
    _, reader = read(masks, references)
    assert "4 in neither" in reader.words and len(pictures(reader, "svg+xml")) == 3


@pytest.mark.parametrize("tolerances", [{}, {"1": 2.0}])
def test_tolerances_stand_beside_their_figures(folders, tolerances):
    page, _ = read(*folders, tolerances=tolerances)
    assert ("within 2 mm" in page) == bool(tolerances) and ("NSD, 1 mm" in page) != bool(tolerances)


def test_progress_is_reported(folders):
    evaluation = evaluate(*folders)
    seen = []
    make_page(evaluation, summarise(evaluation), lambda fraction, message: seen.append((fraction, message)))
    assert [message for _, message in seen] == [f"picture {n} of 3" for n in (1, 2, 3)]


def test_numbers_of_the_table_are_the_summary_s(folders):
    evaluation = evaluate(*folders)
    summary = summarise(evaluation)
    found = summary["labels"]["1"]["metrics"]["dice"]
    page = make_page(evaluation, summary)
    assert f"CI {found['ci95'][0]:.3f} to {found['ci95'][1]:.3f}" in page
    assert re.search(rf"<b>{found['mean']:.3f}</b>", page)


def test_with_many_labels_their_worst_stand_together_the_worst_first(tmp_path, save):
    reference = np.zeros((6, 30, 40), np.uint8)
    for n in range(8):
        reference[2:5, 4 + n : 12 + n, 5 * n : 5 * n + 4] = n + 1
    predicted = np.roll(reference, 1, axis=1)
    predicted[predicted == 5] = 0
    one, other = save(predicted, tmp_path / "p.nii.gz"), save(reference, tmp_path / "r.nii.gz")
    page, reader = read(one, other)
    assert len(pictures(reader, "png")) == 8 and "<h3>" not in page
    assert re.findall(r"<figcaption><b>p</b>(?: <em>missed</em>)?<span>(\d)</span>", page)[0] == "5"
