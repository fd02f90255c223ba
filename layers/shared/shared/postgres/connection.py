"""The one connection of an execution environment: made when needed, checked after a pause, replaced with age.

No pool: a frozen environment would freeze its threads, and the fleet's connections are the proxy's to share.
"""

import logging
import random
from collections.abc import Callable
from typing import Any

import psycopg
from psycopg.rows import dict_row

from shared.postgres.transaction import Row
from shared.settings import Settings

# A statement that fails inside a pipeline makes psycopg warn that its end failed too: we have raised the first.
logging.getLogger("psycopg").setLevel(logging.ERROR)

Connection = psycopg.Connection[Row]

# Under RDS Proxy a prepared statement or a startup option pins the session or is refused, so: neither.
_WIRE: dict[str, Any] = {"autocommit": True, "prepare_threshold": None, "row_factory": dict_row}

# Both or neither: on a silently cut line either alone hung for over 25 s, together 3 s.
_KEEPALIVES = {"keepalives_idle": 2, "keepalives_interval": 1, "keepalives_count": 2, "tcp_user_timeout": 3000}

LIFETIME_JITTER = 0.1  # environments started together must not reconnect together
CHECK_AFTER_IDLE_S = 2.0  # a frozen environment wakes after longer gaps; busy ones skip the round trip


def connect_arguments(settings: Settings, password: str | None) -> dict[str, Any]:
    """What psycopg.connect takes: whole seconds of timeout (libpq's least is 2), TLS against the system's roots."""
    arguments: dict[str, Any] = {
        "host": settings.db_host,
        "port": settings.db_port,
        "dbname": settings.db_name,
        "user": settings.db_user,
        "sslmode": settings.db_sslmode,
        "connect_timeout": max(2, round(settings.db_connect_timeout)),
        **_KEEPALIVES,
        **_WIRE,
    }
    if settings.db_sslmode == "verify-full":
        arguments["sslrootcert"] = "system"
    if password is not None:
        arguments["password"] = password
    return arguments


def connect(settings: Settings, password: str | None) -> Connection:
    """A new connection. Raises psycopg.OperationalError."""
    connection: Connection = psycopg.connect(**connect_arguments(settings, password))
    return connection


class Connector:
    """Hands out the environment's connection."""

    def __init__(
        self,
        connect: Callable[[], Connection],
        *,
        idle_timeout_s: float,
        max_lifetime_s: float,
        clock: Callable[[], float],
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._connect = connect
        self._idle_timeout_s = idle_timeout_s
        self._max_lifetime_s = max_lifetime_s
        self._clock = clock
        self._uniform = uniform
        self._connection: Connection | None = None
        self._expires = 0.0
        self._last_used = 0.0

    def borrow(self) -> Connection:
        """An open connection. Raises psycopg.OperationalError where none is to be had."""
        now = self._clock()
        connection = self._usable(now)
        if connection is None:
            self.drop()
            connection = self._connection = self._connect()
            self._expires = now + self._max_lifetime_s * self._uniform(1 - LIFETIME_JITTER, 1)
        self._last_used = self._clock()
        return connection

    def give_back(self) -> None:
        """Note that the connection is idle from now."""
        self._last_used = self._clock()

    def drop(self) -> None:
        """Close the connection, if there is one; the next borrow makes a new one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _usable(self, now: float) -> Connection | None:
        connection, idle = self._connection, now - self._last_used
        if connection is None or connection.closed or now >= self._expires or idle >= self._idle_timeout_s:
            return None
        if idle >= CHECK_AFTER_IDLE_S and not _answers(connection):
            return None
        return connection


def _answers(connection: Connection) -> bool:
    try:
        connection.execute("SELECT 1")
    except psycopg.Error:
        return False
    return True
