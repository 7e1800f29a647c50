"""The self-test of a backend: outputs and gradients on small shapes, against the definition in float64."""

from collections.abc import Callable, Sequence

import torch

from segmamba.scan.chunked import selective_scan_chunked
from segmamba.scan.reference import selective_scan_reference

# (batch, groups, width, state, length): widths and lengths that fill no vector, and more than one group.
CASES = ((2, 1, 21, 16, 37), (1, 2, 16, 8, 64))
_OF = ("u", "delta", "A", "B", "C", "D", "z", "delta_bias")
_NAMES = ("output", "last state", *(f"gradient of {name}" for name in _OF))
_PARAMETERS = ("A", "D", "delta_bias")
# Rounding to half precision costs 4e-3 of a value in bfloat16; a wrong number costs more than either.
_LONG = 256
_LIMITS = {torch.float32: 1e-4, torch.bfloat16: 1e-2, torch.float16: 1e-2}


def self_test(
    function: Callable,
    device: torch.device,
    cases: Sequence[tuple[int, ...]] = CASES,
    kinds: Sequence[torch.dtype] = (torch.float32,),
) -> str:
    """Compares a scan with the definition.

    Args:
        function: Takes u, delta, A, B, C, D, z, delta_bias, delta_softplus, as ``selective_scan_reference`` does.
        device: Where to run it; the definition runs on the processor, in its chunked form where it would take long.
        cases: Shapes, as in ``CASES``.
        kinds: Types of the tokens; A, D and delta_bias are float32 with all of them, as under autocast.

    Returns:
        '', or what is wrong in one clause.
    """
    for kind in kinds:
        for case in cases:
            problem = _compare(function, device, case, kind)
            if problem:
                return problem
    return ""


def _compare(function: Callable, device: torch.device, case: tuple[int, ...], kind: torch.dtype) -> str:
    batch, groups, width, state, length = case
    channels = groups * width
    source = torch.Generator("cpu").manual_seed(channels)

    def normal(*shape):
        return torch.randn(*shape, generator=source, dtype=torch.float64, device="cpu")

    inputs = [
        normal(batch, channels, length),
        normal(batch, channels, length),
        -torch.exp(normal(channels, state)),
        normal(batch, groups, state, length),
        normal(batch, groups, state, length),
        normal(channels),
        normal(batch, channels, length),
        normal(channels) - 2.0,
    ]
    kinds = [torch.float32 if name in _PARAMETERS else kind for name in _OF]
    inputs = [value.to(own) for value, own in zip(inputs, kinds, strict=True)]
    weight = normal(batch, channels, length).to(kind)
    definition = selective_scan_reference if length <= _LONG else selective_scan_chunked
    results = []
    for scan, exact, where in ((definition, True, torch.device("cpu")), (function, False, device)):
        leaves = [(value.double() if exact else value.to(where)).requires_grad_() for value in inputs]
        out, last = scan(*leaves, True)
        own = weight.double() if exact else weight.to(where)
        grads = torch.autograd.grad((out * own).sum(), leaves)
        results.append([t.detach().cpu().double() for t in (out, last, *grads)])
    for name, right, got in zip(_NAMES, *results, strict=True):
        error = ((got - right).norm() / right.norm()).item()
        if not error < _LIMITS[kind]:
            of = "" if kind == torch.float32 else f" in {str(kind).removeprefix('torch.')}"
            return f"self-test failed: {name}{of} differs from the reference by {error:.1e}"
    return ""
