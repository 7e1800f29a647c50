"""``bench networks`` as Markdown and as a picture."""

from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from segmamba.benchmark import machine
from segmamba.benchmark.network_goals import fastest
from segmamba.benchmark.report import markdown_table

COUNT_HEADINGS = ("network", "parameters, M", "multiply-adds, G", "scan elements, G", "with the scan, G")
GOAL_HEADINGS = ("row", "measured", "must", "goal", "verdict")
_WAYS = {"forward": "Forward", "training": "Forward and backward"}

_NOTES = """
One image. Every time and every peak comes from a process of its own; the time is the least of the repeats, the peak is
all memory beyond the imported libraries: weights, image, activations, and gradients in training (no optimiser). What
the goals compare is run again in turns in one process. `first` and `last` are the memory layouts of weights and image,
contiguous and channels_last_3d (ours go on in channels_last_3d in either case); bf16 is autocast, the weights stay
float32. Training is measured in the layout whose forward was faster.

Multiply-adds by torch's FlopCounterMode, whose two operations for each are halved; transposed convolutions count at the
resolution of their input. A scan counts four for each of its B x L x channels x state elements (delta A; times h;
plus delta B u; times C), without the exponential. Element-wise operations, norms and interpolation count nothing.
""".strip()


def markdown(document: dict) -> list[str]:
    """The whole file, line by line."""
    lines = ["# Networks, measured", "", *machine.lines(document["machine"])]
    if document["goals"]:
        rows = [[row["row"], row["measured"], row["must"], row["goal"], row["verdict"]] for row in document["goals"]]
        lines += ["", "## Goals", "", *markdown_table(GOAL_HEADINGS, rows, right=(1,))]
        agreement = document["details"].get("agreement", {})
        if agreement.get("dice_by_label"):
            by_label = ", ".join(f"{label}: {dice:.4f}" for label, dice in agreement["dice_by_label"].items())
            lines += ["", f"Dice of bf16's mask with float32's by label {by_label}; of float32's with the truth "
                      f"{agreement['true_dice']:.3f}."]  # fmt: skip
    for shape in document["shapes"]:
        lines += [
            "",
            f"## {shape['title']}",
            "",
            *markdown_table(COUNT_HEADINGS, count_rows(document, shape["name"]), (1, 2, 3, 4)),
        ]
        for way in _WAYS:
            headings, rows = time_rows(document, shape["name"], way)
            if rows:
                lines += ["", f"{_WAYS[way]}: seconds, peak memory", ""]
                lines += markdown_table(headings, rows, tuple(range(1, len(headings))))
    reasons = problems(document)
    lines += ["", "Missing figures:", "", *(f"- {reason}" for reason in reasons)] if reasons else []
    if document["claims"]:
        rows = [[c["network"], f"{c['claim']} ({c['source']})", c["here"], c["remark"]] for c in document["claims"]]
        lines += ["", "## The papers' claims", "", *markdown_table(("network", "claim", "here", "remark"), rows)]
    lines += ["", *_published(document["published"]), "", "## How", ""]
    lines += [f"- {n['title']} (`{n['name']}`): {n['as']}" for n in document["networks"]]
    return [*lines, "", *_NOTES.splitlines()]


def _published(values: dict) -> list[str]:
    rows = [[r["network"], f"{r['parameters_m']:.1f}", f"{r['macs_g']:.1f}"] for r in values["cubes_of_96"]]
    lines = ["## Published, not measured here", "", f"Cubes of 96; {values['cubes_of_96_source']}:", ""]
    lines += markdown_table(("network (published)", "parameters, M", 'its "FLOPs", G'), rows, (1, 2))
    rows = [[r["network"], r["statement"], r["source"]] for r in values["statements"]]
    lines += ["", "UNETR's and SwinUNETR's \"FLOPs\" are near the multiply-adds counted here.", ""]
    return [*lines, *markdown_table(("network (published)", "statement", "source"), rows)]


def count_rows(document: dict, shape: str) -> list[list[str]]:
    """Cells of the table of counts at a shape."""
    rows = []
    for network in document["networks"]:
        values = document["counts"].get(network["name"], {}).get(shape, {"problem": "not counted"})
        if "problem" in values:
            rows.append([network["title"], _short(values["problem"]), "", "", ""])
            continue
        giga = [values[key] / 1e9 for key in ("macs", "scan_elements", "macs_with_scan")]
        scan = f"{giga[1]:.2f}" if giga[1] else ""
        rows.append([network["title"], f"{values['parameters'] / 1e6:.2f}", f"{giga[0]:.1f}", scan, f"{giga[2]:.1f}"])
    return rows


def _short(problem: str) -> str:
    """For a cell; the whole reason stands in ``problems``."""
    return "did not fit" if problem.startswith("did not fit") else "failed" if problem else ""


def problems(document: dict) -> list[str]:
    """Why figures are missing: each reason once for a network and shape, with what it concerns."""
    titles = {network["name"]: network["title"] for network in document["networks"]}
    found: dict[tuple[str, str, str], list[str]] = {}
    for name, by_shape in document["counts"].items():
        for shape, values in by_shape.items():
            if "problem" in values:
                found.setdefault((titles[name], shape, values["problem"]), []).append("counts")
    for row in document["measurements"]:
        if row["problem"]:
            what = f"{row['precision']} {row['layout']} {row['way']}"
            found.setdefault((titles[row["network"]], row["shape"], row["problem"]), []).append(what)
    reasons = [f"{title}, {shape} ({', '.join(what)}): {why}" for (title, shape, why), what in found.items()]
    return [*document["problems"], *reasons]


def time_rows(document: dict, shape: str, way: str) -> tuple[list[str], list[list[str]]]:
    """Headings and cells of the table of seconds and peaks at a shape; no rows where nothing was measured."""
    found = [row for row in document["measurements"] if row["shape"] == shape and row["way"] == way]
    if not found:
        return [], []
    # Training is measured in one layout for each network, so that there it is told beside the time.
    keys = list(dict.fromkeys((row["precision"], row["layout"] if way == "forward" else "") for row in found))
    headings = ["network", *(" ".join(filter(None, key)) for key in keys)]
    precisions = list(dict.fromkeys(row["precision"] for row in found))
    headings += [f"{precision} peak" for precision in precisions]
    rows = []
    for network in document["networks"]:
        mine = [row for row in found if row["network"] == network["name"]]
        cells = [network["title"]]
        for precision, layout in keys:
            row = next((r for r in mine if r["precision"] == precision and layout in ("", r["layout"])), None)
            told = "" if row is None or way == "forward" else f" ({row['layout']})"
            cells.append("" if row is None else _short(row["problem"]) or f"{row['seconds']:.2f} s{told}")
        for precision in precisions:
            row = fastest([r for r in mine if r["precision"] == precision], shape, way)
            cells.append("" if row is None or row["peak"] is None else f"{row['peak'] / 1e9:.2f} GB")
        rows.append(cells)
    return headings, rows


def draw(document: dict, path: Path) -> None:
    """Seconds and peaks of every network: one line of panels for each shape."""
    shapes = [s for s in document["shapes"] if any(r["shape"] == s["name"] for r in document["measurements"])]
    lines = max(1, len(shapes))
    figure = Figure(figsize=(14, 0.9 + lines * (0.8 + 0.36 * len(document["networks"]))), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(lines, 3, squeeze=False)
    facts = document["machine"]
    threads = "one thread" if facts["threads"] == 1 else f"{facts['threads']} threads"
    figure.suptitle(f"Networks, {facts['device']}, {threads}, {facts['date'][:10]}", size=11)
    if not shapes:
        _draw_counts(panels[0], document)
    for line, shape in zip(panels, shapes, strict=False):
        for axes, (title, way, key, unit) in zip(line, _PANELS, strict=True):
            _draw_panel(axes, document, shape["name"], way, key, unit)
            axes.set_title(f"{shape['name'].replace('x', ' x ')}³: {title}", size=9, loc="left")
    if shapes:
        handles = [Patch(color=colour) for colour in _COLOURS.values()]
        labels = [f"{'ours' if ours else 'others'}, {precision}" for precision, ours in _COLOURS]
        figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=8)
    figure.savefig(path)


_PANELS = (
    ("forward, s", "forward", "seconds", 1.0),
    ("forward and backward, s", "training", "seconds", 1.0),
    ("peak memory of the forward, GB", "forward", "peak", 1e9),
)
_COLOURS = {
    ("fp32", True): "#c8553d",
    ("bf16", True): "#e8b4a6",
    ("fp32", False): "#4a7fb0",
    ("bf16", False): "#b8cfe3",
}


def _draw_panel(axes, document: dict, shape: str, way: str, key: str, unit: float) -> None:
    """Bars of the faster layout, float32 above bf16."""
    networks = document["networks"]
    bars, missing = [], []
    for place, network in enumerate(reversed(networks)):
        for offset, precision in ((0.2, "fp32"), (-0.2, "bf16")):
            mine = [
                r for r in document["measurements"] if (r["network"], r["precision"]) == (network["name"], precision)
            ]
            row = fastest(mine, shape, way)
            if row is not None and row[key] is not None:
                bars.append((place + offset, row[key] / unit, _COLOURS[precision, network["ours"]]))
            elif reason := next((r["problem"] for r in mine if (r["shape"], r["way"]) == (shape, way)), ""):
                missing.append((place + offset, f"{precision} {_short(reason)}"))
    longest = max((value for _, value, _ in bars), default=1.0)
    for place, value, colour in bars:
        axes.barh(place, value, height=0.38, color=colour)
        axes.text(value + 0.01 * longest, place, f"{value:.3g}", size=6.5, va="center")
    for place, text in missing:
        axes.text(0.01 * longest, place, text, size=6.5, va="center", color="#777777")
    axes.set_yticks(range(len(networks)), [network["title"] for network in reversed(networks)], size=8)
    axes.set_xlim(0, 1.15 * longest)
    axes.set_ylim(-0.6, len(networks) - 0.4)
    axes.tick_params(axis="x", labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_counts(line, document: dict) -> None:
    """Where nothing was measured: parameters and multiply-adds at the first shape."""
    shape = document["shapes"][0]["name"]
    networks = [n for n in document["networks"] if "macs" in document["counts"].get(n["name"], {}).get(shape, {})]
    places = range(len(networks))
    kinds = (
        ("parameters", 1e6, "parameters, M"),
        ("macs_with_scan", 1e9, "multiply-adds with the scan, G"),
        ("scan_elements", 1e9, "scan elements, G"),
    )
    for axes, (key, unit, title) in zip(line, kinds, strict=True):
        values = [document["counts"][n["name"]][shape][key] / unit for n in reversed(networks)]
        bars = axes.barh(places, values, color=[_COLOURS["fp32", n["ours"]] for n in reversed(networks)])
        axes.bar_label(bars, [f"{value:.4g}" for value in values], size=7, padding=2)
        axes.set_yticks(places, [n["title"] for n in reversed(networks)], size=8)
        axes.set_title(f"{shape.replace('x', ' x ')}³: {title}", size=9, loc="left")
        axes.margins(x=0.12)
        axes.spines[["top", "right"]].set_visible(False)
