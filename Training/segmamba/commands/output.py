"""What several commands share: results on standard output, progress on standard error."""

import json
import sys
import time
from collections.abc import Callable


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


def print_json(value) -> None:
    """One JSON document on standard output."""
    print(json.dumps(value, indent=1, ensure_ascii=False))


def print_table(rows: list[list[str]], right: tuple[int, ...] = ()) -> None:
    """Aligned columns on standard output; the columns in ``right`` are aligned to the right."""
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))] if rows else []
    for row in rows:
        cells = [c.rjust(w) if n in right else c.ljust(w) for n, (c, w) in enumerate(zip(row, widths, strict=True))]
        print("  ".join(cells).rstrip())


def shows_bar(progress: str) -> bool:
    """Whether a bar is wanted."""
    return progress == "bar" or (progress == "auto" and sys.stderr.isatty())


def progress_callback(progress: str) -> Callable[[float, str], None] | None:
    """A callback (fraction, message) that shows progress as asked, or None for nothing."""
    if progress == "json":
        return _json_lines()
    if shows_bar(progress):
        return _bar()
    return None


def _json_lines() -> Callable[[float, str], None]:
    began = time.monotonic()

    def report(fraction: float, message: str) -> None:
        eta = (time.monotonic() - began) * (1 - fraction) / fraction if fraction > 0 else None
        event = {
            "event": "progress",
            "fraction": round(fraction, 4),
            "eta_s": None if eta is None else round(eta, 1),
            "message": message,
        }
        sys.stderr.write(json.dumps(event) + "\n")
        sys.stderr.flush()

    return report


def _bar() -> Callable[[float, str], None]:
    from tqdm import tqdm

    bar = tqdm(total=100, bar_format="{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}", file=sys.stderr)

    def report(fraction: float, message: str) -> None:
        bar.set_description_str(message, refresh=False)
        bar.update(100 * fraction - bar.n)
        if fraction >= 1:
            bar.close()

    return report
