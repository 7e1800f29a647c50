"""Kernels that are compiled once per machine and kept in numba's cache, until any of their sources changes."""

import logging
import zlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TypeVar

T = TypeVar("T")
_log = logging.getLogger(__name__)


def kept(build: Callable[[int, bool], T], what: str, *modules: ModuleType) -> T:
    """What ``build(salt, cache)`` makes: functions under ``numba.njit(cache=cache)``.

    Args:
        build: Its functions must use ``salt``, a variable of their closure: that enters the key of numba's cache, which
            by itself looks at the file that defines them and not at what they call.
        what: What is compiled, for the log.
        modules: Those whose sources the functions are compiled from, besides their own.
    """
    try:
        salt = 0
        for module in modules:
            salt = zlib.crc32(Path(module.__file__).read_bytes(), salt)
        return build(salt or 1, True)
    except (RuntimeError, OSError) as error:
        # numba finds no folder that it may write, or the sources are not files: compile anew in every process.
        _log.info("numba cannot keep the compiled %s (%s); it is compiled anew by every process", what, error)
        return build(1, False)
