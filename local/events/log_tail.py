"""A log file, followed from its present end."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from local.runtime.logs import LineSplitter

CHUNK = 256 * 1024


class LogTail:
    """A reader of whole lines for `sink`: those after the file's present end, and all of a file that replaces it.

    A file that was moved away is read to its end before the new one; a truncated file is read from its start.
    """

    def __init__(self, path: Path, sink: Callable[[bytes], None]) -> None:
        self._path = path
        self._lines = LineSplitter(sink)
        self._file = _open_log(path)
        if self._file:
            self._file.seek(0, os.SEEK_END)

    def read_new(self) -> bool:
        """Pass on new lines; return whether there may be more at once."""
        data = self._read_chunk()
        if not data and self._open_replacement():
            data = self._read_chunk()
        if data:
            self._lines.feed(data)
        return len(data) == CHUNK

    def _read_chunk(self) -> bytes:
        return self._file.read(CHUNK) if self._file else b""

    def _open_replacement(self) -> bool:
        """Return whether there is another file to read, or this one from its start; open it."""
        if self._file:
            seen = os.fstat(self._file.fileno())
            if seen.st_size < self._file.tell():
                self._lines.flush()
                self._file.seek(0)
                return True
            if not _is_replaced(self._path, seen):
                return False
            self._file.close()
        self._lines.flush()
        self._file = _open_log(self._path)
        return self._file is not None


def _open_log(path: Path) -> BinaryIO | None:
    try:
        return path.open("rb", buffering=0)
    except OSError:
        return None


def _is_replaced(path: Path, seen: os.stat_result) -> bool:
    try:
        return not os.path.samestat(path.stat(), seen)
    except OSError:  # moved away and not yet replaced: its writer may still append
        return False
