"""Writes what was measured: Markdown, JSON and a picture, each whole or not at all."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from segmamba.atomic import replacing
from segmamba.errors import UserError

_BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
#: Where a checkout keeps its results; None where the package is installed.
RESULTS = _BENCHMARKS / "results" if _BENCHMARKS.is_dir() else None


def folder_for(output: str | None) -> Path:
    """The folder to write to, made if need be.

    Raises:
        UserError: It cannot be made, or is a file.
    """
    folder = Path(output) if output is not None else RESULTS or Path()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"-o {folder} cannot be made ({error.strerror}); name another folder") from error
    return folder


def markdown_table(headings: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> list[str]:
    """Lines of a Markdown table; the columns in ``right`` are aligned to the right."""

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    marks = ["---:" if column in right else "---" for column in range(len(headings))]
    return [line(headings), line(marks), *(line(row) for row in rows)]


def write(
    folder: Path, stem: str, document: dict, lines: Sequence[str], draw: Callable[[dict, Path], None]
) -> list[Path]:
    """Writes ``stem``.md, .json and .png.

    Args:
        folder: Exists.
        stem: Of the three names.
        document: For JSON.
        lines: Of Markdown.
        draw: Draws the document into a file.

    Returns:
        The three paths.

    Raises:
        UserError: A file cannot be written.
    """
    paths = [folder / f"{stem}{suffix}" for suffix in (".md", ".json", ".png")]
    try:
        with replacing(paths[0]) as temporary:
            temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
        with replacing(paths[1]) as temporary:
            temporary.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        with replacing(paths[2], ".png") as temporary:
            draw(document, temporary)
    except OSError as error:
        raise UserError(f"{folder} cannot be written ({error.strerror}); name another folder with -o") from error
    return paths
