"""What several commands share: results on standard output, progress on standard error."""

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator


def add_json(parser) -> None:
    """Adds ``--json``."""
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def add_progress(parser) -> None:
    """Adds ``--progress``."""
    parser.add_argument(
        "--progress",
        choices=("auto", "bar", "json", "none"),
        default="auto",
        help="progress on standard error: a bar, JSON lines, or nothing; auto is a bar on a terminal (default auto)",
    )


def say(text: str = "") -> None:
    """One line of the result on standard output."""
    sys.stdout.write(f"{text}\n")


def print_json(value) -> None:
    """One JSON document on standard output."""
    say(json.dumps(value, indent=1))  # ASCII, so that every encoding of the output carries it


def print_table(rows: list[list[str]], right: tuple[int, ...] = ()) -> None:
    """Aligned columns on standard output; the columns in ``right`` are aligned to the right."""
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))] if rows else []
    for row in rows:
        cells = [c.rjust(w) if n in right else c.ljust(w) for n, (c, w) in enumerate(zip(row, widths, strict=True))]
        say("  ".join(cells).rstrip())


def shows_bar(progress: str) -> bool:
    """Whether a bar is wanted."""
    return progress == "bar" or (progress == "auto" and sys.stderr.isatty())


@contextlib.contextmanager
def progress_shown(progress: str) -> Iterator[Callable[[float, str], None] | None]:
    """A callback (fraction, message) that shows progress as asked, or None for nothing.

    A bar is closed at the end, so that what follows, an error's line too, stands on a line of its own.
    """
    if progress == "json":
        yield _json_lines()
    elif shows_bar(progress):
        with _bar() as report:
            yield report
    else:
        yield None


def _json_lines() -> Callable[[float, str], None]:
    start: list[float] = []

    def report(fraction: float, message: str) -> None:
        now = time.monotonic()
        # Measured from the first step on: what comes before it is quick and says nothing of the pace.
        if not start and fraction > 0:
            start.extend((now, fraction))
        known = start and fraction > start[1]
        eta = (now - start[0]) * (1 - fraction) / (fraction - start[1]) if known else None
        event = {
            "event": "progress",
            "fraction": round(fraction, 4),
            "eta_s": None if eta is None else round(eta, 1),
            "message": message,
        }
        sys.stderr.write(json.dumps(event) + "\n")
        sys.stderr.flush()

    return report


@contextlib.contextmanager
def _bar() -> Iterator[Callable[[float, str], None]]:
    from tqdm import tqdm

    layout = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}"
    with tqdm(total=100, bar_format=layout, file=sys.stderr) as bar:

        def report(fraction: float, message: str) -> None:
            bar.set_description_str(message, refresh=False)
            bar.update(100 * fraction - bar.n)

        yield report
