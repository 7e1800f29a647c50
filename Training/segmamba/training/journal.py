"""What a run writes beside its weights: a JSON-lines log and a picture of loss and Dice."""

import json
import os
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


class Journal:
    """``log.jsonl`` (one object an epoch) and ``progress.png`` in the run's folder."""

    def __init__(self, folder: Path):
        self._folder, self._file = folder, folder / "log.jsonl"

    def rows(self) -> list[dict]:
        """All objects written so far."""
        if not self._file.is_file():
            return []
        rows = []
        for line in self._file.read_text(encoding="utf-8").splitlines():
            try:
                rows.append(json.loads(line))
            except ValueError:
                break  # the line that a killed run was writing
        return rows

    def cut(self, epoch: int) -> None:
        """Forgets what came after ``epoch`` finished epochs: a resumed run does them again."""
        kept = [row for row in self.rows() if row["epoch"] <= epoch]
        self._replace(self._file, "".join(json.dumps(row) + "\n" for row in kept).encode())

    def add(self, row: dict) -> None:
        """Appends one object."""
        with open(self._file, "a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def draw(self) -> None:
        """Draws loss and validation Dice over the epochs."""
        rows = self.rows()
        figure = Figure(figsize=(8, 4.5), dpi=120, layout="constrained")
        FigureCanvasAgg(figure)
        left = figure.add_subplot()
        left.plot([r["epoch"] for r in rows], [r["loss"] for r in rows], color="#7a7a7a", lw=1.5, label="training loss")
        left.set_xlabel("epoch")
        left.set_ylabel("training loss")
        left.grid(alpha=0.25)
        left.spines[["top"]].set_visible(False)
        measured = [r for r in rows if r.get("dice")]
        right = left.twinx()
        right.set_ylim(0, 1)
        right.set_ylabel("validation Dice")
        right.spines[["top"]].set_visible(False)
        for name in measured[0]["dice"] if measured else ():
            points = [(r["epoch"], r["dice"][name]) for r in measured if r["dice"][name] is not None]
            right.plot(*zip(*points, strict=True), marker="o", ms=3, lw=1.5, label=name) if points else None
        handles = [line for axes in (left, right) for line in axes.get_lines()]
        left.legend(handles, [line.get_label() for line in handles], loc="center right", frameon=False)
        temporary = self._folder / "progress.png.tmp"
        figure.savefig(temporary, format="png")
        os.replace(temporary, self._folder / "progress.png")

    @staticmethod
    def _replace(path: Path, content: bytes) -> None:
        temporary = path.with_name(path.name + ".tmp")
        temporary.write_bytes(content)
        os.replace(temporary, path)
