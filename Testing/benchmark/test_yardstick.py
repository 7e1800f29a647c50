"""The C++ yardstick computes the scan, forward and backward."""

import shutil

import pytest
import torch

from segmamba.benchmark.jobs import NotMeasured
from segmamba.benchmark.scan_inputs import NAMES, leaves_of, make_inputs
from segmamba.benchmark.yardstick import Yardstick, compile_yardstick
from segmamba.scan import selective_scan

needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="no g++")


@needs_compiler
@pytest.mark.parametrize("threads", [1, 2])
def test_it_agrees_with_the_scan(threads, tmp_path, relative_error):
    inputs = make_inputs(48, 96)
    yardstick = Yardstick(inputs, str(compile_yardstick(tmp_path)))
    dout = torch.randn(1, 96, 48)
    yardstick.forward(threads, keep=True)
    yardstick.backward(dout, threads)
    leaves = leaves_of(inputs)
    out = selective_scan(**leaves, delta_softplus=True, backend="chunked")
    right = torch.autograd.grad(out, list(leaves.values()), dout.transpose(1, 2))
    assert relative_error(yardstick.out.transpose(1, 2), out) < 1e-6
    for name, wanted in zip(NAMES, right, strict=True):
        got = yardstick.gradients[name]
        if name in ("B", "C"):
            got = got.sum(0).transpose(1, 2)
        elif name in ("u", "delta", "z"):
            got = got.transpose(1, 2)
        assert relative_error(got, wanted) < 1e-5, name


@needs_compiler
def test_tails_are_refused(tmp_path):
    with pytest.raises(NotMeasured, match="sixteens"):
        Yardstick(make_inputs(20, 64), str(compile_yardstick(tmp_path))).forward(1)


def test_without_a_compiler_it_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NotMeasured, match=r"no g\+\+"):
        compile_yardstick(tmp_path)
