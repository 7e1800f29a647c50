"""SegMamba in bf16 against float32: how much faster, and whether the masks are the same."""

import numpy as np
import SimpleITK as sitk
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segmamba import networks
from segmamba.benchmark.network_measures import inference, precision_of
from segmamba.benchmark.timing import in_turns
from segmamba.data.phantom import draw

_CLASSES = 4
_FIELD = 192.0  # mm: the head of a phantom, whole


def agreement(size: int, repeats: int, device: str, options: dict, steps: int, crop: int, model: str | None) -> dict:
    """Seconds of one forward in turns, and the Dice of the two masks of a phantom.

    An untrained network's mask is noise, whose voxels lie on the border between two labels.  So it is trained before,
    on crops of another phantom, for a minute or two: not long enough to be good, but its masks have bodies and borders.
    A model that was really trained takes its place where one is named.

    Args:
        size: Edge of the cube, four channels.
        repeats: Rounds of the timing.
        device: ``cpu`` or ``cuda``.
        options: SegMamba's, for small ones.
        steps: Of the training.
        crop: Edge of the cubes that it is trained on.
        model: A model package on phantoms' four channels, or None.

    Returns:
        ``ratio`` of float32's seconds to bf16's; ``dice``, the mean over labels; ``dice_by_label``; ``true_dice``,
        that of the float32 mask with the phantom's labels; ``seconds``.
    """
    torch.manual_seed(0)
    image, labels = _phantom(1, size)
    module = networks.build("segmamba", image.shape[1], _CLASSES, **options)
    module = module.to(device).to(memory_format=torch.channels_last_3d)
    if model is None:
        _train(module, *_phantom(2, size), steps, crop, device)
    module.eval()
    image = image.to(device).to(memory_format=torch.channels_last_3d)
    calls = {name: inference(module, image, name, device) for name in ("fp32", "bf16")}
    masks = {name: call().argmax(1).cpu() for name, call in calls.items()}
    best = in_turns(calls, repeats, device, warm=False)
    if model is not None:
        masks, labels = _masks_of(model, device)
    by_label, true = _dice(masks["bf16"], masks["fp32"]), _dice(masks["fp32"], labels)
    return {
        "ratio": best["fp32"] / best["bf16"],
        "dice": _mean(by_label),
        "dice_by_label": by_label,
        "true_dice": _mean(true),
        "seconds": best,
    }


def _phantom(seed: int, size: int) -> tuple[Tensor, Tensor]:
    """Normalised channels (1, 4, D, H, W), and labels (1, D, H, W), of a head that fills the cube."""
    phantom = draw(seed, size=(size,) * 3, spacing=(_FIELD / size,) * 3)
    channels = np.stack([sitk.GetArrayFromImage(volume) for volume in phantom.images]).astype(np.float32)
    channels -= channels.mean((1, 2, 3), keepdims=True)
    channels /= channels.std((1, 2, 3), keepdims=True)
    labels = sitk.GetArrayFromImage(phantom.label).astype(np.int64)
    return torch.from_numpy(channels)[None], torch.from_numpy(labels)[None]


def _train(module: nn.Module, image: Tensor, labels: Tensor, steps: int, crop: int, device: str) -> None:
    """Cross-entropy and Dice on crops, half of them around the tumour, in bf16; the rate falls to zero."""
    optimiser = torch.optim.AdamW(module.parameters(), lr=1e-3)
    source = torch.Generator().manual_seed(0)
    size, inside = image.shape[-1], labels[0].nonzero()
    module.train()
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = 1e-3 * (1 - step / steps)
        middle = torch.randint(size, (3,), generator=source)
        if step % 2 and len(inside):
            middle = inside[torch.randint(len(inside), (1,), generator=source)[0]]
        starts = [min(max(int(m) - crop // 2, 0), size - crop) for m in middle]
        place = tuple(slice(start, start + crop) for start in starts)
        part = image[(slice(None), slice(None), *place)].to(device).contiguous(memory_format=torch.channels_last_3d)
        wanted = labels[(slice(None), *place)].to(device)
        with precision_of("bf16", device):
            out = module(part)
        loss = F.cross_entropy(out.float(), wanted) + _soft_dice_loss(out.float().softmax(1), wanted)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()


def _soft_dice_loss(probabilities: Tensor, labels: Tensor) -> Tensor:
    wanted = F.one_hot(labels, probabilities.shape[1]).movedim(-1, 1)
    both = (probabilities * wanted).sum((2, 3, 4))
    return 1 - ((2 * both + 1) / ((probabilities + wanted).sum((2, 3, 4)) + 1)).mean()


def _masks_of(model: str, device: str) -> tuple[dict[str, Tensor], Tensor]:
    """What a model package marks in a phantom in either precision, as it is used for segmenting, and the truth."""
    from segmamba.inference.segmenter import Segmenter

    phantom = draw(1)
    masks = {}
    for name in ("fp32", "bf16"):
        found = Segmenter(model, device=device, precision=name)(phantom.images).labels
        masks[name] = torch.from_numpy(sitk.GetArrayFromImage(found).astype(np.int64))
    return masks, torch.from_numpy(sitk.GetArrayFromImage(phantom.label).astype(np.int64))


def _dice(one: Tensor, other: Tensor) -> dict[str, float]:
    """Of every foreground label that either holds."""
    found = {}
    for label in range(1, int(max(one.max(), other.max())) + 1):
        a, b = one == label, other == label
        both = int(a.sum()) + int(b.sum())
        if both:
            found[str(label)] = 2 * int((a & b).sum()) / both
    return found


def _mean(values: dict[str, float]) -> float | None:
    return sum(values.values()) / len(values) if values else None
