"""``bench segment``, and the click in 3D Slicer, as Markdown and as a picture."""

from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from segmamba.benchmark import machine
from segmamba.benchmark.report import markdown_table

HEADINGS = ("what", "whole", "network", "all else")
GOAL_HEADINGS = ("row", "measured", "must", "goal", "verdict")
_NETWORK, _REST, _WHOLE = "#4a7fb0", "#c8553d", "#9a9a9a"

NOTES = """
In each round a worker's process is started and gets the same job twice, the volumes as files of voxels with their
geometry, as the extension hands them over; then the command runs, in a process of its own. Of each way the round with
the least whole time counts, and what stands beside is of that round.

- *Network*: the windows alone (`compute_seconds`). *All else*: whole less network: starting, reading, resampling,
  normalising, joining windows, bringing the labels back to the image's grid, writing.
- The worker and the command find the same number of voxels of each label; else there would be no figures.
- Compiling the scan's kernels, once for a machine, is not in it if they were compiled before; see `scan.md`.
""".strip()


def markdown(document: dict, title: str = "Segmenting a case, measured", notes: str = NOTES) -> list[str]:
    """The whole file, line by line."""
    lines = [f"# {title}", "", *machine.lines(document["machine"]), ""]
    lines += [f"{case(document)}.", ""]
    if document["quick"]:
        lines += ["The phantom was small (`--quick`): no figure here says anything of speed.", ""]
    lines += markdown_table(HEADINGS, time_rows(document), right=(1, 2, 3))
    lines += ["", *markdown_table(GOAL_HEADINGS, goal_rows(document), right=(1,))]
    lines += ["", "Missing figures:", "", *(f"- {p}" for p in document["problems"])] if document["problems"] else []
    return [*lines, "", *notes.splitlines()]


def case(document: dict) -> str:
    """What was segmented with what, in words."""
    seen = document["case"]
    size = " x ".join(str(n) for n in seen["size"])
    spacing = " x ".join(f"{mm:g}" for mm in seen["spacing"])
    windows = next((one["windows"] for one in document["measurements"] if one.get("windows")), None)
    told = "" if windows is None else f", {windows} windows"
    return f"Phantom {seen['seed']}, four channels of {size} voxels of {spacing} mm; {document['model']}{told}"


def time_rows(document: dict) -> list[list[str]]:
    """Cells of the table of seconds."""
    keys = ("seconds", "compute_seconds", "rest")
    return [
        [one["title"], *("" if one[key] is None else f"{one[key]:.2f} s" for key in keys)]
        for one in document["measurements"]
    ]


def goal_rows(document: dict) -> list[list[str]]:
    """Cells of the table of goals."""
    return [[row["row"], row["measured"], row["must"], row["goal"], row["verdict"]] for row in document["rows"]]


def draw(document: dict, path: Path) -> None:
    """A bar for every measurement, its network's part and the rest."""
    found = document["measurements"][::-1]
    figure = Figure(figsize=(9, 1.7 + 0.5 * max(len(found), 1)), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for place, one in enumerate(found):
        if one["compute_seconds"] is None:
            axes.barh(place, one["seconds"], color=_WHOLE, height=0.6)
        else:
            axes.barh(place, one["compute_seconds"], color=_NETWORK, height=0.6)
            axes.barh(place, one["rest"], left=one["compute_seconds"], color=_REST, height=0.6)
        rest = "" if one["rest"] is None else f" ({one['rest']:.2f} s beyond the network)"
        text = f" {one['seconds']:.2f} s{rest}"
        axes.text(one["seconds"], place, text, size=8, va="center")
    axes.set_yticks(range(len(found)), [one["title"].replace("`", "").partition(":")[0] for one in found], size=8)
    colours = {"network": _NETWORK, "all else": _REST}
    if any(one["compute_seconds"] is None for one in found):
        colours["both"] = _WHOLE
    handles = [Patch(color=colour) for colour in colours.values()]
    figure.legend(handles, list(colours), loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    longest = max((one["seconds"] for one in found), default=1.0)
    axes.set_xlim(0, 1.45 * longest)
    axes.set_xlabel("seconds", size=8)
    axes.tick_params(axis="x", labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    facts = document["machine"]
    small = ", small sizes" if document["quick"] else ""
    threads = "one thread" if facts["threads"] == 1 else f"{facts['threads']} threads"
    figure.suptitle(f"{document['model']}, {facts['device']}, {threads}, {facts['date'][:10]}{small}", size=10)
    figure.savefig(path)
