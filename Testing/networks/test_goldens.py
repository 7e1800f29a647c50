"""The networks against the papers' published code: outputs, input gradients and parameter gradients."""

import json
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from segmamba.networks import build
from segmamba.networks.mixer import Mamba

sys.path.insert(0, str(Path(__file__).parent))
from golden import module, procedural, relative

# Where our option is named otherwise than in the golden's configuration.
CHANNELS = {"in_chans": "in_channels", "out_chans": "out_channels"}


def network_for(meta: dict, name: str):
    config = {CHANNELS.get(key, key): value for key, value in meta["config"].items()}
    return build(name, **config).eval()


@pytest.mark.parametrize("name", ["lightmunet", "segmamba"])
def test_small_network_gives_the_published_output(reference_data, name):
    golden = module(reference_data, "load_golden").load(str(reference_data / "golden" / f"{name}.safetensors"))
    network = network_for(golden.meta, name)
    network.load_state_dict(golden.sd, strict=True)
    with torch.inference_mode():
        assert relative(network(golden.x), golden.y) < 1e-4


@pytest.mark.parametrize("name", ["lightmunet", "segmamba"])
def test_small_network_gives_the_published_gradients_in_float64(reference_data, name):
    loader = module(reference_data, "load_golden")
    golden = loader.load(str(reference_data / "golden" / f"{name}.safetensors"))
    network = network_for(golden.meta, name)
    network.load_state_dict(golden.sd, strict=True)
    network.double()
    x = golden.x.double().requires_grad_()
    y = network(x)
    loader.loss(y).backward()
    assert relative(y, golden.y) < 1e-6
    assert relative(x.grad, golden.gx) < 1e-5
    for key, (norm, total) in golden.meta["param_grad_l2_sum_f64"].items():
        gradient = network.get_parameter(key).grad
        assert float(gradient.norm()) == pytest.approx(norm, rel=1e-5, abs=1e-9), key
        assert float(gradient.sum()) == pytest.approx(total, rel=1e-5, abs=1e-6 * max(norm, 1e-3)), key


@pytest.mark.parametrize("name", ["lightmunet", "segmamba"])
def test_full_size_network_has_the_published_keys_and_output(reference_data, name):
    procw, meta, shapes, output = procedural(reference_data, name)
    network = network_for(meta, name)
    assert {key: list(value.shape) for key, value in network.state_dict().items()} == shapes
    assert sum(p.numel() for p in network.parameters()) == meta["param_count"]
    weights = {key: torch.from_numpy(procw.weight(meta["seed"], key, shape)) for key, shape in shapes.items()}
    network.load_state_dict(weights, strict=True)
    x = torch.from_numpy(procw.tensor_input(meta["seed"], meta["input_shape"])).half().float()
    with torch.inference_mode():
        assert relative(network(x), output) < 1e-4


def test_mixers_give_the_published_outputs_and_gradients_in_float64(reference_data):
    kinds = {"none": 1, "v2": 2, "v3": 3}
    with safe_open(reference_data / "golden" / "mambamod.safetensors", "pt") as file:
        cases = json.loads(file.metadata()["meta"])["cases"]
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    assert {case["kind"] for case in cases} == set(kinds)
    for number, case in enumerate(cases):
        mine = {k.split("/", 1)[1]: v for k, v in tensors.items() if k.startswith(f"{number}/")}
        mixer = Mamba(
            case["d_model"],
            case["d_state"],
            case["d_conv"],
            case["expand"],
            directions=kinds[case["kind"]],
            nslices=case.get("nslices"),
        ).double()
        mixer.load_state_dict({k[3:]: v.double() for k, v in mine.items() if k.startswith("sd/")}, strict=True)
        x = mine["x"].clone().requires_grad_()
        y = mixer(x)
        (y * mine["dy"]).sum().backward()
        assert relative(y, mine["y"]) < 1e-6
        assert relative(x.grad, mine["dx"]) < 1e-6
        for key, gradient in mine.items():
            if key.startswith("grad/"):
                assert relative(mixer.get_parameter(key[5:]).grad, gradient) < 1e-5, (number, key)
