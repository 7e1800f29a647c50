"""Runs the convolution's kernels on torch tensors, divided among threads by time."""

from functools import lru_cache
from types import SimpleNamespace

import torch
import torch.nn.functional as F
from numba import njit

from segmamba.native import simd, simd_code, threads
from segmamba.native.compiled import kept
from segmamba.native.memory import empty
from segmamba.scan import conv_kernels
from segmamba.scan.conv_kernels import BACKWARD_SCRATCH, TAPS, TILE, convolve_range, differentiate_range


def _build(salt: int, cache: bool):
    # salt is for numba's cache only, see ``compiled``.
    @njit(nogil=True, cache=cache)
    def convolve(channels, stride, first, last, x, at, weight, bias, out, out_at):
        if salt != 0:
            convolve_range(channels, stride, first, last, x, at, weight, bias, out, out_at)

    @njit(nogil=True, cache=cache)
    def differentiate(channels, stride, length, first, last, x, at, weight, bias, dout, out_at, dx, sums, scratch):
        if salt != 0:
            differentiate_range(
                channels, stride, length, first, last, x, at, weight, bias, dout, out_at, dx, sums, scratch
            )

    return convolve, differentiate


@lru_cache(maxsize=1)
def _compiled():
    return kept(_build, "convolution", simd, simd_code, conv_kernels)


def _pose(x, weight, bias):
    """Flat arrays of x (with batch and token strides), of the weights tap by tap, and of the bias."""
    x = x.detach().float()
    if x.stride(2) != 1 or min(x.stride()) < 0:
        x = x.contiguous()
    taps = weight.detach().float()[:, 0].t().contiguous()
    span = 1 + sum((size - 1) * stride for size, stride in zip(x.shape, x.stride(), strict=True))
    return x, x.as_strided((span,), (1,)).numpy(), taps.view(-1).numpy(), bias.detach().float().contiguous().numpy()


def _pieces(batch: int, length: int) -> list[list[tuple[int, int, int]]]:
    """For each thread its (row, first, last): whole tiles, as evenly as they divide."""
    tiles = [(b, t, min(t + TILE, length)) for b in range(batch) for t in range(0, length, TILE)]
    workers = max(1, min(torch.get_num_threads(), len(tiles)))
    shares = [tiles[len(tiles) * i // workers : len(tiles) * (i + 1) // workers] for i in range(workers)]
    return [_joined(share) for share in shares]


def _joined(tiles: list[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    joined: list[tuple[int, int, int]] = []
    for row, first, last in tiles:
        if joined and joined[-1][0] == row and joined[-1][2] == first:
            joined[-1] = (row, joined[-1][1], last)
        else:
            joined.append((row, first, last))
    return joined


def forward(x, weight, bias):
    """SiLU(conv(x) + bias): (B, L, C) float32."""
    batch, length, channels = x.shape
    out = empty(batch, length, channels)
    if not out.numel():
        return out
    x, flat, taps, offset = _pose(x, weight, bias)
    out_array, pieces, convolve = out.view(-1).numpy(), _pieces(batch, length), _compiled()[0]

    def work(i: int) -> None:
        for row, first, last in pieces[i]:
            convolve(
                channels, x.stride(1), first, last, flat, row * x.stride(0), taps, offset,
                out_array, row * length * channels,
            )  # fmt: skip

    threads.run(work, len(pieces))
    return out


def backward(x, weight, bias, dout):
    """Gradients of x, weight and bias, float32; the threads' shares are added in order."""
    batch, length, channels = x.shape
    dx = empty(batch, length, channels)
    x, flat, taps, offset = _pose(x, weight, bias)
    gradient = dout.detach().float().contiguous().view(-1).numpy()
    dx_array, pieces, differentiate = dx.view(-1).numpy(), _pieces(batch, length), _compiled()[1]
    sums = torch.zeros(len(pieces), (TAPS + 1) * channels, dtype=torch.float32, device="cpu")

    def work(i: int) -> None:
        scratch, share = empty(BACKWARD_SCRATCH).numpy(), sums[i].numpy()
        for row, first, last in pieces[i]:
            differentiate(
                channels, x.stride(1), length, first, last, flat, row * x.stride(0), taps, offset,
                gradient, row * length * channels, dx_array, share, scratch,
            )  # fmt: skip

    threads.run(work, len(pieces))
    total = sums.sum(0).view(TAPS + 1, channels)
    return dx, total[:TAPS].t().contiguous().unsqueeze(1), total[TAPS].clone()


def checked() -> SimpleNamespace:
    """The kernels, after a comparison with torch on a small case with tails.

    Raises:
        RuntimeError: Where the results differ.
    """
    # The first call may come from inference, where tensors know no gradient.
    with torch.inference_mode(False), torch.enable_grad():
        # Said in full, because the caller may have set another default type or device.
        generator = torch.Generator("cpu").manual_seed(0)
        x, weight, bias, dout = (
            torch.randn(shape, generator=generator, dtype=torch.float32, device="cpu")
            for shape in ((2, 70, 20), (20, 1, TAPS), (20,), (2, 70, 20))
        )
        inputs = [t.clone().requires_grad_() for t in (x, weight, bias)]
        y = F.conv1d(inputs[0].transpose(1, 2), *inputs[1:], padding=TAPS - 1, groups=20)
        y = F.silu(y[..., :70]).transpose(1, 2)
        expected = [y, *torch.autograd.grad(y, inputs, dout)]
        found = [forward(x, weight, bias), *backward(x, weight, bias, dout)]
    for a, b in zip(found, expected, strict=True):
        if not torch.allclose(a, b.detach(), rtol=1e-4, atol=1e-4):
            raise RuntimeError("the compiled convolution differs from torch's")
    return SimpleNamespace(forward=forward, backward=backward)
