"""Packages from published weights: recognised, described, refused; the outputs of regions in painting order."""

import json

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from segmamba import Segmenter
from segmamba.bundle import Bundle
from segmamba.networks import build

SIZES = {"depths": (1, 1, 1, 1), "feat_size": (4, 8, 8, 8), "hidden_size": 8}


@pytest.fixture
def weights(tmp_path):
    def save(name: str, in_channels: int, out_channels: int, **options):
        torch.manual_seed(0)
        network = build(name, in_channels, out_channels, **options)
        path = tmp_path / f"{name}.pt"
        torch.save({"module": network.state_dict()}, path)
        return path, network

    return save


def test_without_a_description_it_says_what_it_recognised(weights, refused):
    path, _ = weights("segmamba", 4, 4, **SIZES)
    refused(["models", "import-official", path], "segmamba with 4 channels and 4 outputs", "--preset brats2023")


def test_the_preset_makes_a_package_that_segments(weights, done, tmp_path):
    path, _ = weights("segmamba", 4, 4, **SIZES)
    done("models", "import-official", path, "--preset", "brats2023", "-o", tmp_path / "imported")
    bundle = Bundle(tmp_path / "imported")
    assert bundle.verify() == []
    assert [channel.name for channel in bundle.metadata.channels] == ["t2w", "t2f", "t1n", "t1c"]
    images = [sitk.GetImageFromArray(np.random.default_rng(n).random((20, 20, 20), np.float32)) for n in range(4)]
    segmentation = Segmenter(tmp_path / "imported", device="cpu")(images)
    assert segmentation.names == {1: "Necrotic core", 2: "Oedema", 3: "Enhancing tumour"}


def test_region_outputs_are_put_into_painting_order(weights, done, tmp_path):
    path, network = weights("segresmamba", 4, 3, feat_size=(8, 8, 8, 8))
    done("models", "import-official", path, "--preset", "brats2023", "-o", tmp_path / "imported")
    bundle = Bundle(tmp_path / "imported")
    assert [label.name for label in bundle.metadata.labels] == ["WT", "TC", "ET"]
    ours = torch.from_numpy(bundle.weights()["out.bias"]).float()
    published = network.out.bias.detach()  # TC, WT, ET
    assert torch.allclose(ours, published[[1, 0, 2]], atol=1e-3)


def test_a_description_of_ones_own(weights, done, tmp_path):
    path, _ = weights("lightmunet", 1, 3, init_filters=8, blocks_down=(1, 1), blocks_up=(1,))
    card = tmp_path / "card.json"
    card.write_text(
        json.dumps(
            {
                "name": "liver",
                "channels": [
                    {"name": "CT", "modality": "CT", "normalisation": {"kind": "window", "window": [-160, 240]}}
                ],
                "labels": [
                    {"value": 1, "name": "Liver", "colour": [200, 100, 90]},
                    {"value": 2, "name": "Tumour", "colour": [90, 200, 90]},
                ],
                "patch": [32, 32, 32],
            }
        ),
        encoding="utf-8-sig",  # as editors on Windows save it
    )
    done("models", "import-official", path, "--metadata", card, "-o", tmp_path / "liver.zip")
    assert Bundle(tmp_path / "liver.zip").metadata.options["init_filters"] == 8


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--preset", "brats1999", "-o", "x"], "brats1999"),
        (["--preset", "brats2023", "-o", "x"], "takes 1 channels"),
        (["--preset", "brats2023"], "-o"),
        (["--network", "lightmunet"], "--network lightmunet"),
        (["--metadata", "absent.json", "-o", "x"], "absent.json"),
    ],
)
def test_what_does_not_fit_is_refused(weights, refused, arguments, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path, _ = weights("segmamba", 1, 4, **SIZES)
    refused(["models", "import-official", path, *arguments], said)
