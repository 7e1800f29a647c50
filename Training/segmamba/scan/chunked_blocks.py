"""A block of the plain-torch scan: some of the batch and channels for some tokens, in memory that is used again."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F

# Bytes of a block's states. On a processor, for every thread, so that the four such arrays of a backward stay in its
# level-2 cache; elsewhere, so that an operation takes longer than its launch.
_BYTES_CPU, _BYTES_OTHER = 2**19, 2**24
# Numbers below which a token is not worth an operation of its own, for the same reasons.
_WORTH_CPU, _WORTH_OTHER = 2**12, 2**20
# Tokens below which it is not worth halving their number.
_FEW = 12
# A block has at least this many tokens, and as many as a channel has states, because the state before every block is
# kept for the backward.
_TOKENS = 32


@dataclass(frozen=True)
class Inputs:
    """A call's arguments, or a block's, or their gradients: views, time first and channels last.

    Shapes: u, delta, z (length, batch, groups, width); B, C (length, batch, groups, state, 1); D, bias (groups, width);
    rates (groups, state, width), which is A. The type of rates is that of the computation; u, delta, z, B and C of a
    call may have others.
    """

    u: torch.Tensor
    delta: torch.Tensor
    z: torch.Tensor | None
    B: torch.Tensor
    C: torch.Tensor
    D: torch.Tensor | None
    bias: torch.Tensor | None
    rates: torch.Tensor
    soft: bool

    @property
    def sizes(self) -> tuple[int, int, int, int, int]:
        """length, batch, groups, state, width."""
        length, batch, groups, width = self.u.shape
        return length, batch, groups, self.rates.shape[1], width

    def tile(self, rows: slice, lanes: slice) -> "Inputs":
        """Some of the batch and, of every group, some channels."""
        u, delta, z = (None if t is None else t[:, rows, :, lanes] for t in (self.u, self.delta, self.z))
        D, bias = (None if t is None else t[:, lanes] for t in (self.D, self.bias))
        return Inputs(u, delta, z, self.B[:, rows], self.C[:, rows], D, bias, self.rates[..., lanes], self.soft)

    def part(self, span: slice) -> "Inputs":
        """Some tokens."""
        u, delta, z, B, C = (None if t is None else t[span] for t in (self.u, self.delta, self.z, self.B, self.C))
        return Inputs(u, delta, z, B, C, self.D, self.bias, self.rates, self.soft)

    def cast(self) -> "Inputs":
        """All in the type of the computation."""
        kind = self.rates.dtype
        if all(t is None or t.dtype == kind for t in (self.u, self.delta, self.z, self.B, self.C)):
            return self
        u, delta, B, C = (tensor.to(kind) for tensor in (self.u, self.delta, self.B, self.C))
        return replace(self, u=u, delta=delta, B=B, C=C, z=None if self.z is None else self.z.to(kind))

    def steps_before_softplus(self) -> torch.Tensor:
        """delta + bias."""
        return self.delta if self.bias is None else self.delta + self.bias


@dataclass(frozen=True)
class Plan:
    """How a call is cut into blocks: ``rows`` of the batch x ``lanes`` channels of every group x ``tokens``."""

    inputs: Inputs
    rows: int
    lanes: int
    tokens: int

    def spans(self) -> list[slice]:
        """The tokens of every block along the sequence."""
        length = self.inputs.sizes[0]
        return [slice(first, min(length, first + self.tokens)) for first in range(0, length, self.tokens)]

    def tiles(self) -> Iterator[tuple[slice, slice]]:
        """The slices of the batch and of every group's channels that are taken together."""
        _, batch, _, _, width = self.inputs.sizes
        for row in range(0, batch, self.rows):
            for lane in range(0, width, self.lanes):
                yield slice(row, row + self.rows), slice(lane, lane + self.lanes)

    def memory(self, arrays: int) -> list[torch.Tensor]:
        """Flat memory for so many arrays of the states of a block, with one token to spare."""
        _, _, groups, state, _ = self.inputs.sizes
        size = (self.tokens + 1) * self.rows * groups * state * self.lanes
        return [self.inputs.rates.new_empty(size) for _ in range(arrays)]


def make_plan(inputs: Inputs) -> Plan:
    """Blocks of about the size that suits the device, whatever the sizes of the call."""
    length, batch, groups, state, width = inputs.sizes
    on_cpu = inputs.u.device.type == "cpu"
    limit = _BYTES_CPU * min(16, torch.get_num_threads()) if on_cpu else _BYTES_OTHER
    limit //= inputs.rates.element_size() * state
    least = max(_TOKENS, state)
    rows = max(1, min(batch, limit // (least * groups * width)))
    # Whole vectors of channels, about as many in every tile.
    most = max(32, limit // (least * groups * rows))
    lanes = -(-width // -(-width // most))
    lanes = min(width, -(-lanes // 32) * 32)
    tokens = max(least, limit // (groups * rows * lanes) // 8 * 8)
    return Plan(inputs, rows, lanes, min(length, tokens))


def _at(tensor: torch.Tensor, positions: range) -> torch.Tensor:
    """The tokens at some positions, in ascending order."""
    return tensor[min(positions) : max(positions) + 1 : abs(positions.step)]


class Recurrence:
    """values_t += decays_t values_(t-1), in place; with ``reverse``, values_t += decays_t values_(t+1).

    Where a token has few numbers, tokens are taken in pairs (Blelloch, Prefix sums and their applications, 1990): the
    second of every pair takes in the first, so that the seconds are a recurrence of half the length, whose decays are
    the products of the pairs'; when that is done, every first takes in the second before it. A product of decays may
    underflow: that much of the past is forgotten.

    Args:
        values, decays: (tokens, ...).
        products: like decays, overwritten; may be ``decays`` itself where these are not needed any more.
    """

    def __init__(self, values: torch.Tensor, decays: torch.Tensor, products: torch.Tensor, reverse: bool = False):
        worth = _WORTH_CPU if values.device.type == "cpu" else _WORTH_OTHER
        order = slice(None, None, -1 if reverse else 1)
        self._begin = values[-1 if reverse else 0], decays[-1 if reverse else 0]
        self._up, self._down = [], []
        while len(values) > _FEW and values[0].numel() < worth:
            positions = range(len(values))[order]
            firsts, seconds = positions[::2], positions[1::2]
            paired, later, earlier = firsts[: len(seconds)], firsts[1:], seconds[: len(firsts) - 1]
            taking_in = _at(values, seconds), _at(decays, seconds), _at(values, paired)
            product = _at(decays, seconds), _at(decays, paired), _at(products, seconds)
            self._up.append((taking_in, product))
            self._down.append((_at(values, later), _at(decays, later), _at(values, earlier)))
            values, products = _at(values, seconds), _at(products, seconds)
            decays = products
        self._down.reverse()
        values, decays = values.unbind()[order], decays.unbind()[order]
        self._chain = list(zip(values[1:], decays[1:], values[:-1], strict=True))

    def run(self, start: torch.Tensor) -> None:
        """Advance through all tokens; ``start`` stands before the first."""
        value, decay = self._begin
        value.addcmul_(decay, start)
        for (value, decay, before), (second, first, product) in self._up:
            value.addcmul_(decay, before)
            torch.mul(second, first, out=product)
        for value, decay, before in self._chain:
            value.addcmul_(decay, before)
        for value, decay, before in self._down:
            value.addcmul_(decay, before)


class Block:
    """States, decays and what they are made of, for so many tokens of a tile.

    Shapes: steps, x, y (tokens, batch, groups, width); states, before, decays, work (tokens, batch, groups, state,
    width), of which ``before`` is states one token earlier and begins with ``start``.

    Args:
        memory: of ``Plan.memory``; with two arrays, ``work`` is ``decays``, with a third, that.
        start: (batch, groups, state, width), for its shape.
    """

    def __init__(self, memory: list[torch.Tensor], tokens: int, start: torch.Tensor, rates: torch.Tensor):
        self.tokens = tokens
        self._rates = rates
        size = (tokens + 1) * start.numel()
        states, decays, work = (flat[:size].view(tokens + 1, *start.shape) for flat in (*memory[:2], memory[-1]))
        self.start, self.before, self.states = states[0], states[:tokens], states[1:]
        self.decays, self.work = decays[:tokens], work[:tokens]
        # Every token's decay is the next one's here; after the last, nothing fades, for the backward's recurrence.
        self.decays_after = decays[1:]
        self.decays_after[-1] = 1.0
        batch, groups, _, width = start.shape
        self.steps, self.x, self.y = (start.new_empty(tokens, batch, groups, width) for _ in range(3))
        self.steps_of_states, self.x_of_states = self.steps.unsqueeze(3), self.x.unsqueeze(3)
        self._recurrence = Recurrence(self.states, self.decays, self.work)

    def fill(self, part: Inputs, steps: torch.Tensor) -> None:
        """Compute the states from ``start``; ``steps`` are those before the softplus, if there is one."""
        self.steps.copy_(F.softplus(steps) if part.soft else steps)
        torch.mul(self.steps, part.u, out=self.x)
        torch.mul(self.steps_of_states, self._rates, out=self.decays).exp_()
        torch.mul(self.x_of_states, part.B, out=self.states)
        self._recurrence.run(self.start)

    def output(self, part: Inputs) -> torch.Tensor:
        """y_t = C_t h_t + D u_t, in memory that the next call overwrites; ``work`` is overwritten, too."""
        torch.sum(torch.mul(self.states, part.C, out=self.work), 3, out=self.y)
        return self.y if part.D is None else self.y.addcmul_(part.u, part.D)


def flush(state: torch.Tensor) -> None:
    """Set what has all but faded to zero, in place: processors take many times as long over denormal numbers.

    Rounds to multiples of 2^-89 (float32), the spacing of numbers at 2^-66; larger numbers and NaN stay as they are.
    """
    much = torch.finfo(state.dtype).tiny * 2.0**60
    state.add_(much).sub_(much)
