"""``segmamba bench networks``: ours and others', counted and measured in both precisions and memory layouts."""

from collections.abc import Callable, Sequence

from segmamba.benchmark import machine, published
from segmamba.benchmark.claims import claims
from segmamba.benchmark.jobs import Outcome, measure
from segmamba.benchmark.network_goals import ROWS, fastest, measure_goals, needed
from segmamba.benchmark.peers import find
from segmamba.benchmark.shapes import Shape

FLAT_SIZE = 512


def run_networks(
    networks: Sequence[str],
    shapes: Sequence[Shape],
    precisions: Sequence[str],
    layouts: Sequence[str],
    threads: int,
    repeats: int,
    device: str = "cpu",
    forward_only: bool = False,
    count_only: bool = False,
    goals: bool = True,
    model: str | None = None,
    steps: int = 100,
    progress: Callable[[float, str], None] | None = None,
) -> dict:
    """Counts and measures.

    Args:
        networks: Names in ``peers.NETWORKS``.
        shapes: What they are measured at.
        precisions: ``fp32``, ``bf16``.
        layouts: ``first``, ``last``: of weights and image.
        threads, repeats, device: Of the measurements; training is run once less often than forwards, but once.
        forward_only: No training steps.
        count_only: No measurements at all.
        goals: Also the comparisons side by side.
        model: A trained SegMamba on phantoms' channels, for the Dice between precisions.
        steps: Of the short training that stands in for such a model.
        progress: Takes a fraction and what is being measured.

    Returns:
        ``machine``, ``networks``, ``shapes``, ``counts``, ``counts_2d``, ``measurements`` (a list of network, shape,
        precision, layout, way, seconds, peak, problem), ``goals`` (rows), ``claims``, ``published``, ``details``.
    """
    facts = machine.describe(device, threads)
    names, sizes = list(networks), [[s.channels, s.size, s.classes] for s in shapes]
    wanted = needed(names, list(shapes), goals and not count_only)
    each = len(layouts) + (0 if forward_only else 1)
    progressing = _Steps(
        progress, 3 + sum(wanted.values()) + (0 if count_only else len(names) * len(shapes) * len(precisions) * each)
    )
    progressing.next("preparing")
    if not count_only and any(find(name).ours for name in names):
        # Compiles the kernels, where none are kept yet: a training step is measured once only.
        measure("scan_network:start", {"what": "network"}, threads)
    progressing.next("counting")
    counted = measure("network_measures:count", {"networks": names, "shapes": sizes}, threads)
    progressing.next("counting in two dimensions")
    # The claims that it is for are LightM-UNet's.
    flat = measure("network_measures:count_flat", {"size": FLAT_SIZE}, threads) if "lightmunet" in names else Outcome()
    rows: list[dict] = []
    for shape in [] if count_only else shapes:
        for name in names:
            for precision in precisions:
                choice = {"shape": [shape.channels, shape.size, shape.classes], "device": device}
                choice |= {"network": name, "precision": precision}
                for layout in layouts:
                    progressing.next(f"{name} {shape.name} {precision} {layout}, forward")
                    rows.append(_row("forward", shape, {**choice, "layout": layout, "repeats": repeats}, threads))
                if not forward_only:
                    best = fastest(rows[-len(layouts) :], shape.name, "forward")
                    layout = best["layout"] if best else layouts[-1]
                    progressing.next(f"{name} {shape.name} {precision} {layout}, forward and backward")
                    fewer = max(1, repeats - 1)
                    rows.append(_row("training", shape, {**choice, "layout": layout, "repeats": fewer}, threads))
    outcomes = measure_goals(wanted, rows, threads, repeats, device, model, steps, progressing.next)
    progressing.end()

    def best_of(network: str, shape: str, way: str) -> dict | None:
        return fastest([r for r in rows if r["network"] == network and r["precision"] == "fp32"], shape, way)

    return {
        "machine": facts,
        "networks": [
            {"name": n, "title": find(n).title, "ours": find(n).ours, "as": find(n).configuration} for n in names
        ],
        "shapes": [{"name": s.name, "title": s.title} for s in shapes],
        "counts": counted.values,
        "counts_2d": flat.values,
        "measurements": rows,
        "goals": [row.judge(outcomes[row.job]) for row in ROWS] if any(wanted.values()) else [],
        "claims": claims(counted.values, flat.values, best_of),
        "published": {
            "cubes_of_96": [
                dict(zip(("network", "parameters_m", "macs_g"), r, strict=True)) for r in published.TABLE_96
            ],
            "cubes_of_96_source": published.TABLE_96_SOURCE,
            "statements": [dict(zip(("network", "source", "statement"), r, strict=True)) for r in published.STATEMENTS],
        },
        "details": {name: outcome.values or {"problem": outcome.problem} for name, outcome in outcomes.items()},
        "problems": [outcome.problem for outcome in (counted, flat) if outcome.problem],
    }


def _row(way: str, shape: Shape, arguments: dict, threads: int) -> dict:
    outcome = measure(f"network_measures:{way}", arguments, threads, arguments["device"])
    return {
        "network": arguments["network"],
        "shape": shape.name,
        "precision": arguments["precision"],
        "layout": arguments["layout"],
        "way": way,
        "seconds": outcome.values.get("seconds"),
        "peak": outcome.values.get("peak"),
        "problem": outcome.problem,
    }


class _Steps:
    """Turns steps into fractions."""

    def __init__(self, progress: Callable[[float, str], None] | None, total: int):
        self._progress, self._total, self._done = progress, total, 0

    def next(self, message: str) -> None:
        if self._progress is not None:
            self._progress(min(self._done / self._total, 1.0), f"measuring {message}")
        self._done += 1

    def end(self) -> None:
        if self._progress is not None:
            self._progress(1.0, "measured")
