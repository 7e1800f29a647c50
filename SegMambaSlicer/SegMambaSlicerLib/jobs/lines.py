"""Lines of text from bytes that arrive in pieces."""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["LineReader", "from_qt"]

LIMIT = 16 * 1024 * 1024


class LineReader:
    """Puts lines together from pieces of a stream.

    Bytes that are no UTF-8 become the replacement character.  Empty lines are left out.  A line beyond ``limit`` bytes
    is dropped and replaced by a remark, so that a process that has lost its way cannot fill the memory.

    Args:
        limit: of a line, in bytes.
        returns: a carriage return ends a line too, as progress bars on standard error have it.
    """

    def __init__(self, limit: int = LIMIT, returns: bool = False) -> None:
        self._limit, self._returns = limit, returns
        self._pieces: list[bytes] = []
        self._length = 0

    def feed(self, data: bytes) -> Iterator[str]:
        """Yields the lines that are complete with ``data``; each byte is looked at once, however long the line."""
        if self._returns:
            data = data.replace(b"\r", b"\n")
        *complete, rest = data.split(b"\n")
        for piece in complete:
            self._add(piece)
            yield from self.end()
        self._add(rest)

    def end(self) -> Iterator[str]:
        """Yields what stands there without an end of line, and begins a new one."""
        pieces, length = self._pieces, self._length
        self._pieces, self._length = [], 0
        if length > self._limit:
            yield f"(a line of {length} bytes was left out)"
            return
        line = b"".join(pieces).decode("utf-8", errors="replace").strip("\r\0")
        if line.strip():
            yield line

    def _add(self, piece: bytes) -> None:
        self._length += len(piece)
        if self._length > self._limit:
            self._pieces.clear()
        elif piece:
            self._pieces.append(piece)


def from_qt(data: object) -> bytes:
    """The bytes of a QByteArray, which PythonQt's versions and PySide6 hand over in different ways."""
    if hasattr(data, "data"):
        data = data.data()
    if data is None:
        return b""
    return data.encode("utf-8", errors="replace") if isinstance(data, str) else bytes(data)
