"""Every network, in float32 and bf16, from a data set through training and export to a mask, by the command line."""

import json

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from segmamba.network_names import NAMES
from segmamba.networks.segresmamba import ResMambaBlock

# Options that make each network small.
SMALL = {
    "segmamba": {"depths": [1, 1, 1, 1], "feat_size": [8, 8, 16, 16], "hidden_size": 16},
    "segmamba_v1": {"depths": [1, 1, 1, 1], "feat_size": [8, 8, 16, 16], "hidden_size": 16},
    "segresmamba": {"feat_size": [8, 8, 16, 16]},
    "lightmunet": {"init_filters": 8, "blocks_down": [1, 1], "blocks_up": [1]},
}
REGIONS = {"WT", "TC", "ET"}


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory):
    """Three tiny phantoms with a fold."""
    from segmamba.data.phantom import write_dataset

    folder = write_dataset(
        tmp_path_factory.mktemp("data") / "phantoms", range(1, 4), size=(20, 22, 18), spacing=(8, 8, 8)
    )
    names = sorted(path.name.removesuffix(".nii.gz") for path in (folder / "labelsTr").iterdir())
    (folder / "splits.json").write_text(json.dumps([{"train": names[:2], "val": names[2:]}]))
    return folder


def test_every_network_is_tried():
    assert SMALL.keys() == set(NAMES)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("network", SMALL)
def test_a_network_is_trained_exported_and_segments(command, done, phantoms, tmp_path, network, precision):
    run, model, mask = tmp_path / "run", tmp_path / "model", tmp_path / "mask.nii.gz"
    choices = {
        "network.options": json.dumps(SMALL[network]),
        "data.patch": "[16,24,16]",
        "data.spacing": "[8,8,8]",
        "train.epochs": "2",
        "train.steps_per_epoch": "2",
        "train.batch": "1",
        "train.threads": "1",
        "train.precision": precision,
        "optimiser.warmup_steps": "0",
        "augmentation.elastic_probability": "1",
    }
    more = [part for key, value in choices.items() for part in ("--set", f"{key}={value}")]
    trained = command("train", phantoms, "--network", network, "-o", run, "--device", "cpu", "--json", *more)
    assert trained.status == 0, trained.err
    assert json.loads(trained.out)["0"]["dice"].keys() == REGIONS
    asked = json.loads((run / "run.json").read_text())["recipe"]
    assert (asked["network"]["name"], asked["train"]["precision"]) == (network, precision)
    rows = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert len(rows) == 2 and all(np.isfinite(row["loss"]) and row["skipped"] == 0 for row in rows)

    exported = command("export", run, "-o", model)
    assert exported.status == 0, exported.err
    images = sorted((phantoms / "imagesTr").iterdir())[-4:]
    told = json.loads(
        done("segment", *images, "-o", mask, "--model", model, "--device", "cpu", "--precision", precision, "--json")
    )
    assert set(told["names"].values()) == REGIONS
    image, result = sitk.ReadImage(str(images[0])), sitk.ReadImage(str(mask))
    assert (result.GetSize(), result.GetSpacing()) == (image.GetSize(), image.GetSpacing())
    assert set(np.unique(sitk.GetArrayFromImage(result))) <= {0, 1, 2, 3}


@pytest.mark.parametrize("size", [(1, 2, 1), (2, 3, 2), (4, 6, 2), (3, 4, 1)])
def test_strided_convolutions_of_tiny_maps_are_right_in_bf16(size):
    """With AMX, torch's own have garbage where an output or a gradient is one voxel wide."""
    torch.manual_seed(0)
    block = ResMambaBlock(384, call_mamba=False, pad_even=True)
    for conv in (block.proj, block.proj5):
        results = []
        x = torch.randn(1, 384, *size).contiguous(memory_format=torch.channels_last_3d).requires_grad_()
        for enabled in (False, True):
            with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
                y = conv(x)
            weight = torch.randn(y.shape, generator=torch.Generator().manual_seed(1)).to(y.dtype)
            results.append([y.detach().float(), torch.autograd.grad(y, x, weight)[0].float()])
        for right, got in zip(*results, strict=True):
            assert (got - right).abs().max() < 0.03 * right.abs().max()
