"""Accumulators of the sliding window: a ring of planes, in memory while small, else in an unlinked temporary file."""

from __future__ import annotations

import logging
import shutil
import tempfile

import numpy as np
import torch

from segmamba.errors import UserError

log = logging.getLogger(__name__)

# One read or write of the file store.  Small against any volume for which the store is chosen.
_CHUNK_BYTES = 1 << 20
# Rows shorter than this are cheaper to read in whole-width blocks than one call each.
_ROW_BYTES = 1 << 14


class MemoryRing:
    """Sums of probabilities for the planes that a window can still touch, as one tensor.

    Args:
        shape: (depth, height, width, classes); plane ``z`` of the volume lives in slot ``z % depth``.
        device: Where the tensor lives, which is where the windows are computed.
    """

    def __init__(self, shape: tuple[int, int, int, int], device: torch.device) -> None:
        self.depth, self.height, self.width, self.classes = shape
        self.device = device
        self._sums = torch.zeros(shape, dtype=torch.float32, device=device)

    def add(self, start: tuple[int, int, int], values: torch.Tensor) -> None:
        """Adds a window's values (d, h, w, classes) at the volume's voxel ``start``."""
        z, y, x = start
        depth, height, width, _ = values.shape
        done = 0
        while done < depth:
            slot = (z + done) % self.depth
            count = min(depth - done, self.depth - slot)
            target = self._sums[slot : slot + count, y : y + height, x : x + width]
            target += values[done : done + count].to(self.device)
            done += count

    def read(self, plane: int, top: int, bottom: int) -> torch.Tensor:
        """Rows top to bottom of a plane: (rows, width, classes), a view that the caller must not change."""
        return self._sums[plane % self.depth, top:bottom]

    def clear(self, plane: int) -> None:
        """Sets a plane's slot to zero for its next tenant."""
        self._sums[plane % self.depth].zero_()

    def close(self) -> None:
        """Gives the memory back."""
        self._sums = torch.empty(0)


class FileRing:
    """The same ring in an unlinked temporary file, through reads and writes of at most a megabyte.

    Explicit reads and writes rather than a memory map: pages of a map count in the process's resident memory until
    they are dropped, which Windows and macOS do not do on demand, and a full disk is an error here, not a signal
    that kills the process.

    Args:
        shape: As for :class:`MemoryRing`.
        device: Where :meth:`read` puts the rows: finishing them is quicker where the network runs.

    Raises:
        UserError: The folder for temporary files has no room.
    """

    def __init__(self, shape: tuple[int, int, int, int], device: torch.device) -> None:
        self.device = device
        self.depth, self.height, self.width, self.classes = shape
        self._row_bytes = 4 * self.width * self.classes
        self._plane_bytes = self.height * self._row_bytes
        size = self.depth * self._plane_bytes
        folder = tempfile.gettempdir()
        self._size = size
        if shutil.disk_usage(folder).free < size:
            raise _no_room(folder, size)
        try:
            self._file = tempfile.TemporaryFile(prefix="segmamba-", buffering=0)  # noqa: SIM115
        except OSError as error:
            raise _no_room(folder, size, error) from error
        try:
            self._file.truncate(size)
        except OSError as error:
            self._file.close()
            raise _no_room(folder, size, error) from error
        self._rows = max(1, min(self.height, _CHUNK_BYTES // self._row_bytes))
        log.debug("the sliding window keeps %.0f MB in a temporary file in %s", size / 1e6, folder)

    def add(self, start: tuple[int, int, int], values: torch.Tensor) -> None:
        """Adds a window's values (d, h, w, classes) at the volume's voxel ``start``."""
        z, y, x = start
        values = values.cpu().numpy()
        depth, height, width, classes = values.shape
        by_row = width < self.width and 4 * width * classes >= _ROW_BYTES
        shape = (1, width, classes) if by_row else (self._rows, self.width, classes)
        buffer = np.empty(shape, dtype=np.float32)
        inside = slice(None) if by_row else slice(x, x + width)
        for d in range(depth):
            base = ((z + d) % self.depth) * self._plane_bytes
            for top in range(0, height, shape[0]):
                rows = buffer[: min(shape[0], height - top)]
                offset = base + (y + top) * self._row_bytes + (4 * x * classes if by_row else 0)
                self._read(offset, rows)
                rows[:, inside] += values[d, top : top + len(rows)]
                self._write(offset, rows)

    def read(self, plane: int, top: int, bottom: int) -> torch.Tensor:
        """Rows top to bottom of a plane: (rows, width, classes)."""
        rows = np.empty((bottom - top, self.width, self.classes), dtype=np.float32)
        self._read((plane % self.depth) * self._plane_bytes + top * self._row_bytes, rows)
        return torch.from_numpy(rows).to(self.device)

    def clear(self, plane: int) -> None:
        """Sets a plane's slot to zero for its next tenant."""
        zeros = np.zeros((self._rows, self.width, self.classes), dtype=np.float32)
        base = (plane % self.depth) * self._plane_bytes
        for top in range(0, self.height, self._rows):
            self._write(base + top * self._row_bytes, zeros[: self.height - top])

    def close(self) -> None:
        """Closes the file, which has no name and so is gone."""
        self._file.close()

    def _read(self, offset: int, rows: np.ndarray) -> None:
        view = memoryview(rows).cast("B")
        self._file.seek(offset)
        while len(view):
            count = self._file.readinto(view)
            if not count:
                raise OSError("the temporary file of the sliding window ended early")
            view = view[count:]

    def _write(self, offset: int, rows: np.ndarray) -> None:
        view = memoryview(rows).cast("B")
        try:
            self._file.seek(offset)
            while len(view):
                view = view[self._file.write(view) :]
        except OSError as error:
            raise _no_room(tempfile.gettempdir(), self._size, error) from error


def _no_room(folder: str, size: int, error: OSError | None = None) -> UserError:
    reason = f" ({error.strerror})" if error is not None and error.strerror else ""
    return UserError(
        f"the folder for temporary files, {folder}, has no room for {size / 1e9:.1f} GB of intermediate results"
        f"{reason}; free space there, or set TMPDIR (TEMP on Windows) to a larger folder"
    )
