"""A function's log file: whole lines of its environments, and one JSON line for each invocation."""

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

LONGEST_LINE = 1024 * 1024  # bytes kept while waiting for the end of a line


class FunctionLog:
    """A log that is appended to one file; every write is whole lines, so environments' lines never mix."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def write(self, lines: bytes) -> None:
        """Append whole lines."""
        os.write(self._file, lines)

    def record(self, kind: str, **fields: object) -> None:
        """Append one JSON line of a type of Lambda's JSON log format (`platform.report`)."""
        line = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "type": f"platform.{kind}",
            "record": fields,
        }
        self.write(json.dumps(line).encode() + b"\n")

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


class LineSplitter:
    """A splitter of a stream into whole lines for `sink`."""

    def __init__(self, sink: Callable[[bytes], None]) -> None:
        self._sink = sink
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """Pass on complete lines. Carriage returns end lines too: the runtime client puts them into tracebacks."""
        whole, newline, rest = (self._rest + data.replace(b"\r", b"\n")).rpartition(b"\n")
        if newline:
            self._sink(whole + newline)
        self._rest = rest
        if len(self._rest) > LONGEST_LINE:
            self.flush()

    def flush(self) -> None:
        """Pass on an incomplete line as a line."""
        if self._rest:
            self._sink(self._rest + b"\n")
            self._rest = b""
