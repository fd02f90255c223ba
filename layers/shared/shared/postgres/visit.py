"""One read on a connection of its own, which another thread may cut short.

For who asks whether the database answers at all: a stopped server accepts connections, acknowledges what is sent,
and says nothing, so neither keepalives nor a statement timeout end the wait. Cutting the line here does.
"""

import os
import socket
from collections.abc import Callable
from contextlib import suppress
from threading import Lock
from typing import TypeVar

import psycopg

from shared.clock import monotonic
from shared.postgres.connection import Connection, Connector
from shared.postgres.database import Database, UseCase
from shared.resilience.backoff import Backoff
from shared.resilience.deadline import Deadline

T = TypeVar("T")

ONCE = Backoff(retries=0)
NEVER_S = float("inf")


class Visit:
    """Connects, asks once, and leaves. Make a new one for each visit."""

    def __init__(self, connect: Callable[[], Connection]) -> None:
        self._connect = connect
        self._lock = Lock()
        self._line: socket.socket | None = None
        self._over = False

    def ask(self, use_case: UseCase[T], deadline: Deadline) -> T:
        """What the use case reads. Raises Unavailable, psycopg.Error."""
        connector = Connector(self._dial, idle_timeout_s=NEVER_S, max_lifetime_s=NEVER_S, clock=monotonic)
        try:
            return Database(connector, backoff=ONCE).run(use_case, deadline).value
        finally:
            connector.drop()
            self._hang_up()

    def cut(self) -> None:
        """End a visit under way, from any thread: `ask` raises Unavailable, at once or when it has connected."""
        with self._lock:
            self._over = True
            if self._line is not None:
                with suppress(OSError):  # the server may have closed it first
                    self._line.shutdown(socket.SHUT_RDWR)

    def _dial(self) -> Connection:
        connection = self._connect()
        with self._lock:
            if self._over:
                connection.close()
                raise psycopg.OperationalError("cut before it was connected")
            # A duplicate: the number of the connection's own descriptor may be another's by the time it is cut.
            self._line = socket.socket(fileno=os.dup(connection.fileno()))
        return connection

    def _hang_up(self) -> None:
        with self._lock:
            if self._line is not None:
                self._line.close()
                self._line = None
