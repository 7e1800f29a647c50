"""Tests of what a model package says about itself."""

import copy
import json
import re

import pytest

from segmamba.bundle import Channel, Label, Metadata, Normalisation
from segmamba.errors import UserError


def make_metadata(**changes) -> Metadata:
    values = dict(
        name="tiny",
        version="1.2.0",
        description="Two structures in T2.",
        network="segmamba",
        options={"depths": (1, 1), "note": None, "deep": {"a": [1.5, True]}},
        channels=(
            Channel("T2w", "MR", Normalisation("zscore", "nonzero")),
            Channel("ct", "CT", Normalisation("window", window=(-100.0, 250.0))),
            Channel("t1", "MR", Normalisation("percentile", percentiles=(0.5, 99.5))),
        ),
        labels=(
            Label(1, "Anterior", (255, 0, 10)),
            Label(7, "Posterior", (0, 128, 0), members=(2, 3), terminology={"type": ["SCT", "1", "Posterior"]}),
        ),
        spacing=(1.0, 1.0, 2.5),
        patch=(32, 48, 64),
        field_of_view=(40.0, 90.0),
        training={"cases": 12, "versions": {"torch": "2.5.1+cu121"}},
        scores={"dice": {"Anterior": 0.9, "Posterior": 0.8}},
        licence="CC-BY-4.0",
        authors="Somebody",
    )
    return Metadata(**{**values, **changes})


def one_sentence(error: pytest.ExceptionInfo, *parts: object) -> None:
    message = str(error.value)
    assert "\n" not in message
    for part in parts:
        assert str(part) in message


def test_metadata_survive_json_and_back():
    metadata = make_metadata()
    document = json.loads(json.dumps(metadata.to_dict()))
    assert Metadata.from_dict(document) == metadata
    assert Metadata.from_dict(document).to_dict() == document


@pytest.mark.parametrize("part", [make_metadata().channels[1], make_metadata().labels[1], Normalisation("none")])
def test_parts_survive_json_and_back(part):
    assert type(part).from_dict(json.loads(json.dumps(part.to_dict()))) == part


def test_metadata_of_regions_keep_overlapping_members_in_painting_order():
    regions = (
        Label(2, "WT", (0, 255, 0), members=(1, 2, 3)),
        Label(1, "TC", (255, 0, 0), members=(1, 3)),
        Label(3, "ET", (0, 0, 255)),
    )
    metadata = make_metadata(regions=True, labels=regions)
    read = Metadata.from_dict(metadata.to_dict())
    assert [label.name for label in read.labels] == ["WT", "TC", "ET"]
    assert read.labels[2].members == (3,)
    assert read.output_channels == 3
    assert make_metadata().output_channels == 3  # two labels and the background
    assert list(read.names.items()) == [(2, "WT"), (1, "TC"), (3, "ET")]


def test_mean_dice_is_stated_or_averaged_or_none():
    assert make_metadata().mean_dice == pytest.approx(0.85)
    assert make_metadata(scores={"mean_dice": 0.7, "dice": {"Anterior": 0.1}}).mean_dice == 0.7
    assert make_metadata(scores={}).mean_dice is None


@pytest.mark.parametrize("axes", [[], [0, 2], ["i", "k"], None])
def test_axes_of_mirroring_may_be_names_or_numbers(axes):
    metadata = make_metadata(training={"mirror_axes": axes})
    assert Metadata.from_dict(metadata.to_dict()) == metadata


def test_the_spacing_is_told_to_people():
    assert make_metadata().spacing_text == "1 x 1 x 2.5 mm"
    assert make_metadata(spacing=None).spacing_text == "each image's own"


def test_metadata_file_has_monai_keys():
    document = make_metadata().to_dict()
    assert {
        "version",
        "changelog",
        "monai_version",
        "pytorch_version",
        "numpy_version",
        "required_packages_version",
        "task",
        "description",
        "authors",
        "copyright",
        "network_data_format",
    } <= set(document)
    assert document["pytorch_version"] == "2.5.1"
    image = document["network_data_format"]["inputs"]["image"]
    assert image["num_channels"] == 3
    assert image["spatial_shape"] == [64, 48, 32]  # the tensor's order
    assert image["channel_def"] == {"0": "T2w", "1": "ct", "2": "t1"}
    pred = document["network_data_format"]["outputs"]["pred"]
    assert pred["channel_def"] == {"0": "background", "1": "Anterior", "2": "Posterior"}
    assert document["segmamba"]["format"] == 1


def put(path: str, value):
    """An edit of the document that sets one field, or deletes it when value is ``...``."""
    steps = [int(s) if s.isdigit() else s for s in re.findall(r"\w+", path)]

    def edit(document):
        for step in steps[:-1]:
            document = document[step]
        if value is ...:
            del document[steps[-1]]
        else:
            document[steps[-1]] = value

    return edit


@pytest.mark.parametrize(
    ("path", "value", "hint"),
    [
        ("segmamba.channels[1].normalisation.kind", "foo", "is 'foo', allowed are 'zscore'"),
        ("segmamba.channels[1].normalisation.window", None, "kind 'window' needs it"),
        ("segmamba.channels[1].normalisation.window", [250, -100], "the lower first"),
        ("segmamba.channels[2].normalisation.percentiles", [0, 101], "from 0 to 100"),
        ("segmamba.channels[0].normalisation.percentiles", [1, 99], "belongs to kind 'percentile'"),
        ("segmamba.channels[0].normalisation.region", "brain", "allowed are 'nonzero', 'all'"),
        ("segmamba.channels[0].colour", 1, "is not a known key"),
        ("segmamba.channels[0].name", ..., "is missing"),
        ("segmamba.channels[0].normalisation", ..., "is missing"),
        ("segmamba.channels[0]", "T1", "expected an object"),
        ("segmamba.channels", [], "at least one"),
        ("segmamba.labels", {}, "at least one"),
        ("segmamba.labels[0].value", 0, "from 1 to 65535"),
        ("segmamba.labels[0].value", 65536, "from 1 to 65535"),
        ("segmamba.labels[0].value", True, "whole number"),
        ("segmamba.labels[1].value", 1, "the same as segmamba.labels[0].value"),
        ("segmamba.labels[1].name", "Anterior", "the same as"),
        ("segmamba.labels[0].colour", [0, 0, 256], "from 0 to 255"),
        ("segmamba.labels[0].colour", [0, 0], "3 whole numbers"),
        ("segmamba.labels[1].members", [1, 3], "which segmamba.labels[0] holds too"),
        ("segmamba.labels[1].members", [], "one or more"),
        ("segmamba.labels[1].terminology", "liver", "expected an object"),
        ("segmamba.network", "", "expected text"),
        ("segmamba.options", [1], "expected an object"),
        ("segmamba.options", {"a": float("nan")}, "its a is nan"),
        ("segmamba.patch", [32, 32], "3 whole numbers"),
        ("segmamba.patch", [32, 32, 0], "3 whole numbers"),
        ("segmamba.patch", [32, 32, 1.5], "3 whole numbers"),
        ("segmamba.spacing", [1, 1, 0], "3 numbers above 0"),
        ("segmamba.spacing", 1.0, "3 numbers above 0"),
        ("segmamba.orientation", "LLS", "such as 'LPS'"),
        ("segmamba.orientation", "lps", "such as 'LPS'"),
        ("segmamba.regions", "yes", "true or false"),
        ("segmamba.field_of_view", [90, 40], "the lower first"),
        ("segmamba.weights", {"file": "../x.safetensors", "sha256": "0" * 64}, "models/model.safetensors"),
        ("segmamba.weights", {"file": "models/../x.safetensors", "sha256": "0" * 64}, "inside 'models/'"),
        ("segmamba.weights", {"file": "models/model.pt", "sha256": "0" * 64}, "models/model.safetensors"),
        ("segmamba.weights", {"file": "models/a.safetensors", "sha256": "00"}, "64 hexadecimal"),
        ("segmamba.training.mirror_axes", ["x"], "expected a list of axes"),
        ("segmamba.training.mirror_axes", 5, "expected a list of axes"),
        ("segmamba.training.mirror_axes", [7], "expected a list of axes"),
        ("segmamba.training.mirror_axes", [True], "expected a list of axes"),
        ("segmamba.scores.dice", 0.9, "{name: number}"),
        ("segmamba.scores.dice", None, "{name: number}"),
        ("segmamba.scores.dice", {"Anterior": "good"}, "{name: number}"),
        ("segmamba.scores.dice", {"Anterior": None}, "{name: number}"),
        ("segmamba.scores.mean_dice", "0.9", "expected a number"),
        ("segmamba.scores.how", 3, "expected text"),
        ("segmamba.colour", 1, "is not a known key"),
        ("segmamba.format", "1", "whole number"),
        ("segmamba", None, "expected an object"),
        ("name", "../evil", "expected a name"),
        ("name", ".hidden", "expected a name"),
        ("version", ..., "is missing"),
    ],
)
def test_wrong_field_is_refused_by_file_and_path(path, value, hint):
    document = json.loads(json.dumps(make_metadata().to_dict()))
    put(path, value)(document)
    with pytest.raises(UserError) as error:
        Metadata.from_dict(document, file="here/metadata.json")
    one_sentence(error, "here/metadata.json: ", path, hint)


def test_all_problems_of_a_file_are_reported_together():
    document = make_metadata().to_dict()
    put("segmamba.patch", 3)(document)
    put("segmamba.labels[0].colour", "red")(document)
    put("version", 2)(document)
    with pytest.raises(UserError) as error:
        Metadata.from_dict(document)
    one_sentence(error, "segmamba.patch", "segmamba.labels[0].colour", "version is 2")


def test_newer_format_asks_for_an_update_and_nothing_else():
    document = make_metadata().to_dict()
    document["segmamba"] = {"format": 2, "something_new": True}
    with pytest.raises(UserError, match=r"newer version of segmamba.*update") as error:
        Metadata.from_dict(document)
    assert "something_new" not in str(error.value)


def test_unknown_top_level_keys_of_monai_tools_are_left_alone():
    document = make_metadata().to_dict()
    document["intended_use"] = "research"
    assert Metadata.from_dict(document) == make_metadata()


def test_metadata_do_not_share_the_dictionaries_they_were_made_from():
    options = {"depths": [1, 2]}
    metadata = make_metadata(options=options)
    before = copy.deepcopy(metadata)
    options["depths"].append(3)
    metadata.to_dict()["segmamba"]["options"]["depths"].append(4)
    assert metadata == before
