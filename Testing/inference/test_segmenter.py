"""Segmenter: a model package opened once, then called."""

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch

import segmamba
from segmamba import networks
from segmamba.bundle import write_bundle
from segmamba.errors import UserError
from segmamba.images import write_image
from segmamba.inference.segmenter import Segmenter

sys.path.insert(0, str(Path(__file__).parent))
from small import Nested, Threshold, blob, image, metadata, same_place


def network_and_metadata(**changes):
    names = changes.pop("names", ("one", "two"))
    meta = metadata(names, kind="zscore", network="lightmunet", patch=(16, 16, 16), **changes)
    torch.manual_seed(0)
    network = networks.build("lightmunet", in_channels=1, out_channels=meta.output_channels)
    for parameter in network.parameters():  # packages hold half precision; round first, to compare to the bit
        parameter.data = parameter.data.half().float()
    return network, meta


def package(path, network, meta):
    weights = {name: value.numpy() for name, value in network.state_dict().items()}
    write_bundle(path, meta, weights, "# Model", "CC0-1.0")
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    network, meta = network_and_metadata()
    return package(tmp_path_factory.mktemp("models") / "small", network, meta), network, meta


def test_a_package_gives_the_mask_of_its_network_in_memory(model, tmp_path):
    path, network, meta = model
    picture = image(blob((18, 16, 17)), (1, 1.5, 2))
    write_image(picture, tmp_path / "image.nii.gz")
    expected = Segmenter.from_network(network, meta, device="cpu")(picture).labels
    segmenter = segmamba.Segmenter(path, device="cpu")
    for given in (picture, [picture], tmp_path / "image.nii.gz", [str(tmp_path / "image.nii.gz")]):
        result = segmenter(given)
        assert isinstance(result, segmamba.Segmentation)
        assert np.array_equal(sitk.GetArrayFromImage(result.labels), sitk.GetArrayFromImage(expected))
    assert result.names == {1: "one", 2: "two"} and result.backend


def test_weights_that_do_not_fit_are_refused_with_the_package_named(model, tmp_path):
    _, network, meta = model
    wide = package(tmp_path / "wide", network, dataclasses.replace(meta, labels=meta.labels[:1]))
    with pytest.raises(UserError, match=r"wide: the weights do not fit network lightmunet.*has shape"):
        Segmenter(wide, device="cpu")
    extra = torch.nn.Module()
    extra.network, extra.more = network, torch.nn.Linear(1, 1)
    with pytest.raises(UserError, match=r"extra: the weights do not fit.*missing.*more"):
        Segmenter(package(tmp_path / "extra", extra, meta), device="cpu")


def test_an_unknown_network_option_is_refused_with_the_package_named(model, tmp_path):
    _, network, meta = model
    odd = package(tmp_path / "odd", network, dataclasses.replace(meta, options={"nonsense": 1}))
    with pytest.raises(UserError, match=r"odd: .*nonsense"):
        Segmenter(odd, device="cpu")


def test_unknown_models_and_devices_are_refused():
    with pytest.raises(UserError, match="no-such-model"):
        Segmenter("no-such-model", device="cpu")
    with pytest.raises(UserError, match="--device tpu"):
        Segmenter("no-such-model", device="tpu")


def test_everything_asked_for_can_be_written(tmp_path):
    picture = image(blob(), (1, 2, 3), (4, 5, 6))
    meta = metadata(("WT", "TC", "ET"), regions=True, values=[2, 1, 3])
    result = Segmenter.from_network(Nested(), meta, device="cpu")(picture, probabilities=True, uncertainty=True)
    result.save(tmp_path / "mask.nii.gz")
    result.save(tmp_path / "mask.seg.nrrd")
    result.save_probabilities(tmp_path / "p.nrrd")
    result.save_probabilities(tmp_path / "p.nii.gz")
    result.save_uncertainty(tmp_path / "u.nii.gz")
    mask = sitk.ReadImage(str(tmp_path / "mask.nii.gz"))
    assert np.array_equal(sitk.GetArrayFromImage(mask), sitk.GetArrayFromImage(result.labels))
    for name in ("p.nrrd", "p.nii.gz"):
        maps = sitk.ReadImage(str(tmp_path / name))
        assert maps.GetSize() == (*picture.GetSize(), 3)
        assert same_place(maps[..., 0], picture)
        assert np.array_equal(sitk.GetArrayFromImage(maps), result.probabilities)
    assert same_place(sitk.ReadImage(str(tmp_path / "u.nii.gz")), picture)


def test_what_was_not_asked_for_cannot_be_written(tmp_path):
    result = Segmenter.from_network(Threshold(), metadata(), device="cpu")(image(blob()))
    with pytest.raises(UserError, match="probabilities"):
        result.save_probabilities(tmp_path / "p.nrrd")
    with pytest.raises(UserError, match="uncertainty"):
        result.save_uncertainty(tmp_path / "u.nrrd")
    with pytest.raises(UserError, match=r"mask\.xyz"):
        result.save(tmp_path / "mask.xyz")
    assert not list(tmp_path.iterdir())
