"""Finding and installing models."""

import pytest
from SegMambaSlicerLib import catalogue

from segmamba.errors import UserError
from segmamba.settings import settings_file


@pytest.mark.parametrize(
    "words, found",
    [
        ("", ["hippocampus-lightmunet", "phantom-lightmunet"]),
        ("HIPPO", ["hippocampus-lightmunet"]),
        ("flair", ["phantom-lightmunet"]),
        ("mr lightmunet", ["hippocampus-lightmunet", "phantom-lightmunet"]),
        ("posterior t1", ["hippocampus-lightmunet"]),
        ("enhancing lesion", ["phantom-lightmunet"]),
        ("liver", []),
    ],
)
def test_models_are_found_by_name_label_channel_modality_and_coded_name(words, found):
    entries, problems = catalogue.usable()
    assert [entry.name for entry in catalogue.matching(entries, words)] == found and not problems


def test_a_title_says_what_the_model_finds():
    entries, _ = catalogue.usable()
    assert catalogue.title(entries[0]) == "hippocampus-lightmunet  (Anterior, Posterior)"


def test_an_unpacked_model_is_installed_by_the_file_in_it(tiny_model):
    installed = catalogue.install(tiny_model / "configs" / "metadata.json")
    assert installed.entry.name == "tiny" and not installed.already
    assert "tiny" in [entry.name for entry in catalogue.usable()[0]]
    with pytest.raises(UserError, match="no-such"):
        catalogue.install("no-such.zip")


def test_a_damaged_settings_file_is_said_and_raises_nothing():
    settings_file().parent.mkdir(parents=True)
    settings_file().write_text("{")
    entries, problems = catalogue.usable()
    assert entries == [] and "settings.json" in problems[0]
