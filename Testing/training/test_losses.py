"""Losses against plain formulas, in float32 whatever the precision around them."""

import math

import pytest
import torch
import torch.nn.functional as F

from segmamba.errors import UserError
from segmamba.training.losses import make_loss, soft_dice


def labels_case(classes=3):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, classes, 4, 5, 6, generator=generator)
    target = torch.randint(0, classes, (2, 1, 4, 5, 6), generator=generator)
    return logits, target


def soft_dice_loss(probabilities, truth):
    """1 minus Dice of each map over batch and space, averaged over the maps."""
    axes = (0, 2, 3, 4)
    common = (probabilities * truth).sum(axes)
    return float((1 - 2 * common / (probabilities.sum(axes) + truth.sum(axes))).mean())


def cross_entropy(logits, target):
    probabilities = logits.softmax(1)
    return float(-probabilities.gather(1, target).log().mean())


def test_cross_entropy_is_the_mean_of_the_negative_log_probability():
    logits, target = labels_case()
    assert float(make_loss("ce", False)(logits, target)) == pytest.approx(cross_entropy(logits, target), rel=1e-5)


@pytest.mark.parametrize("kind", ["auto", "dice_ce"])
def test_dice_and_cross_entropy_leave_the_background_out_of_dice(kind):
    logits, target = labels_case()
    truth = F.one_hot(target[:, 0], 3).movedim(-1, 1).float()
    expected = soft_dice_loss(logits.softmax(1)[:, 1:], truth[:, 1:]) + cross_entropy(logits, target)
    assert float(make_loss(kind, False)(logits, target)) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("kind", ["auto", "dice_bce"])
def test_regions_have_dice_and_binary_cross_entropy_of_each(kind):
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(2, 3, 4, 5, 6, generator=generator)
    target = torch.randint(0, 2, (2, 3, 4, 5, 6), generator=generator).float()
    p = logits.sigmoid()
    entropy = float(-(target * p.log() + (1 - target) * (1 - p).log()).mean())
    expected = soft_dice_loss(p, target) + entropy
    assert float(make_loss(kind, True)(logits, target)) == pytest.approx(expected, rel=1e-4)


def test_a_perfect_prediction_costs_nothing_and_the_gradient_is_finite_without_any_label():
    target = torch.zeros(1, 1, 4, 4, 4, dtype=torch.long)
    logits = torch.zeros(1, 2, 4, 4, 4, requires_grad=True)
    make_loss("auto", False)(logits, target).backward()
    assert torch.isfinite(logits.grad).all()
    target[..., 2:] = 1
    sure = 40 * (2 * F.one_hot(target[:, 0], 2).movedim(-1, 1).float() - 1)
    assert float(make_loss("auto", False)(sure, target)) < 1e-4


@pytest.mark.parametrize(("kind", "regions"), [("dice_bce", False), ("ce", True), ("dice_ce", True)])
def test_a_loss_that_does_not_fit_the_outputs_is_refused(kind, regions):
    with pytest.raises(UserError, match=rf"loss\.kind is '{kind}'"):
        make_loss(kind, regions)


@pytest.mark.parametrize("regions", [False, True])
def test_it_computes_in_float32_under_autocast(regions):
    logits, target = labels_case()
    target = torch.randint(0, 2, logits.shape).float() if regions else target
    loss = make_loss("auto", regions)
    exact = loss(logits.bfloat16().float(), target)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        under = loss(logits.bfloat16(), target)
    assert under.dtype == torch.float32
    assert float(under) == float(exact)
    assert math.isfinite(float(under))


def test_dice_agrees_with_monais():
    from monai.losses import DiceLoss

    logits, target = labels_case()
    ours = make_loss("dice_ce", False)(logits, target) - make_loss("ce", False)(logits, target)
    theirs = DiceLoss(softmax=True, to_onehot_y=True, include_background=False, batch=True)(logits, target)
    assert float(ours) == pytest.approx(float(theirs), abs=1e-6)


def test_a_label_that_is_nowhere_and_predicted_nowhere_costs_no_dice():
    empty = torch.zeros(1, 1, 2, 2, 2)
    assert float(soft_dice(empty, empty)) == 0
    assert float(soft_dice(torch.ones(1, 1, 2, 2, 2), empty)) == pytest.approx(1, abs=1e-5)
