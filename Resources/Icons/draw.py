"""Draws the icon of the extension and of its module: ``python Resources/Icons/draw.py``.

A mamba in the shape of an S lies on a slice of a head in which two regions are segmented.
"""

from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Ellipse, Polygon

ROOT = Path(__file__).resolve().parents[2]
FILES = (ROOT / "Resources/Icons/SegMamba.png", ROOT / "SegMambaSlicer/Resources/Icons/SegMambaSlicer.png")
SIZE = 128

NIGHT, BONE = "#16263f", "#dfe7ef"
RED, BLUE = "#e4572e", "#3a86c8"
GREEN, DARK, LIGHT = "#7fd14b", "#0c1626", "#d8f5b8"


def spine(count: int = 400) -> np.ndarray:
    """Points (count, 2) along the middle of the snake, from its tail (lower left) to its neck (upper right)."""
    # Two arcs that meet in the middle: the S.
    lower = np.radians(np.linspace(215, 450, count // 2))
    upper = np.radians(np.linspace(270, 15, count // 2))
    radius = 19.5
    below = np.stack([64 + 1.22 * radius * np.cos(lower), 44.5 + radius * np.sin(lower)], axis=1)
    above = np.stack([64 + 1.22 * radius * np.cos(upper), 83.5 + radius * np.sin(upper)], axis=1)
    return np.concatenate([below, above])


def body(points: np.ndarray, widths: np.ndarray) -> np.ndarray:
    """Outline of a line whose width changes along it."""
    along = np.gradient(points, axis=0)
    across = np.stack([-along[:, 1], along[:, 0]], axis=1) / np.linalg.norm(along, axis=1, keepdims=True)
    half = across * widths[:, None] / 2
    return np.concatenate([points + half, (points - half)[::-1]])


def draw() -> Figure:
    """The picture, 128 x 128 units with the origin at the lower left."""
    figure = Figure(figsize=(1, 1), dpi=SIZE)
    figure.patch.set_alpha(0)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, 128)
    axes.set_ylim(0, 128)
    axes.axis("off")

    axes.add_patch(Circle((64, 64), 61, facecolor=NIGHT, edgecolor=BONE, linewidth=5 * 72 / SIZE))
    axes.add_patch(Ellipse((45, 42), 62, 46, angle=-28, facecolor=BLUE))
    axes.add_patch(Ellipse((80, 84), 66, 44, angle=-28, facecolor=RED))

    points = spine()
    place = np.linspace(0, 1, len(points))
    width = 17 * np.minimum(1, 0.05 + 3.2 * place)
    axes.add_patch(Polygon(body(points, width + 9), closed=True, facecolor=DARK, edgecolor=DARK, joinstyle="round"))
    neck = points[-1]
    head = {"xy": (neck[0] + 0.5, neck[1] - 6), "angle": 98}
    axes.add_patch(Ellipse(width=37, height=29, facecolor=DARK, **head))
    axes.add_patch(Polygon(body(points, width), closed=True, facecolor=GREEN))
    axes.add_patch(Ellipse(width=28, height=20, facecolor=GREEN, **head))
    axes.plot(points[60:-30, 0], points[60:-30, 1], color=LIGHT, linewidth=3 * 72 / SIZE, dashes=(2.2, 2.2))
    axes.add_patch(Circle((neck[0] + 3.5, neck[1] - 6), 3.6, facecolor=DARK))
    return figure


def main() -> None:
    """Writes the files."""
    figure = draw()
    FigureCanvasAgg(figure)
    for file in FILES:
        # No software name and no date: the same drawing gives the same file.
        figure.savefig(file, dpi=SIZE, transparent=True, metadata={"Software": None})


if __name__ == "__main__":
    main()
