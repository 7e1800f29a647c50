"""Kernels that are compiled once per machine and kept, until any of their sources changes.

A process that finds its kernels kept does not import numba: it has llvmlite put their machine code into memory, which
takes milliseconds.
"""

import ctypes
import hashlib
import importlib.metadata
import importlib.util
import logging
import os
import struct
import threading
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace

import llvmlite
import llvmlite.binding as llvm

from segmamba.native import kernel_files, object_code

_log = logging.getLogger(__name__)

# numba's settings change the code that it makes, but for these.
_NO_MATTER = {
    "NUMBA_CACHE_DIR", "NUMBA_CACHE_LOCATOR_CLASSES", "NUMBA_NUM_THREADS", "NUMBA_THREADING_LAYER",
    "NUMBA_THREADING_LAYER_PRIORITY", "NUMBA_DEBUG_CACHE", "NUMBA_WARNINGS", "NUMBA_DISABLE_PERFORMANCE_WARNINGS",
}  # fmt: skip

_loaded: dict[tuple[str, Path | None], SimpleNamespace] = {}
_lock = threading.RLock()


def _hold() -> None:
    # A fork waits for a thread that is compiling, or the child would inherit LLVM's own lock, held by nobody.
    _lock.acquire()


def _release() -> None:
    _lock.release()


def _renew() -> None:
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_hold, after_in_parent=_release, after_in_child=_renew)


def native(what: str, entries: str, sources: Iterable[str] = (), folder: Path | None = None) -> SimpleNamespace:
    """Compiled kernels, from memory, from the kept machine code, or else, with numba, from Python.

    Args:
        what: What is compiled, for the log and the files' names: a word.
        entries: The name of a module with a tuple ``ENTRIES`` of Python functions of one argument ``p``, a pointer to
            int64 (in numba ``CPointer(int64)``), that return nothing, raise nothing and allocate nothing.  It is
            imported only where nothing is kept.
        sources: Names of further modules that the code depends on.  They are read, not imported.
        folder: Where the machine code is kept, instead of ``kernel_files.default_folder()``.

    Returns:
        For each entry, under its name, a ``Kernel``: a function of any number of integers (sizes, flags, addresses of
        memory) that calls the entry with a pointer to them, without the interpreter lock.

    Raises:
        ImportError: llvmlite is missing; or nothing is kept and numba is missing.
        RuntimeError: An entry cannot be kept as machine code.
    """
    found = _loaded.get((entries, folder))
    if found is None:
        with _lock:
            found = _loaded.get((entries, folder))
            if found is None:
                found = _loaded[entries, folder] = _load(what, entries, (entries, *sources), folder)
    return found


def _load(what: str, entries: str, sources: Iterable[str], folder: Path | None) -> SimpleNamespace:
    where = kernel_files.default_folder() if folder is None else folder
    try:
        key = _key(sources)
    except OSError as error:
        _log.info("the %s cannot be kept without its source (%s); every process compiles anew", what, error)
        return _callables(object_code.load(*object_code.compile_entries(entries)))
    kept = kernel_files.read(where, what, key)
    if kept is not None:
        try:
            return _callables(object_code.load(*kept))
        except LookupError as error:
            _log.info("the %s kept in %s does not fit this process: %s", what, where, error)
    _log.info("compiling the %s for this processor; this happens once", what)
    names, code = object_code.compile_entries(entries)
    try:
        kernel_files.write(where, what, key, names, code)
    except OSError as error:
        _log.info("the compiled %s cannot be kept in %s (%s); every process compiles anew", what, where, error)
    return _callables(object_code.load(names, code))


def _key(sources: Iterable[str]) -> str:
    """A digest of all that the machine code depends on.

    Raises:
        OSError: A source is not a file.
    """
    digest = hashlib.sha256()

    def add(*values: str | bytes) -> None:
        for value in values:
            data = value.encode() if isinstance(value, str) else value
            digest.update(struct.pack("<Q", len(data)) + data)

    for name in (*sources, object_code.__name__):
        add(name, _source(name).read_bytes())
    # By its metadata, because numba is not to be imported.
    add(importlib.metadata.version("numba"), llvmlite.__version__)
    add(llvm.get_process_triple(), llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten())
    add(*(f"{name}={os.environ[name]}" for name in sorted(os.environ) if _matters(name)))
    return digest.hexdigest()


def _matters(variable: str) -> bool:
    return variable.startswith("NUMBA_") and variable not in _NO_MATTER


def _source(module: str) -> Path:
    specification = importlib.util.find_spec(module)
    if specification is None or specification.origin is None:
        raise FileNotFoundError(f"no file of module {module}")
    return Path(specification.origin)


def _callables(addresses: dict[str, int]) -> SimpleNamespace:
    return SimpleNamespace(**{name: Kernel(name, address) for name, address in addresses.items()})


class Kernel:
    """A function of compiled code: called with integers, or packed with them for ``threads.run``."""

    def __init__(self, name: str, address: int) -> None:
        self.__name__, self.address = name, address
        self._function = ctypes.CFUNCTYPE(None, ctypes.c_char_p)(address)

    def __call__(self, *integers: int) -> None:
        # Five times as fast as an array of ctypes; and what is no integer raises struct.error.
        self._function(struct.pack(f"{len(integers)}q", *integers))

    def packed(self, *integers: int) -> tuple["Kernel", bytes]:
        """The call, to be made later."""
        return self, struct.pack(f"{len(integers)}q", *integers)

    def call(self, integers: bytes) -> None:
        """A packed call."""
        self._function(integers)
