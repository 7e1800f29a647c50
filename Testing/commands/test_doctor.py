"""``segmamba doctor``: what runs where, and why."""

import json

import pytest
import torch

from segmamba import __version__
from segmamba.doctor import _advice
from segmamba.scan import available_backends, chosen_backend
from segmamba.settings import user_models_folder


@pytest.fixture
def report(done):
    """The report as JSON."""
    return json.loads(done("doctor", "--json"))


def test_it_tells_what_is_installed(report):
    assert report["system"]["segmamba"] == __version__
    assert report["packages"]["torch"] == torch.__version__
    assert report["packages"]["mamba-ssm"] is None or report["packages"]["mamba-ssm"][0].isdigit()


def test_it_tells_each_devices_backend_and_why(report):
    cpu = next(device for device in report["devices"] if device["name"] == "cpu")
    assert cpu["backend"] == chosen_backend("cpu")
    assert [b["name"] for b in cpu["backends"] if b["usable"]] == available_backends("cpu")
    assert all(backend["reason"] for backend in cpu["backends"])


def test_a_newcomer_can_read_it(done, report):
    text = done("doctor")
    for device in report["devices"]:
        assert f"Device {device['name']}: {device['detail']}" in text
        assert f"runs in backend {device['backend']}" in text
    for sentence in report["advice"]:
        assert sentence in text and sentence.endswith(".")
    assert any("CUDA" in sentence for sentence in report["advice"]) != torch.cuda.is_available()


def advice(report, device, numba=True, version="0.61.0"):
    """What is advised where there is this device beside the processor."""
    scan = [{"name": "numba", "usable": numba, "reason": "cannot be imported: no LLVM"}]
    cpu = {"name": "cpu", "backend": "numba" if numba else "chunked", "backends": scan}
    devices = [cpu] + ([{"name": device, "backend": "chunked", "backends": []}] if device else [])
    packages = {**report["packages"], "numba": version}
    return " ".join(_advice({**report, "devices": devices, "packages": packages, "models": []}))


def test_everything_runs_on_the_processor_only_where_there_is_nothing_else(report):
    assert "runs on the processor" in advice(report, None)
    assert advice(report, "mps") == advice(report, "cuda:0") == ""


def test_numba_is_to_be_installed_only_where_it_is_missing(report):
    assert "pip install numba" in advice(report, "mps", numba=False, version=None)
    broken = advice(report, "mps", numba=False)
    assert "pip install" not in broken and "numba cannot be imported: no LLVM." in broken


def test_a_damaged_model_is_said_with_its_problem(done, tiny_model):
    done("models", "install", tiny_model)
    assert "tiny  " in done("doctor")
    (user_models_folder() / "tiny" / "configs" / "metadata.json").write_text("{")
    found = json.loads(done("doctor", "--json"))
    (model,) = [m for m in found["models"] if m["name"] == "tiny"]
    assert "damaged" in model["problem"]
    assert any("tiny" in sentence for sentence in found["advice"])
