"""The networks against the papers' published code: outputs, input gradients and parameter gradients."""

import json

import pytest
import torch
from golden import module, procedural, relative
from safetensors import safe_open

from segmamba.networks import build
from segmamba.networks.mixer import Mamba
from segmamba.networks.segresmamba import is_dead

# Where our option is named otherwise than in the golden's configuration.
CHANNELS = {"in_chans": "in_channels", "out_chans": "out_channels"}
# Golden file -> network and the options that make ours compute what was published.
SMALL = {
    "lightmunet": ("lightmunet", {}),
    "segmamba": ("segmamba", {}),
    "segmamba_v1": ("segmamba_v1", {"variant": "published"}),
    "segresmamba": ("segresmamba", {"variant": "published"}),
    "segresmamba_called": ("segresmamba", {"variant": "published"}),
}
FULL = ("lightmunet", "segmamba", "segmamba_v1", "segresmamba")


def network_for(meta: dict, file: str):
    name, options = SMALL[file]
    config = {CHANNELS.get(key, key): value for key, value in meta["config"].items()}
    return build(name, **config, **options).eval()


@pytest.mark.parametrize("file", SMALL)
def test_small_network_gives_the_published_output(reference_data, file):
    golden = module(reference_data, "load_golden").load(str(reference_data / "golden" / f"{file}.safetensors"))
    network = network_for(golden.meta, file)
    network.load_state_dict(golden.sd, strict=True)
    with torch.inference_mode():
        assert relative(network(golden.x), golden.y) < 1e-4


@pytest.mark.parametrize("file", SMALL)
def test_small_network_gives_the_published_gradients_in_float64(reference_data, file):
    loader = module(reference_data, "load_golden")
    golden = loader.load(str(reference_data / "golden" / f"{file}.safetensors"))
    network = network_for(golden.meta, file)
    network.load_state_dict(golden.sd, strict=True)
    network.double()
    x = golden.x.double().requires_grad_()
    y = network(x)
    loader.loss(y).backward()
    assert relative(y, golden.y) < 1e-6
    assert relative(x.grad, golden.gx) < 1e-5
    ours = dict(network.named_parameters())
    unused = set(golden.meta["params_without_grad"])
    assert set(golden.meta["param_grad_l2_sum_f64"]) - unused == set(ours)
    for key, parameter in ours.items():
        norm, total = golden.meta["param_grad_l2_sum_f64"][key]
        assert float(parameter.grad.norm()) == pytest.approx(norm, rel=1e-5, abs=1e-9), key
        assert float(parameter.grad.sum()) == pytest.approx(total, rel=1e-5, abs=1e-6 * max(norm, 1e-3)), key


@pytest.mark.parametrize("file", FULL)
def test_full_size_network_has_the_published_keys_and_output(reference_data, file):
    procw, meta, shapes, output = procedural(reference_data, file)
    network = network_for(meta, file)
    ours = {key: list(value.shape) for key, value in network.state_dict().items()}
    dead = {key for key in shapes if key not in ours}
    assert ours == {key: shape for key, shape in shapes.items() if key not in dead}
    assert all(is_dead(key, call_mamba=False) for key in dead)
    if file != "segresmamba":
        assert not dead
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
