"""Instance and group norm on the processor: maps as (batch, tokens, channels), divided among threads by tokens."""

import struct
from dataclasses import dataclass

import torch
from torch import Tensor

from segmamba.native import threads
from segmamba.native.compiled import native
from segmamba.native.memory import empty
from segmamba.networks.norm_modes import BEFORE, LANES, TILE

# Values that are worth a thread of their own: fewer are done before another has woken.
_SHARE = 1 << 16
_SHARED = "segmamba.networks.norm_modes", *(f"segmamba.native.{name}" for name in ("simd", "simd_code", "simd_norm"))


def _forward_kernels():
    return native("norms", "segmamba.networks.norm_forward", _SHARED)


def _backward_kernels():
    return native("norms-backward", "segmamba.networks.norm_backward", _SHARED)


def _bits(value: float) -> int:
    """The pattern of a float64, as kernels take it."""
    return struct.unpack("q", struct.pack("d", value))[0]


def tensor(*shape: int, dtype: torch.dtype = torch.float32, value: float = 0.0) -> Tensor:
    """A filled tensor on the processor, whatever default type or device the caller has set."""
    return torch.full(shape, value, dtype=dtype, device="cpu")


def _fresh(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Uninitialised float32 or bf16."""
    if dtype == torch.float32:
        return empty(*shape)
    size = 1
    for n in shape:
        size *= n
    return empty(-(-size // 2)).view(dtype)[:size].view(shape)


def rows(x: Tensor) -> Tensor:
    """(B, C, *spatial) -> (B, L, C) with adjacent channels: a view where ``x`` is channels-last, else a copy."""
    tokens = x.detach().movedim(1, -1).flatten(1, -2)
    return tokens if tokens.stride(2) == 1 or tokens.shape[2] == 1 else tokens.contiguous()


def maps(tokens: Tensor, like: Tensor) -> Tensor:
    """The inverse of ``rows``, for a map of the shape of ``like``: a channels-last view."""
    return tokens.view(like.shape[0], *like.shape[2:], like.shape[1]).movedim(-1, 1)


def _divided(batch: int, tokens: int, channels: int) -> list[list[tuple[int, int, int]]]:
    """For each thread its (row, first, last): whole tiles, as evenly as they divide."""
    tiles = -(-tokens // TILE)
    workers = min(torch.get_num_threads(), batch * tiles, -(-batch * tokens * channels // _SHARE))
    shares = []
    for i in range(workers):
        first, last = batch * tiles * i // workers, batch * tiles * (i + 1) // workers
        shares.append(
            [
                (row, max(first - row * tiles, 0) * TILE, min(tokens, (last - row * tiles) * TILE))
                for row in range(first // tiles, -(-last // tiles))
            ]
        )
    return shares


@dataclass
class Statistics:
    """What a norm knows of a map: enough to apply it, and for the way back."""

    groups: int
    weight: Tensor  # (channels) float32
    table: Tensor  # (batch, 3, padded) float32: mean, scale, offset
    rstd: Tensor  # (batch, channels) float64
    rest: Tensor  # (batch, channels) float64: what the rounding of the mean left


def _padded(channels: int) -> int:
    return -(-channels // LANES) * LANES


def statistics(x: Tensor, groups: int, weight: Tensor | None, bias: Tensor | None, eps: float) -> Statistics:
    """Of every group of channels of every row of (B, L, C)."""
    batch, tokens, channels = x.shape
    padded, half, kernels = _padded(channels), int(x.dtype == torch.bfloat16), _forward_kernels()
    origin = x[:, 0].float().contiguous()
    shares = _divided(batch, tokens, channels)
    sums = tensor(len(shares), batch, 2, padded, dtype=torch.float64)

    calls = [
        [
            kernels.moments.packed(
                half, channels, padded, first, last, x.data_ptr(), row * x.stride(0), x.stride(1),
                origin[row].data_ptr(), sums[i, row].data_ptr(),
            )
            for row, first, last in pieces
        ]
        for i, pieces in enumerate(shares)
    ]  # fmt: skip
    threads.run(calls)
    weight = tensor(channels, value=1.0) if weight is None else weight.detach().float().contiguous()
    bias = tensor(channels) if bias is None else bias.detach().float().contiguous()
    found = Statistics(
        groups,
        weight,
        tensor(batch, 3, padded),
        tensor(batch, channels, dtype=torch.float64),
        tensor(batch, channels, dtype=torch.float64),
    )
    kernels.forward_tables(
        batch, tokens, channels, padded, groups, len(shares), _bits(eps), origin.data_ptr(), sums.data_ptr(),
        weight.data_ptr(), bias.data_ptr(), found.table.data_ptr(), found.rstd.data_ptr(), found.rest.data_ptr(),
    )  # fmt: skip
    return found


def apply(
    x: Tensor,
    of_x: Statistics,
    mode: int,
    slope: float,
    r: Tensor | None = None,
    of_r: Statistics | None = None,
    overwrite: bool = False,
) -> Tensor:
    """The norm of x (B, L, C) with activation and second map; dense, of x's type, in x's memory if ``overwrite``."""
    batch, tokens, channels = x.shape
    padded, half, kernels = _padded(channels), int(x.dtype == torch.bfloat16), _forward_kernels()
    shares = _divided(batch, tokens, channels)
    y = x if overwrite and x.is_contiguous() else _fresh(x.shape, x.dtype)
    r = x if r is None else r
    r_table = of_x.table if of_r is None else of_r.table
    if mode == BEFORE and of_r is None:
        r_table = tensor(batch, 3, padded)
        r_table[:, 1] = 1.0  # leaves the second map as it is

    calls = [
        [
            kernels.apply.packed(
                half, channels, padded, first, last, mode, _bits(slope),
                x.data_ptr(), row * x.stride(0), x.stride(1), of_x.table[row].data_ptr(),
                r.data_ptr(), row * r.stride(0), r.stride(1), r_table[row].data_ptr(),
                y.data_ptr(), row * tokens * channels,
            )
            for row, first, last in pieces
        ]
        for i, pieces in enumerate(shares)
    ]  # fmt: skip
    threads.run(calls)
    return y


def gradients(
    x: Tensor,
    of_x: Statistics,
    mode: int,
    slope: float,
    r: Tensor | None,
    of_r: Statistics | None,
    y: Tensor | None,
    dy: Tensor,
) -> tuple[Tensor, Tensor | None, Tensor]:
    """Gradients of x, of r (``BEFORE`` only) and, (2, channels) in float64, of weight and bias.

    ``y`` is the output; needed with ``BEFORE`` and an activation.  ``dy`` is dense.
    """
    batch, tokens, channels = x.shape
    padded, half, kernels = _padded(channels), int(x.dtype == torch.bfloat16), _backward_kernels()
    shares = _divided(batch, tokens, channels)
    sums = tensor(len(shares), batch, 3, padded, dtype=torch.float64)
    normed = int(of_r is not None)
    r, y = x if r is None else r, dy if y is None else y
    r_table = of_x.table if of_r is None else of_r.table

    calls = [
        [
            kernels.gradient_sums.packed(
                half, channels, padded, first, last, mode, _bits(slope), normed,
                x.data_ptr(), row * x.stride(0), x.stride(1), of_x.table[row].data_ptr(),
                r.data_ptr(), row * r.stride(0), r.stride(1), r_table[row].data_ptr(),
                y.data_ptr(), dy.data_ptr(), row * tokens * channels, sums[i, row].data_ptr(),
            )
            for row, first, last in pieces
        ]
        for i, pieces in enumerate(shares)
    ]  # fmt: skip
    threads.run(calls)

    def table(of: Statistics, which: int) -> tuple[Tensor, Tensor]:
        back, affine = tensor(batch, 4, padded), tensor(2, channels, dtype=torch.float64)
        kernels.backward_tables(
            batch, tokens, channels, padded, of.groups, len(shares), which, sums.data_ptr(), of.weight.data_ptr(),
            of.table.data_ptr(), of.rstd.data_ptr(), of.rest.data_ptr(), back.data_ptr(), affine.data_ptr(),
        )  # fmt: skip
        return back, affine

    back, affine = table(of_x, 1)
    r_back = back if of_r is None else table(of_r, 2)[0]
    dx = _fresh(x.shape, x.dtype)
    dr = _fresh(x.shape, x.dtype) if mode == BEFORE else None

    calls = [
        [
            kernels.gradient.packed(
                half, channels, padded, first, last, mode, _bits(slope), normed,
                x.data_ptr(), row * x.stride(0), x.stride(1), of_x.table[row].data_ptr(), back[row].data_ptr(),
                r.data_ptr(), row * r.stride(0), r.stride(1), r_back[row].data_ptr(),
                y.data_ptr(), dy.data_ptr(), row * tokens * channels,
                dx.data_ptr(), dx.data_ptr() if dr is None else dr.data_ptr(),
            )
            for row, first, last in pieces
        ]
        for i, pieces in enumerate(shares)
    ]  # fmt: skip
    threads.run(calls)
    return dx, dr, affine
