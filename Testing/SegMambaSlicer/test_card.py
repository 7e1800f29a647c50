"""A model's card."""

import pytest


@pytest.fixture
def card(application):
    from SegMambaSlicerLib.card import card

    return card


def test_the_card_says_what_a_user_must_know_before_choosing(card):
    from segmamba import models

    text = card(models.find("phantom-lightmunet"), "shipped")
    for words in (
        "phantom-lightmunet", "1.0.0", "comes with SegMamba", "no patient's data", "WT 0.94", "TC 0.95", "ET 0.93",
        "T1 (MR), T1Gd (MR), T2 (MR), FLAIR (MR)", "2 x 2 x 2 mm; images of 160 to 192 mm", "<b>0.936</b>",
        "Brain tumour phantom, 120 cases", "CC0-1.0", "lightmunet, 2.8 MB", "color:#56b45a",
    ):  # fmt: skip
        assert words in text.replace("&nbsp;", " ").replace("&#x27;", "'"), words


def test_what_is_not_stated_is_said_so(card, tiny_model):
    from segmamba.bundle import Bundle

    text = card(Bundle(tiny_model))
    assert text.count("not stated") == 2 and "each image's own" in text.replace("&#x27;", "'")


def test_a_packages_words_are_text_and_never_markup(card, make_model, tmp_path):
    from segmamba.bundle import Bundle, Label

    bad = "<script>1</script><img src=x>"
    path = make_model(tmp_path / "bad", ("T1",), (Label(1, bad, (1, 2, 3)),), description=bad, licence=bad,
                      training={"data": bad}, scores={"how": bad, "mean_dice": 0.5}, attribution=bad)  # fmt: skip
    text = card(Bundle(path))
    assert "<script" not in text and "<img" not in text and text.count("&lt;script&gt;") == 6
