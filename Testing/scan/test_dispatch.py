"""Choice of the backend, checks of the arguments, and that nothing happens silently."""

import logging
import os
import subprocess
import sys

import pytest
import torch

from segmamba.errors import UserError
from segmamba.scan import available_backends, backend_report, chosen_backend, dispatch, selective_scan


@pytest.fixture
def forgotten():
    """No choice and no self-test has been made yet; the same again afterwards."""

    def forget():
        dispatch._choose.cache_clear()
        dispatch._state.cache_clear()

    forget()
    yield
    forget()


def test_names_best_first_with_the_reference_last():
    names = available_backends()
    assert names == ["numba", "chunked", "reference"]
    assert chosen_backend("cpu") == names[0]


def test_every_available_backend_is_valid_and_agrees(scan_inputs, relative_error):
    inputs = scan_inputs(batch=2, channels=20, length=40, kind=torch.float32)
    results = {name: selective_scan(**inputs, delta_softplus=True, backend=name) for name in available_backends()}
    for name, result in results.items():
        assert result.shape == inputs["u"].shape and result.dtype == torch.float32
        assert relative_error(result, results["reference"]) < 2e-6, name


def test_report_gives_a_reason_for_every_backend():
    report = backend_report("meta")
    assert [name for name, _, _ in report] == ["mamba_ssm", "numba", "chunked", "reference"]
    assert report[0] == ("mamba_ssm", False, "runs on cuda only") and report[1] == ("numba", False, "runs on cpu only")
    assert all(reason for _, _, reason in backend_report("cpu"))


@pytest.mark.parametrize(
    ("set_default", "other", "usual"),
    [(torch.set_default_dtype, torch.float64, torch.float32), (torch.set_default_device, "meta", None)],
    ids=["type", "device"],
)
def test_another_default_type_or_device_does_not_matter(forgotten, set_default, other, usual):
    set_default(other)
    try:
        report = backend_report("cpu")
    finally:
        set_default(usual)
    assert all(usable for name, usable, _ in report if name != "mamba_ssm"), report


def test_unknown_backend_names_the_allowed(scan_inputs):
    with pytest.raises(UserError, match=r"'fast'.*auto, numba, chunked, reference"):
        selective_scan(**scan_inputs(), backend="fast")


def test_unknown_device_is_the_users_mistake():
    with pytest.raises(UserError, match="gpu0"):
        available_backends("gpu0")


@pytest.mark.parametrize("ask", [available_backends, backend_report, chosen_backend])
def test_a_device_that_is_not_here_is_the_users_mistake(ask):
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    absent = [f"cuda:{count}"] + ([] if count else ["cuda"])
    if not torch.backends.mps.is_available():
        absent.append("mps")
    for device in absent:
        with pytest.raises(UserError, match=rf"^device {device} is not here: torch sees [^\n]*; use [^\n]*$"):
            ask(device)


def test_a_backend_of_another_device_says_where_it_runs(scan_inputs):
    with pytest.raises(UserError, match=r"'mamba_ssm' cannot be used on cpu \(runs on cuda only\); use one of auto"):
        selective_scan(**scan_inputs(), backend="mamba_ssm")


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("delta", (1, 16, 31)),
        ("A", (15, 16)),
        ("A", (16,)),
        ("B", (1, 8, 32)),
        ("B", (1, 3, 16, 32)),
        ("C", (2, 16, 32)),
        ("C", (16, 32)),
        ("D", (15,)),
        ("z", (1, 16, 33)),
        ("delta_bias", (1, 16)),
        ("u", (16, 32)),
    ],
)
def test_wrong_shape_names_got_and_allowed(scan_inputs, name, shape):
    inputs = scan_inputs()
    inputs[name] = torch.zeros(shape)
    with pytest.raises(ValueError, match=r"has shape \(.*allowed is") as caught:
        selective_scan(**inputs)
    assert str(shape) in str(caught.value)


def test_whole_numbers_are_refused(scan_inputs):
    inputs = scan_inputs()
    inputs["u"] = inputs["u"].long()
    with pytest.raises(ValueError, match="floating"):
        selective_scan(**inputs)


def test_choice_is_logged_once(scan_inputs, caplog, forgotten):
    inputs = scan_inputs(kind=torch.float32)
    with caplog.at_level(logging.INFO, logger="segmamba.scan.dispatch"):
        selective_scan(**inputs)
        selective_scan(**inputs)
    records = [r for r in caplog.records if r.name == "segmamba.scan.dispatch"]
    assert len(records) == 1 and records[0].levelno == logging.INFO and "numba" in records[0].getMessage()


def test_a_backend_with_wrong_numbers_is_passed_over_with_a_warning(scan_inputs, caplog, forgotten, monkeypatch):
    def wrong(*arguments):
        out, last = dispatch.selective_scan_chunked(*arguments)
        return out * 1.01, last

    monkeypatch.setitem(dispatch._BACKENDS, "numba", dispatch._Backend(wrong, ("cpu",)))
    with caplog.at_level(logging.INFO, logger="segmamba.scan.dispatch"):
        assert chosen_backend() == "chunked"
    assert any(r.levelno == logging.WARNING and "numba" in r.getMessage() for r in caplog.records)
    assert available_backends() == ["chunked", "reference"]
    with pytest.raises(UserError, match=r"numba.*differs.*chunked, reference"):
        selective_scan(**scan_inputs(), backend="numba")


def test_a_backend_that_fails_at_length_gives_its_first_line(forgotten, monkeypatch):
    def breaks(*arguments):
        raise RuntimeError("no kernel image is available.\nFor debugging:\n" + "long " * 1000)

    monkeypatch.setitem(dispatch._BACKENDS, "numba", dispatch._Backend(breaks, ("cpu",)))
    reason = {name: why for name, _, why in backend_report("cpu")}["numba"]
    assert reason == "self-test failed: RuntimeError: no kernel image is available"


def test_works_without_numba_and_kept_kernels(tmp_path):
    program = (
        "import sys, logging; logging.basicConfig(level=logging.INFO); sys.modules['numba'] = None\n"
        "import torch; from segmamba.scan import available_backends, selective_scan\n"
        "x, B = torch.ones(1, 2, 3), torch.ones(1, 4, 3); out = selective_scan(x, x, -torch.ones(2, 4), B, B)\n"
        "assert out.shape == (1, 2, 3); assert available_backends() == ['chunked', 'reference']\n"
    )
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert "WARNING" in done.stderr and "numba is not used: cannot be imported" in done.stderr


def test_importing_the_scan_does_not_import_numba():
    program = "import sys, segmamba.scan; assert 'numba' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("backend", ["numba", "chunked", "reference"])
def test_autocast_does_not_lower_the_precision(scan_inputs, exact, relative_error, backend):
    inputs = scan_inputs(channels=8, length=50, kind=torch.float32)
    right, _, right_grads = exact(inputs)
    leaves = {name: value.requires_grad_() for name, value in inputs.items()}
    with torch.autocast("cpu", torch.bfloat16):
        out = selective_scan(**leaves, delta_softplus=True, backend=backend)
        grads = torch.autograd.grad(out.sum(), list(leaves.values()))
    assert out.dtype == torch.float32 and relative_error(out, right) < 2e-6
    for name, grad in zip(leaves, grads, strict=True):
        assert relative_error(grad, right_grads[name]) < 2e-5, name


@pytest.mark.parametrize("backend", ["numba", "chunked", "reference"])
def test_float64_is_computed_in_float64(scan_inputs, exact, relative_error, backend):
    inputs = scan_inputs(channels=8, length=50)
    out = selective_scan(**inputs, delta_softplus=True, backend=backend)
    assert out.dtype == torch.float64 and relative_error(out, exact(inputs)[0]) < 1e-13
