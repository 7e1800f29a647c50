"""The losses: cross-entropy, Dice with cross-entropy, Dice with binary cross-entropy for regions."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from monai.losses import DiceLoss
from torch import Tensor

from segmamba.errors import UserError
from segmamba.scan.precision import no_autocast

LossFunction = Callable[[Tensor, Tensor], Tensor]

# Of probabilities (B, C, D, H, W) and 0 or 1 of the same shape.  The sums run over the whole batch, so that a patch
# without a structure does not dominate; where a map is empty in both, the loss is 0.
soft_dice = DiceLoss(batch=True)


def make_loss(kind: str, regions: bool) -> LossFunction:
    """The loss as a function of logits and target.

    Args:
        kind: ``auto``, ``ce``, ``dice_ce`` or ``dice_bce``.
        regions: Whether the network's outputs are regions that may overlap (sigmoid) or labels (softmax).

    Returns:
        A function of logits (B, C, D, H, W) and a target: class numbers (B, 1, D, H, W) for labels, 0 or 1 in
        (B, C, D, H, W) for regions.  It computes in float32 and returns a scalar.

    Raises:
        UserError: Where the kind does not fit the outputs.
    """
    kind = ("dice_bce" if regions else "dice_ce") if kind == "auto" else kind
    if regions != (kind == "dice_bce"):
        fitting = "dice_bce" if regions else "ce or dice_ce"
        raise UserError(
            f"loss.kind is {kind!r}, but the data set has {'regions' if regions else 'labels'}: use {fitting}"
        )

    def loss(logits: Tensor, target: Tensor) -> Tensor:
        with no_autocast(logits.device.type):
            logits = logits.float()
            if regions:
                target = target.float()
                return soft_dice(logits.sigmoid(), target) + F.binary_cross_entropy_with_logits(logits, target)
            target = target.long()
            entropy = F.cross_entropy(logits, target[:, 0])
            if kind == "ce":
                return entropy
            truth = torch.zeros_like(logits).scatter_(1, target, 1.0)
            # Without the background, which is easy and large.
            return soft_dice(logits.softmax(1)[:, 1:], truth[:, 1:]) + entropy

    return loss
