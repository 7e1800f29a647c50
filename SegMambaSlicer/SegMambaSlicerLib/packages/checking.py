"""Whether what was installed can be imported, tried in a process of its own."""

import logging
import os
import subprocess
import sys

from segmamba.errors import UserError
from SegMambaSlicerLib.packages.place import python
from SegMambaSlicerLib.packages.text import _

logger = logging.getLogger(__name__)

_SECONDS = 300  # the first import of PyTorch reads gigabytes, from slow disks under a virus scanner
# Each by itself, so that the message names the one that fails.
_PROGRAM = """
import importlib, sys
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except Exception as error:
        sys.exit(f"{name}: {type(error).__name__}: {error}")
"""


def check_imports(names: list[str]) -> None:
    """Imports the packages in another process.

    Raises:
        UserError: one of them is installed and cannot be imported.
    """
    options = {"creationflags": subprocess.CREATE_NO_WINDOW} if sys.platform == "win32" else {}
    try:
        done = subprocess.run(
            [*python(), "-c", _PROGRAM, *names],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            env={**os.environ, "PYTHONIOENCODING": "utf-8"},
            **options,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        logger.exception("the packages cannot be tried")
        raise UserError(
            _("Python cannot be started to try the installed packages ({error}): restart Slicer").format(error=error)
        ) from error
    if done.returncode:
        logger.error("%s", done.stderr)
        reason = (done.stderr.strip().splitlines() or [_("it gave no reason")])[-1]
        raise UserError(
            _("A package is installed and cannot be imported ({reason}): restart Slicer, or install it anew").format(
                reason=reason
            )
        )
