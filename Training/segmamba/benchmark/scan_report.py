"""``bench scan`` as Markdown and as a picture."""

from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from segmamba.benchmark import machine
from segmamba.benchmark.report import markdown_table

HEADINGS = ("row", "measured", "must", "goal", "verdict")
_FURTHEST = 20.0  # times better than it must be: what lies beyond would squeeze the rest
_COLOURS = {"goal": "#2f7d4f", "must": "#8ab17d", "missed": "#c8553d"}

_NOTES = """
Each line comes from a process of its own; what is compared runs in turns in one process, and the least time of each
counts. Memory is the process's high-water mark beyond what it held before the call.

- *Reference loop*, *unbind reference*: plain torch in the way of mamba_ssm's own reference: exp(delta A) and
  delta B u of all tokens at once, then a loop; with `unbind` before the loop the backward is linear in the length.
  Our backend `reference`, which materialises neither, stands below them without a limit.
- *C++ yardstick*: `Training/benchmarks/yardstick.cpp`, compiled with `g++ {flags}`. It writes into memory that it was
  given before; ours allocates its results, as a caller has it. 1 x is the same speed.
- *Zero tail*: u is zero after the first sixteenth; in the backward, the loss sees only the last sixteenth as well.
- *First use*: the first forward and backward less the second, after torch and the package are imported: compiling or
  loading the kernels, importing what they need, the self-test of the backend.
""".strip()


def markdown(document: dict) -> list[str]:
    """The whole file, line by line."""
    from segmamba.benchmark.yardstick import FLAGS

    lines = ["# The selective scan, measured", "", *machine.lines(document["machine"]), ""]
    if document["quick"]:
        lines += ["Sizes were small (`--quick`): no figure here says anything of speed.", ""]
    rows = [[row["row"], row["measured"], row["must"], row["goal"], row["verdict"]] for row in document["rows"]]
    lines += markdown_table(HEADINGS, rows, right=(1,))
    for way, seconds in document["backends"].items():
        what = "forward" if way == "forward" else "forward+backward"
        lines += [
            "",
            f"Backends, {what}, 96 x 16384, one thread" + (" (smaller here)" if document["quick"] else ""),
            "",
        ]
        fastest = min(seconds.values())
        cells = [[name, f"{1e3 * s:.2f} ms", f"{s / fastest:.3g} x"] for name, s in seconds.items()]
        lines += markdown_table(("backend", "time", "against the fastest"), cells, right=(1, 2))
    return [*lines, "", *_NOTES.replace("{flags}", " ".join(FLAGS)).splitlines()]


def draw(document: dict, path: Path) -> None:
    """How far every row lies beyond its limit, on a logarithmic axis, and the backends beside one another."""
    rows = [row for row in document["rows"] if row["must_value"] and row["value"] is not None]
    backends = document["backends"]
    height = 1.6 + 0.27 * max(len(rows), 1)
    figure = Figure(figsize=(13, height), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, width_ratios=(2.6, 1)) if backends else (figure.subplots(), None)
    _draw_rows(left, rows)
    if right is not None:
        _draw_backends(right, backends)
    facts = document["machine"]
    small = ", small sizes" if document["quick"] else ""
    figure.suptitle(
        f"Selective scan, {facts['processor']}, {facts['cores']} cores, {facts['date'][:10]}{small}", size=11
    )
    figure.savefig(path)


def _draw_rows(axes, rows: list[dict]) -> None:
    axes.set_title("measured against what it must be (longer is better)", size=10, loc="left")
    for place, row in enumerate(reversed(rows)):
        must, goal = row["must_value"], row["goal_value"]
        reach = row["value"] / must if row["more"] else must / max(row["value"], must / _FURTHEST)
        at = 1.0 if not goal else goal / must if row["more"] else must / goal
        beyond = reach >= _FURTHEST
        reach = min(reach, _FURTHEST)
        axes.barh(place, reach - 1, left=1, color=_COLOURS.get(row["verdict"], "#9a9a9a"), height=0.66)
        axes.annotate(
            row["measured"] + (" →" if beyond else ""), (max(reach, at) if reach >= 1 else reach, place),
            xytext=(4 if reach >= 1 else -4, 0), textcoords="offset points", size=7, va="center",
            ha="left" if reach >= 1 else "right",
        )  # fmt: skip
        if goal:
            axes.plot([at, at], [place - 0.42, place + 0.42], color="black", lw=1.4)
    axes.set_xscale("log")
    axes.axvline(1, color="black", lw=0.8)
    axes.margins(x=0.14, y=0.02)
    axes.set_yticks(range(len(rows)), [row["row"] for row in reversed(rows)], size=7.5)
    axes.set_xlabel("times better than the column `must`; the black tick is the goal", size=8)
    axes.tick_params(axis="x", labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_backends(axes, backends: dict) -> None:
    axes.set_title("backends, ms", size=10, loc="left")
    ways = {"forward": "#4a7fb0", "training": "#b8cfe3"}
    names = list(next(iter(backends.values())))
    for offset, (way, colour) in enumerate(ways.items()):
        values = [1e3 * backends[way][name] for name in names]
        places = [n + 0.4 * offset - 0.2 for n in range(len(names))]
        label = "forward" if way == "forward" else "forward+backward"
        bars = axes.bar(places, values, width=0.38, color=colour, label=label)
        axes.bar_label(bars, [f"{v:.3g}" if v < 100 else f"{v:.0f}" for v in values], size=7, padding=1)
    axes.set_yscale("log")
    axes.margins(x=0.08, y=0.2)
    axes.set_xticks(range(len(names)), names, size=7)
    axes.tick_params(axis="y", labelsize=8)
    axes.legend(frameon=False, fontsize=8, loc="upper left")
    axes.spines[["top", "right"]].set_visible(False)
