"""Gradients of the plain-torch scan, block by block from the end of the sequence to its beginning."""

import torch

from segmamba.scan.chunked_blocks import Block, Inputs, Plan, Recurrence, flush


def backward(plan: Plan, starts: torch.Tensor, dout: torch.Tensor, dlast: torch.Tensor | None) -> Inputs:
    """Gradients with respect to every input, shaped like these; those of B, C, D, bias and rates in rates' type.

    Args:
        plan: that of the forward.
        starts: (blocks, batch, groups, state, width), the state before every block.
        dout: (length, batch, groups, width).
        dlast: (batch, groups, state, width), gradient of the last state.
    """
    inputs = plan.inputs
    length, batch, groups, _, width = inputs.sizes

    def like(tensor):
        # Channels last, as the output is.
        return torch.empty(batch, length, groups, width, dtype=tensor.dtype, device=tensor.device).transpose(0, 1)

    zeros = inputs.rates.new_zeros
    gradients = Inputs(
        like(inputs.u),
        like(inputs.delta),
        None if inputs.z is None else like(inputs.z),
        zeros(inputs.B.shape),
        zeros(inputs.C.shape),
        None if inputs.D is None else zeros(groups, width),
        None if inputs.bias is None else zeros(groups, width),
        zeros(inputs.rates.shape),
        inputs.soft,
    )
    memory = plan.memory(4)
    for rows, lanes in plan.tiles():
        tile, tile_gradients = inputs.tile(rows, lanes), gradients.tile(rows, lanes)
        tile_starts, tile_dout = starts[:, rows, ..., lanes], dout[:, rows, :, lanes]
        carry = torch.zeros_like(tile_starts[0], memory_format=torch.contiguous_format)
        if dlast is not None:
            carry.copy_(dlast[rows, ..., lanes])
        block = None
        for i, span in reversed(list(enumerate(plan.spans()))):
            dy = tile_dout[span].to(carry.dtype)
            if block is None or block.tokens != len(dy):
                block = _Block(memory, len(dy), carry, tile.rates)
            block.start.copy_(tile_starts[i])
            block.backward(tile.part(span).cast(), tile_gradients.part(span), dy, carry)
    return gradients


class _Block(Block):
    """With the adjoint of the states, g_t = dy_t C_t + decay_(t+1) g_(t+1)."""

    def __init__(self, memory: list[torch.Tensor], tokens: int, start: torch.Tensor, rates: torch.Tensor):
        super().__init__([memory[0], memory[1], memory[3]], tokens, start, rates)
        self._g = memory[2][: tokens * start.numel()].view(tokens, *start.shape)
        self._adjoint = Recurrence(self._g, self.decays_after, self.work, reverse=True)

    def backward(self, part: Inputs, gradient: Inputs, dy: torch.Tensor, carry: torch.Tensor) -> None:
        """Write or add the gradients of a block; ``start`` has been set.

        With x_t = step_t u_t and q_t = g_t decay_t h_(t-1), the gradients are

            dC_t = sum over width of dy_t h_t,  dB_t = sum over width of g_t x_t,  dx_t = sum over state of g_t B_t,
            dstep_t = dx_t u_t + sum over state of A q_t,  du_t = dx_t step_t + dy_t D,  dA = sum over t of step_t q_t.

        Args:
            part, gradient: of the block.
            dy: (tokens, batch, groups, width), gradient of the output.
            carry: (batch, groups, state, width), decay times adjoint of the token after the block; becomes that of
                the block's first token.
        """
        g, work = self._g, self.work
        raw = part.steps_before_softplus()
        self.fill(part, raw)
        if part.z is not None:
            gate = torch.sigmoid(part.z)
            silu = gate * part.z
            slope = torch.addcmul(gate, silu, gate, value=-1.0).add_(silu)
            gradient.z.copy_(slope.mul_(dy).mul_(self.output(part)))
            dy = silu.mul_(dy)
        dy_of_states = dy.unsqueeze(3)
        torch.mul(dy_of_states, part.C, out=g)
        self._adjoint.run(carry)
        gradient.C.add_(torch.mul(self.states, dy_of_states, out=work).sum(4, keepdim=True))
        gradient.B.add_(torch.mul(g, self.x_of_states, out=work).sum(4, keepdim=True))
        dx = torch.mul(g, part.B, out=work).sum(3)
        g.mul_(self.decays)
        carry.copy_(g[0])
        flush(carry)
        q = g.mul_(self.before)
        dsteps = torch.mul(q, part.rates, out=work).sum(3).addcmul_(dx, part.u)
        gradient.rates.add_(torch.mul(q, self.steps_of_states, out=work).sum((0, 1)))
        dx.mul_(self.steps)
        if part.D is not None:
            gradient.D.add_((dy * part.u).sum((0, 1)))
            dx.addcmul_(dy, part.D)
        if part.soft:
            dsteps.mul_(torch.sigmoid(raw))
        if part.bias is not None:
            gradient.bias.add_(dsteps.sum((0, 1)))
        gradient.u.copy_(dx)
        gradient.delta.copy_(dsteps)
