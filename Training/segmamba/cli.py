"""The command ``segmamba``: parses, dispatches, and turns every outcome into an exit status.

Each sub-command is a file of ``segmamba.commands`` with ``add_parser`` and ``run``; heavy imports stand inside
``run``, so that ``segmamba --help`` answers at once.
"""

import argparse
import importlib
import logging
import os
import sys
import warnings
from collections.abc import Sequence

from segmamba import __version__
from segmamba.errors import UserError

COMMANDS = ("segment", "models", "data", "train", "evaluate", "export", "bench", "doctor", "demo")

_DESCRIPTION = "Mamba 3D segmentation of medical images: segment with a model, or train one."
_EPILOG = "Not a medical device. Exit status: 0 done, 2 wrong input, 1 a defect of the program, 130 interrupted."


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str):
        raise UserError(f"{message} (see {self.prog} --help)")


def make_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    parser = _Parser(prog="segmamba", description=_DESCRIPTION, epilog=_EPILOG, allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"segmamba {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name in COMMANDS:
        module = importlib.import_module(f"segmamba.commands.{name}")
        command = module.add_parser(commands)
        command.set_defaults(run=module.run)
        command.add_argument("-v", "--verbose", action="store_true", help="log more, and show libraries' warnings")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    try:
        options = make_parser().parse_args(arguments)
        _quieten(options)
        status = options.run(options) or 0
        sys.stdout.flush()  # here, where a reader that has gone can still be told from a defect
        return status
    except UserError as error:
        # One line, whatever a library's message that it quotes looks like.
        sys.stderr.write(f"segmamba: {' '.join(str(error).splitlines())}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("segmamba: interrupted\n")
        return 130
    except BrokenPipeError:
        # The reader of our output has gone (`segmamba models list | head`): nothing is left to say, at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _quieten(options: argparse.Namespace) -> None:
    level = logging.DEBUG if options.verbose else logging.INFO if options.command == "train" else logging.WARNING
    # Libraries may speak when something fails, or when asked to; what matters of their warnings we say ourselves.
    others = logging.WARNING if options.verbose else logging.ERROR
    logging.basicConfig(level=others, format="%(message)s", stream=sys.stderr)
    logging.getLogger("segmamba").setLevel(level)
    if not options.verbose:
        warnings.filterwarnings("ignore")  # libraries' own; ours go through logging


def entry() -> None:
    """The console script."""
    for stream in (sys.stdout, sys.stderr):
        # Names of labels and files may hold what the terminal's encoding does not: show it escaped, never fail.
        stream.reconfigure(errors="backslashreplace")
    sys.exit(main())


if __name__ == "__main__":
    entry()
