"""What a run writes beside its weights: a JSON-lines log and a picture of loss and Dice."""

import json
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from segmamba.atomic import replacing
from segmamba.errors import UserError
from segmamba.training.run import LOG, PLOT


class Journal:
    """``log.jsonl`` (one object an epoch) and ``progress.png`` in the run's folder."""

    def __init__(self, folder: Path):
        self._folder, self._file = folder, folder / LOG

    def rows(self) -> list[dict]:
        """All objects written so far."""
        if not self._file.is_file():
            return []
        rows = []
        for line in self._file.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                rows.append(json.loads(line))
            except ValueError:
                break  # the line that a killed run was writing
        return rows

    def cut(self, epoch: int) -> None:
        """Forgets what came after ``epoch`` finished epochs: a resumed run does them again."""
        self._write([row for row in self.rows() if row["epoch"] <= epoch])

    def add(self, row: dict) -> None:
        """Appends one object.

        Raises:
            UserError: The file cannot be written.
        """
        try:
            with open(self._file, "a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
        except OSError as error:
            raise _unwritable(self._file, error) from error

    def amend(self, epoch: int, values: dict) -> None:
        """Adds values to the object of an epoch that is written already."""
        self._write([row | values if row["epoch"] == epoch else row for row in self.rows()])

    def _write(self, rows: list[dict]) -> None:
        try:
            with replacing(self._file) as temporary:
                temporary.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        except OSError as error:
            raise _unwritable(self._file, error) from error

    def draw(self) -> None:
        """Draws loss and validation Dice over the epochs."""
        rows = self.rows()
        figure = Figure(figsize=(8, 4.5), dpi=120, layout="constrained")
        FigureCanvasAgg(figure)
        left = figure.add_subplot()
        epochs, losses = [row["epoch"] for row in rows], [row["loss"] for row in rows]
        left.plot(epochs, losses, color="#7a7a7a", marker="o", ms=2, lw=1.5, label="training loss")
        left.xaxis.set_major_locator(MaxNLocator(integer=True))
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
        try:
            with replacing(self._folder / PLOT) as temporary:
                figure.savefig(temporary, format="png")
        except OSError as error:
            raise _unwritable(self._folder / PLOT, error) from error


def _unwritable(path: Path, error: OSError) -> UserError:
    return UserError(f"{path} cannot be written ({error.strerror or error}); make room and go on with --resume")
