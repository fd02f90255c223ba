"""A watchdog that cuts nothing, and keeps what it was asked to watch."""

from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any


@dataclass
class FakeSocket:
    """A connection's socket; `closed` counts how often it was closed."""

    connection: Any
    was_cut: bool = False
    closed: int = 0

    def close(self) -> None:
        """See WatchedSocket.close."""
        self.closed += 1


@dataclass
class FakeWatchdog:
    """A watchdog that keeps what it was asked to watch."""

    watched: list[tuple[FakeSocket, float]] = field(default_factory=list)

    def watch(self, socket: FakeSocket, seconds: float) -> Any:
        """See Watchdog.watch."""
        self.watched.append((socket, seconds))
        return nullcontext("watched")
