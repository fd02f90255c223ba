"""The one connection of an execution environment: opened when needed, checked after a pause, replaced by age.

There is no pool: a frozen environment would freeze the pool's threads, and sharing connections among environments is
the proxy's task.
"""

import logging
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

from shared.crash_points import crash_point
from shared.database.transaction import Row
from shared.database.watchdog import WATCHDOG, WatchedSocket
from shared.errors import DeadlineExceeded
from shared.settings import Settings

# After a failed statement in a pipeline psycopg also warns that the pipeline's end failed; the first error is raised.
logging.getLogger("psycopg").setLevel(logging.ERROR)

Connection = psycopg.Connection[Row]
Connect = Callable[[float], Connection]  # takes the seconds allowed
# Receives the name of an event and its facts, none of them personal or secret:
#   database_connect_failed {error, reason}  psycopg's class, and what libpq and the server said
Observer = Callable[[str, Mapping[str, object]], None]

# Root certificates that ship with the layer, by tools/root_certificates.py. Named explicitly, because libpq's
# `sslrootcert=system` is where its OpenSSL was built to look: for psycopg's wheels a folder that exists nowhere.
ROOTS = Path(__file__).with_name("roots")
REASON_CHARACTERS = 1000  # of what libpq says; it says it once for each address of the host

# RDS Proxy pins the session of a prepared statement and rejects startup options, so neither is used.
_SESSION_OPTIONS: dict[str, Any] = {"autocommit": True, "prepare_threshold": None, "row_factory": dict_row}

# Both are needed: on a silently cut connection either one alone took over 25 s to notice, both together 3 s.
_KEEPALIVES = {"keepalives_idle": 2, "keepalives_interval": 1, "keepalives_count": 2, "tcp_user_timeout": 3000}

LEAST_CONNECT_S = 2.0  # libpq's minimum
LIFETIME_JITTER = 0.1  # environments started at the same time must not reconnect at the same time
CHECK_AFTER_IDLE_S = 2.0  # frozen environments wake after longer gaps; busy ones skip the check
CHECK_S = 1.0  # a server that takes longer to answer SELECT 1 counts as down; a new connection soon shows whether it is


def build_connect_arguments(settings: Settings, password: str | None, *, within_s: float = 3600) -> dict[str, Any]:
    """Return the arguments of psycopg.connect: timeout in whole seconds, TLS verified by the roots of the settings."""
    timeout_s = max(LEAST_CONNECT_S, min(settings.db_connect_timeout, within_s))
    arguments: dict[str, Any] = {
        "host": settings.db_host,
        "port": settings.db_port,
        "dbname": settings.db_name,
        "user": settings.db_user,
        "sslmode": settings.db_sslmode,
        "connect_timeout": int(timeout_s),
        **_KEEPALIVES,
        **_SESSION_OPTIONS,
    }
    if settings.db_sslmode == "verify-full":
        arguments["sslrootcert"] = str(find_root_certificates(settings))
    if password is not None:
        arguments["password"] = password
    return arguments


def find_root_certificates(settings: Settings) -> Path:
    """Return the file of root certificates that the server's certificate has to chain to."""
    if settings.db_sslrootcert == "rds":
        return ROOTS / f"rds-{settings.aws_region}.pem"
    if settings.db_sslrootcert == "rds-proxy":
        return ROOTS / "rds-proxy.pem"
    return Path(settings.db_sslrootcert)


def ignore(_event: str, _facts: Mapping[str, object]) -> None:
    """Observe nothing."""


def connect(settings: Settings, password: str | None, within_s: float, observer: Observer = ignore) -> Connection:
    """Return a new connection, opened within `within_s` seconds. Raise psycopg.OperationalError, DeadlineExceeded."""
    if within_s < LEAST_CONNECT_S:
        raise DeadlineExceeded("database")
    with report_connect_failure(observer, redact=password):
        connection: Connection = psycopg.connect(**build_connect_arguments(settings, password, within_s=within_s))
    return connection


@contextmanager
def report_connect_failure(observer: Observer, *, redact: str | None) -> Iterator[None]:
    """Report to the observer why no connection was made within the block, and raise the error again.

    While connecting there is no SQLSTATE and no statement. Only the message tells an operator what is wrong; it names
    hosts, roles and certificates. `redact` is the password, which is replaced in it.
    """
    try:
        yield
    except psycopg.OperationalError as error:
        reason = str(error)
        if redact:
            reason = reason.replace(redact, "***")  # libpq quotes no password; this guards against a change of that
        observer("database_connect_failed", {"error": type(error).__name__, "reason": reason[:REASON_CHARACTERS]})
        raise


@dataclass(frozen=True, slots=True)
class _OpenConnection:
    """A connection, its socket, and the time at which it is too old."""

    connection: Connection
    socket: WatchedSocket
    expires: float

    def close(self) -> None:
        self.socket.close()
        self.connection.close()


class ConnectionHolder:
    """The holder of the environment's connection, which gives it to one transaction at a time."""

    def __init__(
        self,
        connect: Connect,
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
        self._current: _OpenConnection | None = None
        self._last_used = 0.0

    def borrow(self, within_s: float) -> Connection:
        """Return an open connection. Raise psycopg.OperationalError if none can be opened."""
        current = self._find_usable(self._clock())
        if current is None:
            self.drop()
            current = self._current = self._open(within_s)
        self._last_used = self._clock()
        return current.connection

    def _open(self, within_s: float) -> _OpenConnection:
        crash_point("database.connecting")
        connection = self._connect(within_s)
        crash_point("database.connected")
        lifetime_s = self._max_lifetime_s * self._uniform(1 - LIFETIME_JITTER, 1)
        return _OpenConnection(connection, WatchedSocket(connection), self._clock() + lifetime_s)

    def limit_waiting(self, seconds: float) -> AbstractContextManager[None]:
        """Return a context manager that cuts the borrowed connection if its block takes longer than that."""
        return WATCHDOG.watch(self._current.socket, seconds) if self._current else nullcontext()

    def return_connection(self) -> None:
        """Note that the connection is idle from now on."""
        self._last_used = self._clock()

    def drop(self) -> None:
        """Close the connection, if there is one; the next `borrow` opens a new one."""
        if self._current is not None:
            self._current.close()
            self._current = None

    def _find_usable(self, now: float) -> _OpenConnection | None:
        current, idle = self._current, now - self._last_used
        if current is None or current.connection.closed or current.socket.was_cut:
            return None
        if now >= current.expires or idle >= self._idle_timeout_s:
            return None
        return None if idle >= CHECK_AFTER_IDLE_S and not _is_answering(current) else current


def _is_answering(current: _OpenConnection) -> bool:
    try:
        with WATCHDOG.watch(current.socket, CHECK_S):
            current.connection.execute("SELECT 1")
    except psycopg.Error:
        return False
    return True
