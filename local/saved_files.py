"""The files of a folder tree that somebody has saved since the last look."""

import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

SETTLE_S = 0.05  # an editor may write a file in pieces: the same look twice, this long apart, is a whole file

# Size, time and inode: a file that is replaced by another of its size within one tick of the clock has another inode.
FileStamp = tuple[int, int, int]


@dataclass
class SavedFiles:
    """The files below some folders, or files named one by one. `sleep` waits for seconds."""

    places: Iterable[Path]
    sleep: Callable[[float], None] = time.sleep
    _seen: dict[Path, FileStamp] = field(init=False)

    def __post_init__(self) -> None:
        """Look at the files for the first time."""
        self._seen = self._read_stamps()

    def take_changes(self) -> list[Path]:
        """Return the files that were written, added or removed since the last call, once they change no more."""
        now = self._read_stamps()
        if now == self._seen:
            return []
        while True:
            self.sleep(SETTLE_S)
            before, now = now, self._read_stamps()
            if now == before:
                break
        seen, self._seen = self._seen, now
        return sorted(path for path in seen.keys() | now.keys() if seen.get(path) != now.get(path))

    def _read_stamps(self) -> dict[Path, FileStamp]:
        stamps: dict[Path, FileStamp] = {}
        for path in list_files(self.places):
            with suppress(OSError):  # removed since it was listed
                status = path.stat()
                stamps[path] = (status.st_size, status.st_mtime_ns, status.st_ino)
        return stamps


def list_files(places: Iterable[Path]) -> Iterator[Path]:
    """Yield all files of the places, but bytecode and what editors keep beside a file."""
    for place in places:
        if not place.is_dir():
            yield place
            continue
        for folder, folders, names in os.walk(place):
            folders[:] = [name for name in folders if name != "__pycache__" and not name.startswith(".")]
            yield from (Path(folder, name) for name in names if not is_of_an_editor(name))


def is_of_an_editor(name: str) -> bool:
    """Return whether a name is one under which editors keep backups and drafts."""
    return name.startswith((".", "#")) or name.endswith(("~", ".swp", ".tmp", ".bak", ".orig"))
