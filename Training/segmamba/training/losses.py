"""The losses: cross-entropy, Dice with cross-entropy, Dice with binary cross-entropy for regions."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from monai.losses import DiceLoss
from torch import Tensor

from segmamba.errors import UserError

LossFunction = Callable[[Tensor, Tensor], Tensor]


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
    # Dice over the whole batch, so that a patch without a structure does not dominate; without the background.
    dice = (
        DiceLoss(sigmoid=True, batch=True)
        if regions
        else DiceLoss(softmax=True, to_onehot_y=True, include_background=False, batch=True)
    )

    def loss(logits: Tensor, target: Tensor) -> Tensor:
        with torch.autocast(logits.device.type, enabled=False):
            logits = logits.float()
            if regions:
                return dice(logits, target) + F.binary_cross_entropy_with_logits(logits, target)
            entropy = F.cross_entropy(logits, target[:, 0].long())
            return entropy if kind == "ce" else dice(logits, target) + entropy

    return loss
