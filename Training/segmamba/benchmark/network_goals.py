"""The goals that compare networks: which rows there are, and their measurements side by side."""

from collections.abc import Callable

from segmamba.benchmark.jobs import Outcome, measure
from segmamba.benchmark.rows import Row
from segmamba.benchmark.shapes import Shape

#: Of bf16's mask with float32's, from which on bf16 counts as the same.
SAME_MASK = 0.999
#: The shape of the goals.
SHAPE = Shape(4, 128, 4)

ROWS = (
    Row("bf16", "SegMamba 4 x 128³, float32's time against bf16's", "agreement", "ratio", 2, 4),
    Row(
        "bf16-dice", "SegMamba 4 x 128³, Dice of bf16's mask with float32's", "agreement", "dice", SAME_MASK,
        unit="dice",
    ),
    Row(
        "segmamba-swinunetr", "SegMamba's time, in its best precision at that Dice, against SwinUNETR's best, 4 x 128³",
        "segmamba", "ratio", 0.5, 0.33, False,
    ),
    Row(
        "segmamba-swinunetr-fastest", "the same, in its fastest precision whatever the Dice", "segmamba-fastest",
        "ratio", None, None, False,
    ),
    Row(
        "segresmamba-swinunetr", "SegResMamba's time against SwinUNETR's best, 4 x 128³", "segresmamba", "ratio",
        0.25, 0.15, False,
    ),
    Row(
        "lightmunet-dynunet", "LightM-UNet's time against DynUNet's, float32, 4 x 128³", "lightmunet", "ratio",
        1, 0.5, False,
    ),
    Row(
        "lightmunet-dynunet-memory", "LightM-UNet's peak memory against DynUNet's, float32 forward, 4 x 128³",
        "lightmunet-memory", "ratio", 1, 0.5, False,
    ),
)  # fmt: skip
_SWIN = ("swinunetr", "swinunetr_v2")


def needed(networks: list[str], shapes: list[Shape], goals: bool) -> dict[str, bool]:
    """Which of the jobs can be done with what is measured, by name."""
    here = goals and any(shape.name == SHAPE.name for shape in shapes)
    swin = any(name in networks for name in _SWIN)
    return {
        "agreement": here and "segmamba" in networks,
        "segmamba": here and "segmamba" in networks and swin,
        "segmamba-fastest": here and "segmamba" in networks and swin,
        "segresmamba": here and "segresmamba" in networks and swin,
        "lightmunet": here and {"lightmunet", "dynunet"} <= set(networks),
    }


def measure_goals(
    wanted: dict[str, bool],
    rows: list[dict],
    threads: int,
    repeats: int,
    device: str,
    model: str | None,
    steps: int,
    told: Callable[[str], None],
    shape: Shape = SHAPE,
) -> dict[str, Outcome]:
    """Outcomes by job.

    Args:
        wanted: As ``needed`` gives it.
        rows: Of the table: from them come the best precision and layout of each network.
        threads, repeats, device: Of the measurements.
        model: A trained SegMamba for the masks, or None.
        steps: Of a short training, where there is no model.
        told: Is told what comes next.
        shape: At which the networks are compared.
    """
    absent = Outcome(problem="not among what was measured")
    outcomes = dict.fromkeys((*wanted, "lightmunet-memory"), absent)
    if wanted["agreement"]:
        told("SegMamba in bf16 and float32")
        arguments = {"size": shape.size, "repeats": repeats, "device": device, "options": {}}
        arguments |= {"steps": steps, "crop": 48, "model": model}
        outcomes["agreement"] = measure("agreement:agreement", arguments, threads, device)
    rows = [row for row in rows if row["shape"] == shape.name]
    pairs = {
        "segmamba": (_best(rows, ("segmamba",), _precisions(outcomes["agreement"])), _best(rows, _SWIN)),
        "segmamba-fastest": (_best(rows, ("segmamba",)), _best(rows, _SWIN)),
        "segresmamba": (_best(rows, ("segresmamba",)), _best(rows, _SWIN)),
        "lightmunet": (_best(rows, ("lightmunet",), ("fp32",)), _best(rows, ("dynunet",), ("fp32",))),
    }
    for name, (one, other) in pairs.items():
        if not wanted[name]:
            continue
        if one is None or other is None:
            outcomes[name] = Outcome(problem="one of the two was not measured")
            continue
        if name == "segmamba-fastest" and one is pairs["segmamba"][0]:
            outcomes[name] = outcomes["segmamba"]
            continue
        told(f"{one['network']} and {other['network']} in turns")
        cube = [shape.channels, shape.size, shape.classes]
        arguments = {"shape": cube, "repeats": repeats, "device": device, "one": _choice(one), "other": _choice(other)}
        result = measure("network_measures:compare", arguments, threads, device)
        outcomes[name] = Outcome({**result.values, "one": _choice(one), "other": _choice(other)}, result.problem)
    one, other = pairs["lightmunet"]
    if wanted["lightmunet"] and one and other and one["peak"] and other["peak"]:
        outcomes["lightmunet-memory"] = Outcome({"ratio": one["peak"] / other["peak"]})
    return outcomes


def _precisions(agreement: Outcome) -> tuple[str, ...]:
    """bf16 stands for SegMamba only where it gives the same mask."""
    return ("fp32", "bf16") if (agreement.values.get("dice") or 0) >= SAME_MASK else ("fp32",)


def _best(rows: list[dict], networks: tuple[str, ...], precisions: tuple[str, ...] = ("fp32", "bf16")) -> dict | None:
    """The forward of least seconds of these networks in these precisions."""
    fitting = [row for row in rows if row["network"] in networks and row["precision"] in precisions]
    return fastest(fitting, fitting[0]["shape"], "forward") if fitting else None


def fastest(rows: list[dict], shape: str, way: str) -> dict | None:
    """The row of least seconds among those of a shape and a way; None if none was measured."""
    fitting = [row for row in rows if row["shape"] == shape and row["way"] == way and row["seconds"] is not None]
    return min(fitting, key=lambda row: row["seconds"], default=None)


def _choice(row: dict) -> dict:
    return {key: row[key] for key in ("network", "layout", "precision")}
