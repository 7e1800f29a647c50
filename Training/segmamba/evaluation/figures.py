"""Plots of an evaluation as SVG: how scores are spread over cases, and predicted against reference volumes."""

import io
import warnings

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from segmamba.evaluation.cases import Evaluation

# Okabe and Ito's colours, black left out: told apart by the colour-blind.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_INK, _DIM, _GRID = "#1f2933", "#66727f", "#e4e8ec"
_NAME = 22
# Beyond this many points a drawing of lines becomes a slow and large page: the points are drawn as pixels.
_POINTS = 3000
# Quartiles of fewer cases than this say less than the cases themselves.
_FEW = 4


def colour(number: int) -> str:
    """The colour of a label by its place in the list."""
    return _COLOURS[number % len(_COLOURS)]


def draw_scores(evaluation: Evaluation) -> bytes:
    """Dice, surface Dice and HD95 of every case, a row of points and a box a label: an SVG file."""
    labels = [label.name for label in evaluation.labels]
    tolerances = sorted(set(evaluation.tolerances.values()))
    nsd = f"Surface Dice (NSD), {tolerances[0]:g} mm" if len(tolerances) == 1 else "Surface Dice (NSD)"
    panels = (("dice", "Dice"), ("nsd", nsd), ("hd95_mm", "HD95 in mm"))
    height = 0.9 + 0.5 * max(len(labels), 1)
    figure = _figure(11, height)
    left = 0.12 + 0.075 * max([len(_shown(name)) for name in labels], default=1)
    grid = figure.add_gridspec(
        1, 3, left=left / 11, right=1 - 0.15 / 11, top=1 - 0.35 / height, bottom=0.42 / height, wspace=0.09
    )
    shared = None
    for n, (metric, title) in enumerate(panels):
        axes = shared = figure.add_subplot(grid[n], sharey=shared)
        _plain(axes)
        axes.set_title(title, loc="left", fontsize=10, color=_INK, weight="bold")
        axes.grid(axis="x", color=_GRID, linewidth=0.8)
        missing = []
        for place, name in enumerate(labels):
            scores = [row.scores(evaluation.policy)[metric] for row in evaluation.rows_of(name)]
            counted = sum(row.empty != "both" or evaluation.policy.agreement for row in evaluation.rows_of(name))
            values = np.array([value for value in scores if value is not None], float)
            missing.append(counted - len(values))
            _spread(axes, place, values, colour(place))
        _limits(axes, metric)
        for place, count in enumerate(missing):
            if count:
                axes.annotate(
                    f"{count} not measurable", (1, place), (-4, 11), xycoords=axes.get_yaxis_transform(),
                    textcoords="offset points", ha="right", va="center", fontsize=7.5, color=_DIM, style="italic",
                )  # fmt: skip
        axes.tick_params(axis="y", length=0, labelleft=n == 0)
        axes.xaxis.set_major_locator(MaxNLocator(5))
    if shared is not None:
        shared.set_yticks(range(len(labels)), [_text(name) for name in labels])
        shared.set_ylim(max(len(labels), 1) - 0.5, -0.5)
    return _svg(figure)


def draw_volumes(evaluation: Evaluation, name: str) -> bytes:
    """One label's predicted volume against the reference, and their difference against their mean: an SVG file."""
    place = [label.name for label in evaluation.labels].index(name)
    rows = [row for row in evaluation.rows_of(name) if row.empty != "both"]
    predicted = np.array([row.predicted_ml for row in rows], float)
    reference = np.array([row.reference_ml for row in rows], float)
    figure = _figure(7.2, 3.3)
    grid = figure.add_gridspec(1, 2, left=0.085, right=0.89, top=0.89, bottom=0.15, wspace=0.3)
    one, other = (figure.add_subplot(cell) for cell in grid)
    for axes, title in ((one, "Volume in ml"), (other, "Difference in ml (Bland-Altman)")):
        _plain(axes)
        axes.set_title(title, loc="left", fontsize=9.5, color=_INK, weight="bold")
        axes.grid(color=_GRID, linewidth=0.8)
    style = {"s": 22, "color": colour(place), "alpha": 0.65, "linewidths": 0, "rasterized": len(rows) > _POINTS}
    end = 1.06 * max([*predicted, *reference, 1e-9])
    one.plot([0, end], [0, end], color=_DIM, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    one.scatter(reference, predicted, zorder=2, **style)
    one.set(xlim=(-0.03 * end, end), ylim=(-0.03 * end, end), aspect="equal")
    _axis_labels(one, "reference", "prediction")
    differences = predicted - reference
    other.axhline(0, color=_DIM, linewidth=1, zorder=1)
    other.scatter((predicted + reference) / 2, differences, zorder=2, **style)
    other.xaxis.set_major_locator(MaxNLocator(4))
    _axis_labels(other, "mean of both", "prediction - reference")
    if len(rows) > 2:
        _agreement(other, differences)
    return _svg(figure)


def _agreement(axes: Axes, differences: np.ndarray) -> None:
    """Lines of bias and of the 95% limits of agreement (Bland and Altman 1986), written beside it."""
    bias, spread = differences.mean(), 1.96 * differences.std(ddof=1)
    lines = [(bias, "bias", "-")]
    if spread > 0:
        lines += [(bias + spread, "+1.96 SD", "--"), (bias - spread, "-1.96 SD", "--")]
    for value, text, line in lines:
        axes.axhline(value, color=_INK, linewidth=1, linestyle=line, zorder=1, alpha=0.8)
        axes.annotate(
            f"{text}\n{value:+.3g}", (1, value), (4, 0), xycoords=axes.get_yaxis_transform(),
            textcoords="offset points", ha="left", va="center", fontsize=7.5, color=_INK,
        )  # fmt: skip
    axes.margins(y=0.16)


def _spread(axes: Axes, place: int, values: np.ndarray, shade: str) -> None:
    """One label's points, scattered about its line, and their box."""
    if not values.size:
        return
    scatter = np.full(values.size, float(place))
    if values.size > _FEW:
        # Seeded, so that the same scores give the same picture.
        scatter += np.random.default_rng(0).uniform(-0.17, 0.17, values.size)
        _box(axes, place, values, shade)
    size = 16 if values.size < 200 else 7
    axes.scatter(
        values, scatter, s=size, color=shade, alpha=0.55, linewidths=0, zorder=3, rasterized=values.size > _POINTS
    )
    axes.plot(
        values.mean(), place, marker="D", markersize=4.6, color="white", markeredgecolor=_INK, markeredgewidth=1.1,
        zorder=4,
    )  # fmt: skip


def _box(axes: Axes, place: int, values: np.ndarray, shade: str) -> None:
    """Quartiles and median; whiskers reach the furthest value within one and a half times the quartiles' distance."""
    first, median, third = np.percentile(values, (25, 50, 75))
    reach = 1.5 * (third - first)
    near = values[(values >= first - reach) & (values <= third + reach)]
    for start, end in ((near.min(), first), (third, near.max())):
        axes.plot([start, end], [place, place], color=shade, linewidth=1.1, zorder=2)
    axes.add_patch(
        Rectangle((first, place - 0.28), third - first, 0.56, facecolor=shade + "22", edgecolor=shade, linewidth=1.1)
    )
    axes.plot([median, median], [place - 0.28, place + 0.28], color=shade, linewidth=2.2, zorder=2)


def _limits(axes: Axes, metric: str) -> None:
    """Scores end at 1 and distances begin at 0, with room for the points that lie there."""
    low, high = axes.dataLim.intervalx if np.isfinite(axes.dataLim.intervalx).all() else (0.0, 1.0)
    if metric == "hd95_mm":
        axes.set_xlim(-0.03 * max(high, 1e-3), 1.06 * max(high, 1e-3))
        return
    room = max(1 - low, 0.02)
    axes.set_xlim(max(1 - 1.08 * room, -0.03), 1 + 0.04 * room)


def _figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def _plain(axes: Axes) -> None:
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(_GRID)
    axes.tick_params(colors=_DIM, labelsize=8.5, color=_GRID, labelcolor=_INK)


def _axis_labels(axes: Axes, x: str, y: str) -> None:
    axes.set_xlabel(x, fontsize=8.5, color=_DIM)
    axes.set_ylabel(y, fontsize=8.5, color=_DIM)


def _shown(name: str) -> str:
    return name if len(name) <= _NAME else name[: _NAME - 1] + "…"


def _text(name: str) -> str:
    """A name that matplotlib draws as it is: a dollar would begin a formula."""
    return _shown(name).replace("$", r"\$").replace("\n", " ")


def _svg(figure: Figure) -> bytes:
    """The figure's file; letters are text, so that the browser finds a font for names in any script."""
    picture = io.BytesIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "segmamba"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # that our own font lacks one
        figure.savefig(picture, format="svg", dpi=160, metadata={"Date": None, "Creator": "segmamba"})
    return picture.getvalue()
