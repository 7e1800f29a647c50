"""Published state dicts: recognised, sized from their shapes, unwrapped, loaded; nothing in them executed."""

import pickle

import numpy as np
import pytest
import torch
from golden import module, relative
from safetensors.torch import save_file

from segmamba.errors import UserError
from segmamba.networks import build, from_published
from segmamba.networks.published import read_checkpoint

GOLDENS = {
    "lightmunet": {},
    "segmamba": {},
    "segmamba_v1": {},
    "segresmamba": {},
    "segresmamba_called": {"call_mamba": True},
}
OURS = {
    "lightmunet": {"init_filters": 8, "blocks_down": [1, 2], "blocks_up": [1], "spatial_dims": 3},
    "segmamba": {"depths": [1, 2, 1, 1], "feat_size": [4, 8, 12, 16], "hidden_size": 20},
    "segmamba_v1": {"depths": [1, 1, 2, 1], "feat_size": [6, 8, 12, 16], "hidden_size": 20, "variant": "published"},
    "segresmamba": {"feat_size": [8, 16, 8, 8], "variant": "paper"},
}


@pytest.mark.parametrize("file", GOLDENS)
def test_a_published_state_dict_gives_the_published_output(reference_data, file):
    golden = module(reference_data, "load_golden").load(str(reference_data / "golden" / f"{file}.safetensors"))
    network, report = from_published(golden.sd, **GOLDENS[file])
    assert report.network == file.removesuffix("_called")
    assert report.missing == []
    assert report.unused == []
    assert bool(report.dead) == file.startswith("segresmamba")
    with torch.inference_mode():
        assert relative(network(golden.x), golden.y) < 1e-4


@pytest.mark.parametrize("name", OURS)
def test_sizes_come_from_the_shapes(name):
    network = build(name, in_channels=3, out_channels=5, **OURS[name])
    again, report = from_published(network.state_dict())
    assert (report.network, report.in_channels, report.out_channels, report.options) == (name, 3, 5, OURS[name])
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), again.parameters(), strict=True))


@pytest.mark.parametrize(
    "wrap",
    [
        lambda sd: {"module": sd},
        lambda sd: {f"module.{key}": value for key, value in sd.items()},
        lambda sd: {"network_weights": sd, "init_args": {"fold": 0}, "logging": {"loss": [1.0]}},
        lambda sd: {"state_dict": {f"module.{key}": value for key, value in sd.items()}, "epoch": 3},
    ],
)
def test_wrappers_of_training_programs_are_taken_off(wrap):
    weights = build("lightmunet", 1, 2, **OURS["lightmunet"]).state_dict()
    network, report = from_published(wrap(weights))
    assert report.missing == []
    assert torch.equal(network.state_dict()["convInit.0.conv.weight"], weights["convInit.0.conv.weight"])


def test_unused_and_missing_keys_are_listed():
    weights = build("segmamba", 1, 2, **OURS["segmamba"]).state_dict()
    del weights["vit.mlps.0.fc1.bias"]
    weights["optimiser.step"] = torch.zeros(1)
    _, report = from_published(weights)
    assert report.missing == ["vit.mlps.0.fc1.bias"]
    assert report.unused == ["optimiser.step"]


@pytest.mark.parametrize("content", [{"encoder.conv.weight": torch.zeros(1)}, {"epoch": 3}, {}])
def test_a_foreign_state_dict_is_refused(content):
    with pytest.raises(UserError, match=r"none of segmamba|holds no weights"):
        from_published(content)


def test_a_changed_shape_is_named():
    weights = build("lightmunet", 1, 2, **OURS["lightmunet"]).state_dict()
    weights["down_layers.0.1.norm1.weight"] = torch.zeros(3)
    with pytest.raises(UserError, match=r"down_layers\.0\.1\.norm1\.weight has shape \(3,\)"):
        from_published(weights)


def test_files_of_torch_and_safetensors_are_read(tmp_path):
    weights = build("lightmunet", 1, 2, **OURS["lightmunet"]).state_dict()
    torch.save({"network_weights": weights, "logging": {"best": np.float64(0.5)}}, tmp_path / "checkpoint_final.pth")
    save_file(weights, tmp_path / "weights.safetensors")
    for name in ("checkpoint_final.pth", "weights.safetensors"):
        _, report = from_published(read_checkpoint(str(tmp_path / name)))
        assert report.missing == []


class _Harmful:
    def __reduce__(self):
        return (open, ("executed", "w"))


def test_a_file_with_code_is_refused_and_not_executed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"module": {"x": torch.zeros(1)}, "extra": _Harmful()}, tmp_path / "harmful.pt")
    (tmp_path / "plain.pkl").write_bytes(pickle.dumps(_Harmful()))
    for name in ("harmful.pt", "plain.pkl"):
        with pytest.raises(UserError, match=name):
            read_checkpoint(str(tmp_path / name))
    assert not (tmp_path / "executed").exists()


def test_damaged_and_missing_files_are_named(tmp_path):
    (tmp_path / "cut.pth").write_bytes(b"PK\x03\x04 nothing more")
    (tmp_path / "cut.safetensors").write_bytes(b"12345")
    for name in ("cut.pth", "cut.safetensors", "absent.pth"):
        with pytest.raises(UserError, match=name):
            read_checkpoint(str(tmp_path / name))
