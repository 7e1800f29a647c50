"""The papers' claims beside what was counted and measured here, with a sentence where they do not bear out."""

from collections.abc import Callable, Iterator

from segmamba.benchmark import published

# Within a tenth, a claim is taken to bear out.
_CLOSE = 0.1


def claims(counts: dict, flat: dict, best: Callable[[str, str, str], dict | None]) -> list[dict]:
    """Every claim that can be compared with what is there.

    Args:
        counts: As ``network_measures.count`` gives them.
        flat: As ``network_measures.count_flat``.
        best: Takes network, shape and ``forward`` or ``training``; gives the float32 row of least seconds, or None.

    Returns:
        ``network``, ``claim``, ``source``, ``here``, ``remark`` of each.
    """
    return [
        {"network": network, "claim": claim, "source": source, "here": here, "remark": remark}
        for network, claim, source, here, remark in (
            *_segresmamba_size(counts),
            *_segresmamba_use(best),
            *_lightmunet(counts, flat),
        )
    ]


def _numbers(counts: dict, network: str, shape: str) -> dict | None:
    values = counts.get(network, {}).get(shape, {})
    return values if "macs" in values else None


def _segresmamba_size(counts: dict) -> Iterator[tuple[str, ...]]:
    paper, code = (_numbers(counts, name, "4x128") for name in ("segresmamba", "segresmamba_published"))
    if not (paper and code):
        return
    yield (
        "SegResMamba", "119.98 M parameters", published.SEGRESMAMBA,
        f"{_millions(paper)} as described; {_millions(code)} that the code computes with",
        "Does not bear out: the published code holds 111.6 M, of which 41 M take no part in what it computes.",
    )  # fmt: skip
    yield (
        "SegResMamba", "336 to 340 G multiply-adds", published.SEGRESMAMBA,
        f"{_giga(paper)} as described; {_giga(code)} as the code computes (4 x 128³)",
        "Does not bear out: the paper's counter takes transposed convolutions at the resolution of their output, eight "
        "times too much.",
    )  # fmt: skip


def _segresmamba_use(best: Callable) -> Iterator[tuple[str, ...]]:
    ours, other = (best(name, "1x96", "training") for name in ("segresmamba", "segmamba"))
    if ours and other and ours["peak"] and other["peak"]:
        ratio = ours["peak"] / other["peak"]
        yield (
            "SegResMamba", "0.38 of SegMamba's training memory (BTCV, batch 1)", published.SEGRESMAMBA,
            f"{ratio:.2f} (1 x 96³, float32, on this processor)", _verdict(ratio, 5.10 / 13.51),
        )  # fmt: skip
    for name, title, claim in (("segmamba", "SegMamba", 0.0841 / 0.1693), ("swinunetr", "SwinUNETR", 0.0841 / 0.1343)):
        ours, other = (best(network, "1x96", "forward") for network in ("segresmamba", name))
        if ours and other:
            ratio = ours["seconds"] / other["seconds"]
            yield (
                "SegResMamba", f"{claim:.2f} of {title}'s inference time", published.SEGRESMAMBA,
                f"{ratio:.2f} (1 x 96³, float32, on this processor)", _verdict(ratio, claim),
            )  # fmt: skip


def _lightmunet(counts: dict, flat: dict) -> Iterator[tuple[str, ...]]:
    ours, nnunet = (_numbers(counts, name, "4x128") for name in ("lightmunet", "dynunet"))
    if ours and nnunet:
        ratio = nnunet["parameters"] / ours["parameters"]
        yield (
            "LightM-UNet", "1.87 M parameters, 47 times fewer than nnU-Net", published.LIGHTMUNET,
            f"{_millions(ours)}, {ratio:.1f} times fewer than nnU-Net's network ({_millions(nnunet)})",
            "Does not bear out: the network as published is larger, and 47 times 1.87 M would be 88 M for nnU-Net's.",
        )  # fmt: skip
    if not flat:
        return
    ours, small, nnunet = flat["lightmunet"], flat["lightmunet16"], flat["nnunet"]
    yield (
        "LightM-UNet", "two dimensions: 1.09 M parameters, 116 times fewer than nnU-Net", published.LIGHTMUNET,
        f"{_millions(ours)} with 32 filters, {_millions(small)} with 16; nnU-Net's 2D network {_millions(nnunet)}: "
        f"{nnunet['parameters'] / ours['parameters']:.1f} and "
        f"{nnunet['parameters'] / small['parameters']:.1f} times fewer",
        "Does not bear out: 116 times 1.09 M would be 126 M for nnU-Net's network (here for patches of 512 x 512).",
    )  # fmt: skip
    yield (
        "LightM-UNet", "two dimensions: 21 times less computation than nnU-Net", published.LIGHTMUNET,
        f"{_giga(ours)} with 32 filters, {_giga(small)} with 16; nnU-Net's {_giga(nnunet)} (1 x 512²): "
        f"{nnunet['macs_with_scan'] / ours['macs_with_scan']:.1f} and "
        f"{nnunet['macs_with_scan'] / small['macs_with_scan']:.1f} times less",
        "Does not bear out, whether the scan is counted or not.",
    )  # fmt: skip


def _verdict(ratio: float, claim: float) -> str:
    if abs(ratio / claim - 1) <= _CLOSE:
        return "Bears out."
    if ratio < claim:
        return "Better than claimed."
    return "Does not bear out here; the paper measured on a graphics card, where the balance is another."


def _millions(values: dict) -> str:
    return f"{values['parameters'] / 1e6:.2f} M"


def _giga(values: dict) -> str:
    return f"{values['macs_with_scan'] / 1e9:.0f} G"
