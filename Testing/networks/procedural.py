"""Numbers that every machine makes alike, and what a network computes with them: for goldens without stored weights."""

import json
import math
import zlib
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor, nn

OWN = Path(__file__).parent / "own"
STRIDE = 13  # of the values kept of an output or an input's gradient; all values count in the sums


def uniform(name: str, shape) -> np.ndarray:
    """Float64 numbers in [-1, 1), a function of the name and their place alone (splitmix64 over a counter)."""
    with np.errstate(over="ignore"):
        x = np.arange(math.prod(shape), dtype=np.uint64) + (np.uint64(zlib.crc32(name.encode())) << np.uint64(32))
        x = (x + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x = x ^ (x >> np.uint64(31))
    return ((x >> np.uint64(11)).astype(np.float64) * 2.0**-52 - 1.0).reshape(shape)


def weight(key: str, shape) -> Tensor:
    """A parameter of that key, of the size that its place in a network asks for, rounded to float32."""
    last, random = key.rpartition(".")[2], uniform(key, shape)
    if last.endswith("_log"):
        random = np.log(np.arange(1, shape[1] + 1)) + 0.1 * random
    elif "dt_proj" in key and last == "bias":
        random = -4 + 2 * random
    elif last.startswith("D") or last == "skip_scale" or (last == "weight" and len(shape) == 1):
        random = 1 + 0.2 * random
    elif len(shape) > 1:
        random = random * math.sqrt(3 / math.prod(shape[1:]))
    else:
        random = 0.2 * random
    return torch.from_numpy(random.astype(np.float32))


def filled(network: nn.Module) -> nn.Module:
    """The network with every parameter from its key; in eval mode."""
    state = {key: weight(key, tuple(value.shape)) for key, value in network.state_dict().items()}
    network.load_state_dict(state, strict=True)
    return network.eval()


def picture(shape) -> Tensor:
    """An input, float32."""
    return torch.from_numpy(uniform("input", shape).astype(np.float32))


def numbers(name: str, tensor: Tensor) -> list[float]:
    """Norm of a tensor, and its product with procedural numbers: that one sees where a value stands, too."""
    values = tensor.detach().double()
    seen = (values * torch.from_numpy(uniform(f"seen {name}", values.shape))).sum()
    return [float(f"{float(number):.12g}") for number in (values.norm(), seen)]


def computed(network: nn.Module, shape) -> tuple[dict[str, Tensor], dict[str, list[float]]]:
    """Output, gradients of sum(output * procedural numbers), in float64.

    Returns:
        Every thirteenth value of ``output`` and of ``input_gradient``; :func:`numbers` of both and of each parameter's
        gradient, under its key.
    """
    network = filled(network).double()
    x = picture(shape).double().requires_grad_()
    y = network(x)
    (y * torch.from_numpy(uniform("loss", y.shape))).sum().backward()
    kept = {"output": y.detach(), "input_gradient": x.grad}
    seen = {name: numbers(name, tensor) for name, tensor in kept.items()}
    seen |= {key: numbers(key, parameter.grad) for key, parameter in network.named_parameters()}
    return {name: tensor.flatten()[::STRIDE].float() for name, tensor in kept.items()}, seen


def read(name: str) -> tuple[dict, dict[str, Tensor]]:
    """A golden file: what its metadata say, and its tensors."""
    with safe_open(OWN / f"{name}.safetensors", "pt") as file:
        return json.loads(file.metadata()["meta"]), {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
