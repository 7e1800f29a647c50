"""Names of devices and precisions."""

import pytest
import torch

from segmamba.errors import UserError
from segmamba.inference.devices import available_devices, resolve_device, resolve_precision


def test_auto_is_the_best_device_here_and_cpu_is_always_there():
    assert available_devices()[-1] == "cpu"
    assert str(resolve_device("auto")) == available_devices()[0]
    assert resolve_device("cpu") == torch.device("cpu")
    assert resolve_device(torch.device("cpu")) == torch.device("cpu")


@pytest.mark.parametrize(
    ("name", "problem"), [("cuda:97", "is not here"), ("tpu", "is unknown"), ("cuda:x", "is unknown")]
)
def test_a_device_that_is_not_here_is_refused_with_those_that_are(name, problem):
    with pytest.raises(UserError, match=rf"--device {name} {problem}.*this computer has .*cpu"):
        resolve_device(name)


def test_precision_auto_is_single_on_a_cpu():
    assert resolve_precision("auto", torch.device("cpu")) == "fp32"
    assert resolve_precision("bf16", torch.device("cpu")) == "bf16"
    with pytest.raises(UserError, match="--precision double"):
        resolve_precision("double", torch.device("cpu"))
