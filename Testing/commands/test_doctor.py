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


def advice(report, device, numba=True, version="0.61.0", **more):
    """What is advised where there is this device beside the processor."""
    scan = [{"name": "numba", "usable": numba, "reason": "cannot be imported: no LLVM"}]
    cpu = {"name": "cpu", "backend": "numba" if numba else "chunked", "backends": scan}
    devices = [cpu] + ([{"name": device, "backend": "chunked", "backends": [], **more}] if device else [])
    packages = {**report["packages"], "numba": version}
    return " ".join(_advice({**report, "devices": devices, "packages": packages, "models": []}))


def test_everything_runs_on_the_processor_only_where_there_is_nothing_else(report):
    assert "runs on the processor" in advice(report, None)
    assert advice(report, "mps") == ""


def kernels(reason, usable=False):
    """A CUDA device's backends and convolution, as they are reported."""
    scan = [
        {"name": "mamba_ssm", "usable": usable, "reason": reason.format("mamba_ssm")},
        {"name": "chunked", "usable": True, "reason": "passed"},
    ]
    conv = {"name": "causal_conv1d", "usable": usable, "reason": reason.format("causal_conv1d")}
    return {"backend": "mamba_ssm" if usable else "chunked", "backends": scan, "convolution": conv}


def test_a_cuda_device_with_its_kernels_needs_no_advice(report):
    assert advice(report, "cuda:0", **kernels("passed", usable=True)) == ""


def test_a_better_backend_than_mamba_ssm_needs_none_of_it(report):
    found = kernels("{} is not installed")
    found["backend"] = "triton"
    del found["convolution"]
    assert advice(report, "cuda:0", **found) == ""


def test_why_a_cuda_devices_kernels_are_not_used_is_said_and_how_they_are_had(report, monkeypatch):
    monkeypatch.setattr("sys.platform", "linux")
    text = advice(report, "cuda:0", **kernels("{} is not installed"))
    assert "The scan on cuda:0 runs in plain torch" in text and "mamba_ssm is not installed." in text
    assert " MAMBA_KEEP_CUDA_BUILD=TRUE pip install --no-build-isolation mamba-ssm;" in text
    assert "causal_conv1d is not installed." in text and " pip install --no-build-isolation causal-conv1d;" in text
    assert torch.__version__ in text
    text = advice(report, "cuda:1", **kernels("{} is installed, but without its compiled module"))
    assert "cuda:1" in text and "MAMBA_KEEP_CUDA_BUILD=TRUE" in text and "FORCE" not in text


def test_kernels_that_do_not_work_are_to_be_compiled_again(report, monkeypatch):
    monkeypatch.setattr("sys.platform", "linux")
    text = advice(report, "cuda:0", **kernels("self-test failed: RuntimeError: CUDA error: no kernel image"))
    assert "no kernel image." in text and "nvcc" in text
    assert "MAMBA_FORCE_BUILD=TRUE MAMBA_KEEP_CUDA_BUILD=TRUE pip install" in text
    assert "CAUSAL_CONV1D_FORCE_BUILD=TRUE pip install" in text


def test_where_there_are_no_such_kernels_nothing_is_to_be_installed(report, monkeypatch):
    monkeypatch.setattr("sys.platform", "win32")
    text = advice(report, "cuda:0", **kernels("{} is not installed"))
    assert "pip install" not in text and "for Linux only" in text


def test_the_convolution_is_shown_beside_the_scan(done, monkeypatch, report):
    conv = {"name": "causal_conv1d", "usable": False, "reason": "causal_conv1d is not installed"}
    device = {"name": "cuda:0", "detail": "a card", "backend": "chunked", "backends": report["devices"][0]["backends"]}
    shown = {**report, "devices": [{**device, "convolution": conv}]}
    monkeypatch.setattr("segmamba.doctor.examine", lambda: shown)
    assert "  the convolution before it runs in plain torch (causal_conv1d is not installed)" in done("doctor")


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
