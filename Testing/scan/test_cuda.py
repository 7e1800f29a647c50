"""The adapter to mamba_ssm: what is handed to its compiled module and taken from it; wrong numbers are refused."""

import dataclasses
import functools
import logging
import types

import pytest
import torch

from segmamba.scan import backend_report, chosen_backend, cuda, dispatch, selective_scan
from segmamba.scan.chunked import selective_scan_chunked
from segmamba.scan.directions import scan_directions
from segmamba.scan.reference import selective_scan_reference

HALVES = (torch.float16, torch.bfloat16)
CHUNK = 2048


def demand(truth, what):
    """As the compiled code does: an error that goes on after its first line."""
    if not truth:
        raise RuntimeError(f"{what}\nException raised from selective_scan_fwd at selective_scan.cpp:240")


def check_tokens(name, tensor, kind, shape):
    demand(tensor.dtype == kind, f"{name}.scalar_type() == input_type")
    demand(tensor.shape == shape, f"{name} must have shape {tuple(shape)}, not {tuple(tensor.shape)}")
    # Version 1.0 asks for this with a length of 1, too.
    demand(tensor.stride(-1) == 1, f"{name}.stride(-1) == 1")
    length = shape[-1]
    # Full chunks are read in vectors of 16 bytes; the real one would crash, or read what is not there.
    full = length % (CHUNK if length > 1024 else max(128, 1 << (length - 1).bit_length())) == 0
    size = tensor.element_size()
    rows = all(stride * size % 16 == 0 for stride, n in zip(tensor.stride()[:-1], shape[:-1], strict=True) if n > 1)
    demand(not full or (tensor.data_ptr() % 16 == 0 and rows), f"{name}: misaligned address")


def check_parameter(name, tensor, shape):
    demand(tensor is None or tensor.dtype == torch.float32, f"{name}.scalar_type() == at::ScalarType::Float")
    demand(tensor is None or tensor.shape == shape, f"{name} must have shape {tuple(shape)}")


def check(u, delta, A, B, C, D, z, delta_bias):
    demand(u.dtype in (torch.float32, *HALVES), "input_type")
    batch, channels, length = u.shape
    states, groups = A.shape[1], B.shape[1]
    check_tokens("u", u, u.dtype, u.shape)
    check_tokens("delta", delta, u.dtype, u.shape)
    demand(B.dim() == 4 and channels % groups == 0, "B is not of groups")
    check_tokens("B", B, u.dtype, torch.Size((batch, groups, states, length)))
    check_tokens("C", C, u.dtype, B.shape)
    if z is not None:
        check_tokens("z", z, u.dtype, u.shape)
    check_parameter("A", A, (channels, states))
    check_parameter("D", D, (channels,))
    check_parameter("delta_bias", delta_bias, (channels,))
    for vector in (D, delta_bias):
        demand(vector is None or vector.stride(-1) == 1, "stride(-1) == 1")
    demand(states <= 256, "selective_scan only supports state dimension <= 256")


def compute(u, delta, A, B, C, D, z, delta_bias, softplus):
    scan = selective_scan_reference if u.shape[2] <= 256 else selective_scan_chunked
    return scan(u, delta, A, B, C, D, z, delta_bias, softplus)


class StandIn(types.ModuleType):
    """Stands for the interface of ``selective_scan_cuda``, not for its numbers.

    It asks of its arguments what the compiled module of mamba_ssm asks (1.0 to 2.3, the strictest of them), returns
    what that returns in the same layout and types, and computes with the definition. It runs on the processor.
    """

    def __init__(self):
        super().__init__("selective_scan_cuda")
        self.calls = []

    def fwd(self, u, delta, A, B, C, D, z, delta_bias, delta_softplus):
        assert isinstance(delta_softplus, bool)
        check(u, delta, A, B, C, D, z, delta_bias)
        self.calls.append(("fwd", u.dtype, tuple(u.shape), tuple(B.shape)))
        wide = [None if t is None else t.double() for t in (u, delta, A, B, C, D)]
        bias = None if delta_bias is None else delta_bias.double()
        batch, channels, length = u.shape
        states = torch.full((batch, channels, -(-length // CHUNK), 2 * A.shape[1]), torch.nan)
        for chunk in range(states.shape[2]):
            end = min(length, (chunk + 1) * CHUNK)
            cut = [t[..., :end] if n in (0, 1, 3, 4) and t is not None else t for n, t in enumerate(wide)]
            plain, last = compute(*cut, None, bias, delta_softplus)
            states[:, :, chunk, 1::2] = last
        results = [torch.empty_like(delta).copy_(plain), states]
        if z is not None:
            results.append(torch.empty_like(z).copy_(plain * torch.nn.functional.silu(z.double())))
        return results

    def bwd(self, u, delta, A, B, C, D, z, delta_bias, dout, x, out, dz, delta_softplus, recompute_out_z):
        assert dz is None and recompute_out_z is False and isinstance(delta_softplus, bool)
        check(u, delta, A, B, C, D, z, delta_bias)
        check_tokens("dout", dout, u.dtype, u.shape)
        demand(x.dtype == torch.float32 and x.is_contiguous(), "x")
        demand(x.shape == (*u.shape[:2], -(-u.shape[2] // CHUNK), 2 * A.shape[1]), "x must have shape")
        demand((out is None) == (z is None), "out_.has_value()")
        if out is not None:
            check_tokens("out", out, u.dtype, u.shape)
        self.calls.append(("bwd", u.dtype, tuple(u.shape), tuple(B.shape)))
        given = (u, delta, A, B, C, D, z, delta_bias)
        with torch.enable_grad():
            leaves = [None if t is None else t.detach().double().requires_grad_() for t in given]
            y, _ = compute(*leaves, delta_softplus)
            found = iter(torch.autograd.grad(y, [leaf for leaf in leaves if leaf is not None], dout.double()))
        grads = [None if t is None else torch.empty_like(t).copy_(next(found)) for t in given]
        du, ddelta, dA, dB, dC, dD, dz, dbias = grads
        return [du, ddelta, dA, dB, dC, dD, dbias] + ([] if z is None else [dz])


@pytest.fixture
def stand_in():
    return StandIn()


@pytest.fixture
def registered(monkeypatch):
    """A function that has a module's scan take mamba_ssm's place among the backends, on the processor."""

    def forget():
        dispatch._choose.cache_clear()
        dispatch._state.cache_clear()

    def register(module):
        forget()
        own = dispatch._BACKENDS["mamba_ssm"]
        scan = functools.partial(cuda.run, module)
        changed = dataclasses.replace(own, function=scan, devices=("cpu",), load=None)
        monkeypatch.setitem(dispatch._BACKENDS, "mamba_ssm", changed)

    yield register
    forget()


def run(module, inputs, softplus=True, weight=None, last_weight=None):
    """Output, last state and gradients {name: tensor} through the adapter, on the processor."""
    leaves = {name: value.detach().requires_grad_() for name, value in inputs.items()}
    order = ("u", "delta", "A", "B", "C", "D", "z", "delta_bias")
    given = [leaves.get(name) for name in order]
    given[3:5] = [t.unsqueeze(1) if t.ndim == 3 else t for t in given[3:5]]
    out, last = cuda.run(module, *given, softplus)
    loss = 0.0
    if weight is not None:
        loss = loss + (out * weight.to(out)).sum()
    if last_weight is not None:
        loss = loss + (last * last_weight.to(last)).sum()
    grads = torch.autograd.grad(loss, list(leaves.values()), materialize_grads=True)
    return out.detach(), last.detach(), dict(zip(leaves, grads, strict=True))


def channels_last(value):
    return value.transpose(1, 2).clone(memory_format=torch.contiguous_format).transpose(1, 2)


def misaligned(value):
    """The same values, contiguous, 4 (or 2) bytes behind a boundary of 16."""
    spare = torch.empty(value.numel() + 1, dtype=value.dtype)
    return spare[1:].view(value.shape).copy_(value)


def spread(value):
    """The same values with something between the rows."""
    return torch.stack([value, value.neg()], -2).flatten(-3, -2)[..., ::2, :] if value.ndim > 1 else value


LAYOUTS = {"rows": lambda value: value, "channels last": channels_last, "misaligned": misaligned, "spread": spread}
CASES = [
    dict(batch=2, channels=12, length=37, groups=3),
    dict(batch=1, channels=6, length=128, state=8),
    dict(batch=2, channels=4, length=1, state=4),
    dict(batch=1, channels=4, length=4097, state=3),
    dict(batch=1, channels=8, length=30, groups=2, without=("z",)),
    dict(batch=1, channels=5, length=20, without=("D", "delta_bias")),
    dict(batch=2, channels=5, length=20, without=("D", "z", "delta_bias")),
]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("case", CASES, ids=[str(case["length"]) for case in CASES])
def test_any_layout_reaches_the_module_as_it_demands(scan_inputs, exact, relative_error, stand_in, case, layout):
    """Through the stand-in, which stands for the compiled module's interface, not its numbers."""
    inputs = scan_inputs(**case, kind=torch.float32)
    weight = torch.randn(inputs["u"].shape)
    right, right_last, right_grads = exact(inputs, weight=weight)
    tokens = ("u", "delta", "z", "B", "C")
    given = {n: LAYOUTS[layout](v) if n in tokens and v.ndim == 3 else v for n, v in inputs.items()}
    out, last, grads = run(stand_in, given, weight=weight)
    assert [call[0] for call in stand_in.calls] == ["fwd", "bwd"]
    assert last.shape == right_last.shape and last.dtype == torch.float32
    assert relative_error(out, right) < 1e-6 and relative_error(last, right_last) < 1e-6
    for name, grad in grads.items():
        assert relative_error(grad, right_grads[name]) < 2e-6, name


@pytest.mark.parametrize("dout", ["expanded", "channels last"])
def test_any_layout_of_the_outputs_gradient_does(scan_inputs, exact, relative_error, stand_in, dout):
    inputs = scan_inputs(channels=4, length=128, kind=torch.float32)
    leaves = {name: value.requires_grad_() for name, value in inputs.items()}
    given = [v.unsqueeze(1) if n in "BC" else v for n, v in leaves.items()]
    out, _ = cuda.run(stand_in, *given, True)
    weight = torch.ones(()).expand(out.shape) if dout == "expanded" else channels_last(torch.randn(out.shape))
    grads = torch.autograd.grad(out, list(leaves.values()), weight)
    _, _, right = exact(inputs, weight=weight)
    for name, grad in zip(leaves, grads, strict=True):
        assert relative_error(grad, right[name]) < 2e-6, name


@pytest.mark.parametrize("kind", HALVES)
def test_half_precision_tokens_are_not_widened_and_gradients_have_the_inputs_types(
    scan_inputs, exact, relative_error, stand_in, kind
):
    inputs = scan_inputs(batch=2, channels=8, length=70)
    inputs = {n: v.to(torch.float32 if n in ("A", "D", "delta_bias") else kind) for n, v in inputs.items()}
    weight = torch.randn(inputs["u"].shape).to(kind)
    right, right_last, right_grads = exact(inputs, weight=weight)
    out, last, grads = run(stand_in, inputs, weight=weight)
    assert {call[1] for call in stand_in.calls} == {kind}
    assert out.dtype == kind and last.dtype == torch.float32
    assert relative_error(out, right) < 4e-3 and relative_error(last, right_last) < 1e-6
    for name, grad in grads.items():
        assert grad.dtype == inputs[name].dtype, name
        assert relative_error(grad, right_grads[name]) < 4e-3, name


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_a_mixture_of_types_is_computed_in_float32(scan_inputs, exact, relative_error, stand_in, kind):
    """As under autocast, where u comes from the convolution and the rest from projections."""
    inputs = scan_inputs(batch=1, channels=8, length=40)
    kinds = dict(u=kind, delta=torch.float16, B=torch.float32)
    inputs = {name: value.to(kinds.get(name, torch.bfloat16)) for name, value in inputs.items()}
    weight = torch.randn(inputs["u"].shape).to(kind)
    right, _, right_grads = exact(inputs, weight=weight)
    out, _, grads = run(stand_in, inputs, weight=weight)
    assert {call[1] for call in stand_in.calls} == {torch.float32}
    assert out.dtype == kind and relative_error(out, right) < (1e-6 if kind == torch.float32 else 4e-3)
    for name, grad in grads.items():
        assert grad.dtype == inputs[name].dtype, name
        assert relative_error(grad, right_grads[name]) < 4e-3, name


@pytest.mark.parametrize("with_output", [True, False])
def test_the_last_state_has_its_gradient_though_the_module_knows_none(
    scan_inputs, exact, relative_error, stand_in, with_output
):
    inputs = scan_inputs(batch=2, channels=6, length=50, groups=2, kind=torch.float32)
    weight = torch.randn(inputs["u"].shape) if with_output else torch.zeros(inputs["u"].shape)
    last_weight = torch.randn(2, 6, 16)
    _, _, right = exact(inputs, weight=weight, last_weight=last_weight)
    _, _, grads = run(stand_in, inputs, weight=weight if with_output else None, last_weight=last_weight)
    for name, grad in grads.items():
        assert relative_error(grad, right[name]) < 5e-6, name


def test_without_softplus_too(scan_inputs, exact, relative_error, stand_in):
    inputs = scan_inputs(channels=6, length=30, without=("delta_bias",), kind=torch.float32)
    inputs["delta"] = inputs["delta"].abs()
    weight = torch.randn(inputs["u"].shape)
    right, _, right_grads = exact(inputs, softplus=False, weight=weight)
    out, _, grads = run(stand_in, inputs, softplus=False, weight=weight)
    assert relative_error(out, right) < 1e-6
    assert all(relative_error(grad, right_grads[name]) < 2e-6 for name, grad in grads.items())


@pytest.fixture
def module_that_must_not_be_called(monkeypatch):
    monkeypatch.setattr(cuda, "extension", lambda: pytest.fail("the kernels were asked for"))
    cuda._tell.cache_clear()


def test_what_the_kernels_lack_is_done_in_plain_torch_and_said_once(
    scan_inputs, exact, relative_error, caplog, module_that_must_not_be_called
):
    for words, inputs in (
        ("float64", scan_inputs(channels=4, length=20, groups=1)),
        ("256 states at most, not 300", scan_inputs(channels=2, length=9, state=300, groups=1, kind=torch.float32)),
    ):
        caplog.clear()
        for _ in range(2):
            out, _ = cuda.selective_scan_mamba_ssm(**inputs, delta_softplus=True)
        assert relative_error(out, exact(inputs)[0]) < 2e-6
        (record,) = caplog.records
        assert record.levelno == logging.WARNING and words in record.getMessage()


def test_deterministic_algorithms_keep_training_off_the_kernels(scan_inputs, module_that_must_not_be_called, stand_in):
    inputs = scan_inputs(channels=4, length=20, groups=1, kind=torch.float32)
    inputs["u"].requires_grad_()
    torch.use_deterministic_algorithms(True)
    try:
        out, _ = cuda.selective_scan_mamba_ssm(**inputs, delta_softplus=True)
        assert out.requires_grad
        with torch.no_grad():
            assert cuda._lack(inputs["u"], inputs["A"], inputs["B"], needs_grad=False) == ""
    finally:
        torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize(
    ("shape", "states", "groups", "fits"),
    [
        ((1, 64, 2**21), 16, 3, True),  # LightM-UNet's first stage on 128^3
        ((1, 1536, 2**21), 16, 3, True),
        ((16, 128, 2**21), 16, 1, False),
        ((1, 4, 2**26), 64, 1, False),
        ((1, 65536, 8), 4, 1, False),
        ((2**9, 2**15, 1), 128, 1, False),
    ],
)
def test_sizes_beyond_the_kernels_offsets_are_told_from_those_within(shape, states, groups, fits):
    batch, channels, length = shape
    u = torch.empty(shape, device="meta")
    A = torch.empty(channels, states, device="meta")
    B = torch.empty(batch, groups, states, length, device="meta")
    assert (cuda._lack(u, A, B, True) == "") == fits


def test_the_self_test_passes_with_every_case_and_type(registered, stand_in):
    registered(stand_in)
    report = {name: (usable, reason) for name, usable, reason in backend_report("cpu")}
    assert report["mamba_ssm"] == (True, "passed the self-test against the reference")
    assert {call[1] for call in stand_in.calls} == {torch.float32, *HALVES}
    assert {1, 2, 3} <= {call[3][1] for call in stand_in.calls}, "groups"
    assert max(call[2][2] for call in stand_in.calls) > CHUNK, "more than one chunk"
    assert chosen_backend("cpu") == "mamba_ssm"


class SlightlyWrong(StandIn):
    """The gradient of B is off by a thousandth, in every group but the first."""

    def bwd(self, *arguments):
        grads = super().bwd(*arguments)
        grads[3][:, 1:] *= 1.001
        return grads


class WrongInHalf(StandIn):
    """Right in float32, wrong in bfloat16: as a build that lacks the card's kernels of one type."""

    def fwd(self, *arguments):
        out, states, *gated = super().fwd(*arguments)
        return [out, states, *(t * 0 if t.dtype == torch.bfloat16 else t for t in gated)]


class WrongLater(StandIn):
    """Right within a chunk, wrong from the second chunk on."""

    def fwd(self, *arguments):
        out, states, *gated = super().fwd(*arguments)
        return [out, states, *(torch.cat([t[..., :CHUNK], 1.01 * t[..., CHUNK:]], -1) for t in gated)]


class OtherInterface(types.ModuleType):
    """A module of this name with other arguments, as forks have it."""

    def fwd(self, u, delta, A, B, C, D, delta_bias, delta_softplus):
        raise AssertionError

    bwd = fwd


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (SlightlyWrong(), "gradient of B differs from the reference by"),
        (WrongInHalf(), "output in bfloat16 differs from the reference by 1.0"),
        (WrongLater(), "output differs from the reference by"),
        (OtherInterface("selective_scan_cuda"), "TypeError: "),
    ],
    ids=["gradient", "half", "second chunk", "interface"],
)
def test_wrong_numbers_are_refused_with_the_reason(registered, caplog, module, words):
    registered(module)
    with caplog.at_level(logging.WARNING, logger="segmamba.scan.dispatch"):
        assert chosen_backend("cpu") == "numba"
    (record,) = [r for r in caplog.records if "mamba_ssm" in r.getMessage()]
    assert "self-test failed: " in record.getMessage() and words in record.getMessage()
    assert "\n" not in record.getMessage()


def test_directions_go_to_the_module_as_groups_of_one_call(scan_inputs, relative_error, registered, stand_in):
    each = [scan_inputs(batch=2, channels=6, length=40, seed=seed, kind=torch.float32) for seed in range(3)]
    lists = [[inputs[name] for inputs in each] for name in ("u", "delta", "A", "B", "C", "D", "delta_bias")]
    lists[0] = [channels_last(u).requires_grad_() for u in lists[0]]
    lists[1] = [channels_last(delta) for delta in lists[1]]
    right = [selective_scan(*own[:6], None, own[6], True, backend="reference") for own in zip(*lists, strict=True)]
    registered(stand_in)
    assert chosen_backend("cpu") == "mamba_ssm"
    stand_in.calls.clear()
    results = scan_directions(*lists, delta_softplus=True)
    torch.autograd.grad(sum(result.sum() for result in results), lists[0])
    shapes = (torch.float32, (2, 18, 40), (2, 3, 16, 40))
    assert stand_in.calls == [("fwd", *shapes), ("bwd", *shapes)]
    for result, expected in zip(results, right, strict=True):
        assert relative_error(result, expected) < 1e-6
