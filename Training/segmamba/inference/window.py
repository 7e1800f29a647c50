"""Sliding window over a volume of any size: windows blended by a Gaussian, streamed plane by plane.

Positions, importance map and padding are those of MONAI's ``sliding_window_inference(mode="gaussian")``, which the
result equals to float tolerance.  Unlike it, the blended maps never exist as a whole: windows run in raster order along
the first axis, only the planes that a later window can still touch are accumulated, and finished planes are handed on.
"""

from __future__ import annotations

import contextlib
import itertools
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import nn

from segmamba.inference.course import RESTORING, Course
from segmamba.inference.ring import FileRing, MemoryRing

Size = tuple[int, int, int]
Progress = Callable[[float, str], None]

# The ring stays in memory while it is at most this part of one class's float32 map.
RING_SHARE = 0.5
AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Plan:
    """Where the windows lie.

    Attributes:
        size: Of the volume (D, H, W).
        patch: Of a window (d, h, w).
        padded: Of the volume where it is padded with zeros, on both sides, up to the patch.
        before: Planes, rows and columns of padding before the volume.
        starts: First voxels of the windows along each axis, in the padded volume, ascending.
    """

    size: Size
    patch: Size
    padded: Size
    before: Size
    starts: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]

    @property
    def count(self) -> int:
        """Number of windows."""
        return len(self.starts[0]) * len(self.starts[1]) * len(self.starts[2])


def plan(size: Sequence[int], patch: Sequence[int], overlap: float) -> Plan:
    """Lays windows out as MONAI does: a step of int(patch * (1 - overlap)), the last one moved back to the edge."""
    if not 0 <= overlap < 1:
        raise ValueError(f"overlap is {overlap}; it must be at least 0 and less than 1")
    starts, padded, before = [], [], []
    for length, window in zip(size, patch, strict=True):
        full = max(length, window)
        step = full if full == window else max(1, int(window * (1 - overlap)))
        last = full - window
        places = [*range(0, last, step), last]
        padded.append(full)
        before.append((full - length) // 2)
        starts.append(tuple(places))
    return Plan(tuple(size), tuple(patch), tuple(padded), tuple(before), tuple(starts))


def importance(patch: Sequence[int], device: torch.device | str = "cpu") -> torch.Tensor:
    """Gaussian weights (d, h, w) with a standard deviation of an eighth of the patch, at least 1e-3."""
    weights = torch.ones((), dtype=torch.float32, device=device)
    for length in patch:
        x = torch.arange(length, dtype=torch.float32, device=device) - (length - 1) / 2
        weights = weights[..., None] * torch.exp(x**2 / (-2 * (0.125 * length) ** 2))
    return weights.clamp_(min=max(weights.min().item(), 1e-3))


class Maps(Protocol):
    """Finished planes of blended probabilities, in the unpadded volume's coordinates."""

    def read(self, plane: int, top: int, bottom: int) -> torch.Tensor:
        """Rows top to bottom of a finished plane: (rows, W, classes), float32."""


class Consumer(Protocol):
    """Takes finished planes in ascending order."""

    def ready(self, maps: Maps, end: int) -> None:
        """Planes before ``end`` are final.  After the call only plane ``end - 1`` and later ones can be read."""


class _Whole:
    """Maps of a volume that one window covers: the window's own output."""

    def __init__(self, values: torch.Tensor, layout: Plan) -> None:
        (z, y, x), (d, h, w) = layout.before, layout.size
        self._values = values[z : z + d, y : y + h, x : x + w]

    def read(self, plane: int, top: int, bottom: int) -> torch.Tensor:
        return self._values[plane, top:bottom]


class _Blended:
    """Maps of a ring: sums divided by the sum of the weights, which is worked out plane by plane, not stored."""

    def __init__(self, ring: MemoryRing | FileRing, layout: Plan, weights: torch.Tensor) -> None:
        self._ring, self._plan = ring, layout
        self._weights = weights.to(ring.device)
        self._totals: OrderedDict[int, torch.Tensor] = OrderedDict()

    def read(self, plane: int, top: int, bottom: int) -> torch.Tensor:
        z, y, x = self._plan.before
        total = self._total(plane + z)[y + top : y + bottom, x : x + self._plan.size[2]]
        sums = self._ring.read(plane + z, y + top, y + bottom)[:, x : x + self._plan.size[2]]
        return sums / total[..., None]

    def _total(self, plane: int) -> torch.Tensor:
        if plane not in self._totals:
            depth, height, width = self._plan.patch
            layers = [plane - z for z in self._plan.starts[0] if 0 <= plane - z < depth]
            weights = self._weights[layers].sum(dim=0)
            total = torch.zeros(self._plan.padded[1:], device=self._ring.device)
            for y, x in itertools.product(*self._plan.starts[1:]):
                total[y : y + height, x : x + width] += weights
            self._totals[plane] = total
            while len(self._totals) > 2:
                self._totals.popitem(last=False)
        return self._totals[plane]


@torch.inference_mode()
def slide(
    network: nn.Module,
    array: np.ndarray,
    patch: Sequence[int],
    classes: int,
    consumer: Consumer,
    *,
    regions: bool = False,
    overlap: float = 0.5,
    batch: int = 1,
    mirror: Sequence[int] = (),
    device: torch.device | str = "cpu",
    precision: str = "fp32",
    skip_empty: bool = False,
    map_bytes: int | None = None,
    progress: Progress | None = None,
    course: Course | None = None,
) -> None:
    """Runs a network over a volume and hands finished planes of blended probabilities to a consumer.

    Probabilities, not logits, are blended: softmax (or sigmoid) in float32 for each window, the mean over mirrored
    copies, then the mean over windows weighted by :func:`importance`.  The mean of probabilities is what an ensemble
    of windows says, and its entropy is a usable uncertainty.

    Args:
        network: Takes (B, C, d, h, w), gives (B, classes, d, h, w); in eval mode, on ``device``.
        array: (C, D, H, W) float32, not changed.
        patch: (d, h, w) of a window.
        classes: Channels that the network gives.
        consumer: See :class:`Consumer`.
        regions: Sigmoid for each channel, in place of softmax over all.
        overlap: Of neighbouring windows, 0 up to but not including 1.
        batch: Windows in one call of the network.
        mirror: Axes (0 to 2 of D, H, W) along which windows are also run mirrored; every combination is run.
        device: Where the network is.
        precision: ``fp32``, ``bf16`` or ``fp16`` (autocast).
        skip_empty: Windows that are zero throughout count as background without being run.
        map_bytes: One class's float32 map at full resolution, which the memory is measured against; the volume's own
            when None.
        progress: Called with the fraction done and a message before every batch; may raise, which ends the work.
        course: Gets the number of windows, and the time that the network takes for them.

    Raises:
        ValueError: The network gives another number of channels than ``classes``.
        UserError: No room for the temporary file.
    """
    device = torch.device(device)
    layout = plan(array.shape[1:], patch, overlap)
    course = course or Course()
    course.planned = layout.count
    weights = importance(patch, device)
    corners = itertools.product(*layout.starts)
    windows = _probabilities(
        network,
        array,
        layout,
        corners,
        classes,
        regions,
        batch,
        mirror,
        device,
        precision,
        skip_empty,
        progress,
        course,
    )
    if layout.count == 1:
        values = next(windows)[1]
        course.phase = RESTORING
        consumer.ready(_Whole(values, layout), layout.size[0])
        if progress is not None:
            progress(1.0, "all windows done")
        return

    # A plane more than the patch is deep: the plane before the unfinished ones is needed to interpolate between them.
    depth = min(layout.padded[0], layout.patch[0] + 1)
    shape = (depth, layout.padded[1], layout.padded[2], classes)
    limit = RING_SHARE * (map_bytes or 4 * int(np.prod(layout.size)))
    ring = (MemoryRing if 4 * int(np.prod(shape)) <= limit else FileRing)(shape, device)
    try:
        maps = _Blended(ring, layout, weights)
        front, cleared = 0, 0
        for start, values in windows:
            if start[0] > front:
                front = start[0]
                consumer.ready(maps, front - layout.before[0])
                for plane in range(cleared, front - 1):
                    ring.clear(plane)
                cleared = max(cleared, front - 1)
            ring.add(start, values.mul_(weights[..., None]))
            del values
        consumer.ready(maps, layout.size[0])
    finally:
        ring.close()


def _probabilities(
    network: nn.Module,
    array: np.ndarray,
    layout: Plan,
    corners: Iterator[Size],
    classes: int,
    regions: bool,
    batch: int,
    mirror: Sequence[int],
    device: torch.device,
    precision: str,
    skip_empty: bool,
    progress: Progress | None,
    course: Course,
) -> Iterator[tuple[Size, torch.Tensor]]:
    """Each window's start and probabilities (d, h, w, classes), in the order of the corners."""
    run = _Runner(network, classes, regions, mirror, precision)
    done = 0
    while group := list(itertools.islice(corners, batch)):
        if progress is not None:
            progress(done / layout.count, f"window {done + 1} of {layout.count}")
        windows = [_cut(array, layout, corner) for corner in group]
        full = [n for n, window in enumerate(windows) if not skip_empty or window.any()]
        found: dict[int, torch.Tensor] = {}
        if full:
            inputs = torch.from_numpy(np.stack([windows[n] for n in full])).to(device)
            with course.running(len(full), device):
                found = dict(zip(full, run(inputs).unbind(0), strict=True))
            del inputs
        course.empty += len(group) - len(full)
        del windows
        for n, corner in enumerate(group):
            values = found.pop(n, None)
            if values is None:
                values = torch.zeros((*layout.patch, classes), device=device)
                if not regions:
                    values[..., 0] = 1
            yield corner, values
            del values
        done += len(group)
    course.phase = RESTORING
    if progress is not None:
        progress(1.0, "all windows done")


def _cut(array: np.ndarray, layout: Plan, corner: Size) -> np.ndarray:
    """A window (C, d, h, w) of the volume, zero where it reaches into the padding: the volume is never copied."""
    source, target = [slice(None)], [slice(None)]
    for start, before, length, window in zip(corner, layout.before, layout.size, layout.patch, strict=True):
        first = start - before
        source.append(slice(max(first, 0), min(first + window, length)))
        target.append(slice(max(-first, 0), min(window, length - first)))
    inside = array[tuple(source)]
    if inside.shape[1:] == layout.patch:
        return inside
    window = np.zeros((array.shape[0], *layout.patch), dtype=np.float32)
    window[tuple(target)] = inside
    return window


class _Runner:
    """Runs windows; their probabilities lie in one buffer, which the next call overwrites."""

    def __init__(self, network: nn.Module, classes: int, regions: bool, mirror: Sequence[int], precision: str) -> None:
        self._network, self._classes, self._regions, self._precision = network, classes, regions, precision
        axes = [axis + 2 for axis in mirror]
        self._flips = [flip for n in range(len(axes) + 1) for flip in itertools.combinations(axes, n)]
        # Not allocated anew for every window: a freed block of this size fragments the heap, which then grows by
        # several times the window's output.
        self._buffers: list[torch.Tensor] = []

    def __call__(self, inputs: torch.Tensor) -> torch.Tensor:
        """Probabilities (B, d, h, w, classes) in float32, the mean over mirrored copies, of (B, C, d, h, w)."""
        shape = (len(inputs), *inputs.shape[2:], self._classes)
        for n, axes in enumerate(self._flips):
            window = (inputs.flip(axes) if axes else inputs).contiguous(memory_format=torch.channels_last_3d)
            with autocast(inputs.device, self._precision):
                output = self._network(window)
            del window
            if output.shape[1] != self._classes:
                raise ValueError(f"the network gives {output.shape[1]} channels; {self._classes} are expected")
            values = self._buffer(min(n, 1), shape, output.device)
            # Classes last: contiguous for the blending, and no reordering where the network keeps channels_last_3d.
            values.copy_((output.flip(axes) if axes else output).movedim(1, -1))
            del output
            if self._regions:
                values.sigmoid_()
            else:
                # torch.softmax is three times slower over a short last axis, and needs a second buffer.
                values.sub_(values.amax(dim=-1, keepdim=True)).exp_()
                values.div_(values.sum(dim=-1, keepdim=True))
            if n:
                self._buffers[0][: len(inputs)].add_(values)
        mean = self._buffers[0][: len(inputs)]
        return mean.div_(len(self._flips)) if len(self._flips) > 1 else mean

    def _buffer(self, n: int, shape: tuple[int, ...], device: torch.device) -> torch.Tensor:
        if len(self._buffers) <= n:
            self._buffers.append(torch.empty(shape, device=device))
        elif len(self._buffers[n]) < shape[0]:
            self._buffers[n] = torch.empty(shape, device=device)
        return self._buffers[n][: shape[0]]


def autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager:
    """Autocast for ``bf16`` and ``fp16``, nothing for ``fp32``."""
    if precision == "fp32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=AUTOCAST[precision])
