"""The definition of the selective scan in plain torch: slow, exact in any float type, differentiable."""

import torch
import torch.nn.functional as F


def selective_scan_reference(
    u: torch.Tensor,
    delta: torch.Tensor,
    A: torch.Tensor,
    B: torch.Tensor,
    C: torch.Tensor,
    D: torch.Tensor | None = None,
    z: torch.Tensor | None = None,
    delta_bias: torch.Tensor | None = None,
    delta_softplus: bool = False,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Run the recurrence of the Mamba paper (arXiv 2312.00752, section 3.2, algorithm 2) token by token.

    With delta' = softplus(delta + delta_bias): h_t = exp(delta'_t A) h_(t-1) + delta'_t B_t u_t;
    y_t = C_t h_t + D u_t; the output is y_t silu(z_t).

    Args:
        u, delta, z: (batch, channels, length).
        A: (channels, state).
        B, C: (batch, groups, state, length); channels are divided among the groups in order.
        D, delta_bias: (channels,).
        delta_softplus: whether softplus is applied to delta.

    Returns:
        The output (batch, channels, length) and the last state (batch, channels, state), in the inputs' precision.
    """
    batch, channels, length = u.shape
    groups, state = B.shape[1], A.shape[1]
    if delta_bias is not None:
        delta = delta + delta_bias[:, None]
    if delta_softplus:
        delta = F.softplus(delta)
    width = channels // groups
    rates = A.reshape(groups, width, state)
    steps = delta.reshape(batch, groups, width, length)
    inputs = steps * u.reshape(batch, groups, width, length)
    h = torch.zeros(batch, groups, width, state, dtype=u.dtype, device=u.device)
    outputs = []
    # unbind, because the gradient of a slice x[..., t] is a whole tensor of zeros: quadratic in the length.
    for step, x, b, c in zip(steps.unbind(-1), inputs.unbind(-1), B.unbind(-1), C.unbind(-1), strict=True):
        h = torch.exp(step[..., None] * rates) * h + x[..., None] * b[:, :, None]
        outputs.append((h * c[:, :, None]).sum(-1))
    y = torch.stack(outputs, -1).reshape(batch, channels, length)
    if D is not None:
        y = y + u * D[:, None]
    if z is not None:
        y = y * F.silu(z)
    return y, h.reshape(batch, channels, state)
