"""A watchdog that cuts connections which have been waited on for too long.

A stopped server, or a proxy that has lost its server, accepts and acknowledges data and never answers: neither
keepalives nor the server's statement timeout end such a wait. Shutting down the socket on this side does.
"""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Condition, Lock, Thread

import psycopg

from shared.clock import read_monotonic
from shared.database.transaction import Row

FOREVER = float("inf")


class WatchedSocket:
    """The socket of a connection."""

    def __init__(self, connection: psycopg.Connection[Row]) -> None:
        # A duplicate, since the connection's own descriptor number may belong to something else when it is cut.
        self._socket = socket.socket(fileno=os.dup(connection.fileno()))
        self._lock = Lock()
        self._open = True
        self.was_cut = False

    def cut(self) -> None:
        """End what the connection waits for, from any thread: it fails with a psycopg.OperationalError."""
        with self._lock:
            self.was_cut = True
            if self._open:
                with suppress(OSError):  # the server may have closed it already
                    self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close this handle; the connection itself stays open."""
        with self._lock:
            self._open = False
            self._socket.close()


class Watchdog:
    """The watch over sockets: it cuts those that are waited on for too long.

    Its one thread starts on first use and wakes only for that.
    """

    def __init__(self, clock: Callable[[], float] = read_monotonic) -> None:
        self._clock = clock
        self._changed = Condition()
        self._watched: dict[WatchedSocket, float] = {}
        self._wakes_at = FOREVER
        self._thread: Thread | None = None

    @contextmanager
    def watch(self, watched: WatchedSocket, seconds: float) -> Iterator[None]:
        """Cut the socket if the block takes longer than `seconds`."""
        self._add(watched, self._clock() + seconds)
        try:
            yield
        finally:
            with self._changed:
                self._watched.pop(watched, None)

    def _add(self, watched: WatchedSocket, until: float) -> None:
        with self._changed:
            self._watched[watched] = until
            if self._thread is None:
                self._thread = Thread(target=self._run, name="watchdog", daemon=True)
                self._thread.start()
            # Waking the thread costs more than a round trip over loopback, so it is not woken if it wakes in time
            # anyway.
            elif until < self._wakes_at:
                self._changed.notify()

    def _run(self) -> None:
        with self._changed:
            while True:
                self._cut_late_sockets()
                self._wakes_at = min(self._watched.values(), default=FOREVER)
                self._changed.wait(None if self._wakes_at == FOREVER else self._wakes_at - self._clock())

    def _cut_late_sockets(self) -> None:
        now = self._clock()
        for watched in [watched for watched, until in self._watched.items() if until <= now]:
            watched.cut()
            del self._watched[watched]


WATCHDOG = Watchdog()
