"""The scans of a mixer's directions: as groups of one call where the backend gains from that, else one by one."""

from collections.abc import Sequence

import torch
from torch import Tensor

from segmamba.scan.dispatch import definite_backend, gains_from_groups, selective_scan


def scan_directions(
    us: Sequence[Tensor],
    deltas: Sequence[Tensor],
    As: Sequence[Tensor],
    Bs: Sequence[Tensor],
    Cs: Sequence[Tensor],
    Ds: Sequence[Tensor] | None = None,
    delta_biases: Sequence[Tensor] | None = None,
    delta_softplus: bool = False,
    backend: str = "auto",
    grouped: bool | None = None,
) -> list[Tensor]:
    """Scans several sequences of the same shape, each with its own parameters: the directions of a mixer.

    In one call, the channels of the directions stand side by side, K channels in all, and each direction is a group
    with its own B and C. A graphics card that a single direction of a small batch leaves half idle is then filled.

    Args:
        us, deltas: K tensors (batch, channels, length), each direction already in its own order.
        As: K tensors (channels, state).
        Bs, Cs: K tensors (batch, state, length), or (batch, groups, state, length).
        Ds, delta_biases: K tensors (channels,).
        delta_softplus, backend: As for ``selective_scan``.
        grouped: One call (True) or K calls (False); by default, as the backend gains from it.

    Returns:
        K tensors (batch, channels, length). From one call they are views of one tensor.

    Raises:
        ValueError: A shape, device or type does not fit, or there are not K of each.
        UserError: ``backend`` is unknown, or not usable on this device.

    Example:
        >>> import torch
        >>> us, deltas = [torch.randn(1, 4, 10) for _ in range(3)], [torch.rand(1, 4, 10) for _ in range(3)]
        >>> As = [-torch.rand(4, 8) for _ in range(3)]
        >>> Bs, Cs = [torch.randn(1, 8, 10) for _ in range(3)], [torch.randn(1, 8, 10) for _ in range(3)]
        >>> [tuple(y.shape) for y in scan_directions(us, deltas, As, Bs, Cs, backend="chunked")]
        [(1, 4, 10), (1, 4, 10), (1, 4, 10)]
    """
    count = len(us)
    lists = {"deltas": deltas, "As": As, "Bs": Bs, "Cs": Cs, "Ds": Ds, "delta_biases": delta_biases}
    for name, values in lists.items():
        if values is not None and len(values) != count:
            raise ValueError(f"{name} has {len(values)} tensors, us has {count}; allowed is the same number for all")
    if count == 0:
        return []
    backend = definite_backend(backend, us[0].device)
    if grouped is None:
        grouped = gains_from_groups(backend)
    if not grouped or count == 1:
        nothing = [None] * count
        each = zip(us, deltas, As, Bs, Cs, Ds or nothing, delta_biases or nothing, strict=True)
        return [
            selective_scan(u, delta, A, B, C, D, None, bias, delta_softplus, backend=backend)
            for u, delta, A, B, C, D, bias in each
        ]
    for name, values in {"us": us, **lists}.items():
        shapes = {tuple(value.shape) for value in values or ()}
        if len(shapes) > 1:
            raise ValueError(f"{name} have shapes {', '.join(map(str, sorted(shapes)))}; allowed is one shape for all")
    # cat writes length innermost whatever the inputs' order: of channels-last views, this is the only copy.
    y = selective_scan(
        torch.cat(tuple(us), 1),
        torch.cat(tuple(deltas), 1),
        torch.cat(tuple(As)),
        torch.cat([_with_group(B) for B in Bs], 1),
        torch.cat([_with_group(C) for C in Cs], 1),
        torch.cat(tuple(Ds)) if Ds is not None else None,
        None,
        torch.cat(tuple(delta_biases)) if delta_biases is not None else None,
        delta_softplus,
        backend=backend,
    )
    return list(y.chunk(count, 1))


def _with_group(tensor: Tensor) -> Tensor:
    return tensor.unsqueeze(1) if tensor.ndim == 3 else tensor
