"""The log of one of the local cloud's functions, read as it grows."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

ARCHIVE = "logs"  # of all functions' logs, beside the report of a run that did not pass
ARCHIVE_FILE = f"{ARCHIVE}.tar.gz"


@dataclass(frozen=True)
class LogEntry:
    """One line of our own logging: its time in epoch seconds, its message and its fields."""

    at: float
    message: str
    fields: Mapping[str, Any]


class LogReader:
    """The reader of a function's log, of what is logged after this object was made."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._position = path.stat().st_size if path.exists() else 0
        self._entries: list[LogEntry] = []

    def read(self) -> list[LogEntry]:
        """Return all entries so far, in the order of their time: environments share one file."""
        if self._path.exists():
            with self._path.open("rb") as lines:
                lines.seek(self._position)
                for line in lines:
                    if not line.endswith(b"\n"):
                        break
                    self._position += len(line)
                    self._take(line)
        return sorted(self._entries, key=lambda entry: entry.at)

    def list_entries(self, message: str) -> list[LogEntry]:
        """Return the entries with this message."""
        return [entry for entry in self.read() if entry.message == message]

    def _take(self, line: bytes) -> None:
        try:
            fields = json.loads(line)
            at = datetime.fromisoformat(fields["timestamp"]).timestamp()
        except (ValueError, KeyError, TypeError):
            return  # a line of the runtime, or of another form
        self._entries.append(LogEntry(at, str(fields.get("message", "")), fields))
