"""Plain-SQL migrations, applied in order, each in its own transaction; safe to repeat and to run concurrently.

    python -m shared.database.migrate DIRECTORY "host=… dbname=… user=…" CONNECTION_LIMIT

CONNECTION_LIMIT is the number of connections of all functions together: each function's role gets it as its CONNECTION
LIMIT, and the database gets it plus OTHER_SESSIONS. Each role gets the whole number, so that a burst on one function
may use all connections; RDS Proxy limits their sum over all roles (docs/decisions/0028).

A schema changes in two releases: the first one expands it, a later one contracts it. Code that is still running must
find what it needs in the new schema.

All runs take turns: each transaction first locks the ledger. So do the runs of earlier releases, and it works behind a
proxy that gives each transaction another session. A run that dies frees the lock, since the server ends its session.
"""

import hashlib
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, LiteralString, cast

import psycopg
from psycopg import sql
from psycopg.rows import tuple_row

from shared.clock import read_monotonic
from shared.crash_points import crash_point
from shared.database.connection import Observer, ignore, report_connect_failure
from shared.database.errors import is_retryable
from shared.database.migration_errors import (
    DatabaseNotReached,
    MigrationChecksumMismatch,
    MigrationError,
    MigrationTimedOut,
    StatementFailed,
    describe_connect_error,
    describe_database_error,
)
from shared.database.watchdog import WATCHDOG, WatchedSocket

# The limit of a run that is given none: Lambda's longest invocation, less the time for the answer.
WITHIN_S = 840.0
# While a migration waits for a table's lock, every later statement on that table waits behind it. So it waits for less
# time than a call may take, then lets the others go first, and tries again until its time is up.
LOCK_WAIT_S = 5.0
LOCK_PAUSE_S = 2.0
# The pause between attempts to connect. A refused sign-in is repeated for a shorter time than a connection that finds
# no server: the only refusal that ends by itself is that a new role's policy has not reached all of IAM yet.
CONNECT_PAUSE_S = 5.0
REFUSED_S = 60.0
# With these the server ends a run whose process is gone: during a statement, and between two statements.
CLIENT_CHECK_S = 2.0
IDLE_S = 30.0

# Sessions beyond those of the functions' roles: one of the operations function, which connects as the owner, and one of
# a person. Three more are for workers of autovacuum, which older minor releases of PostgreSQL count in a database's
# limit (docs/decisions/0028).
OTHER_SESSIONS = 5

# The functions' roles whose limit differs. Leave out the role that created their group: it is a member with the ADMIN
# option, only to administer the group, and no function uses it.
_SELECT_ROLES_WITH_OTHER_LIMIT = """
SELECT r.rolname FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid JOIN pg_roles r ON r.oid = m.member
WHERE g.rolname = 'interdomestik_functions' AND NOT m.admin_option AND r.rolconnlimit <> %s
ORDER BY r.rolname"""
# Each function's role, and whether it is a member of rds_iam; no rows if the server has no such role.
_SELECT_IAM_MEMBERSHIPS = """
SELECT r.rolname, pg_has_role(r.oid, i.oid, 'MEMBER')
FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid JOIN pg_roles r ON r.oid = m.member, pg_roles i
WHERE g.rolname = 'interdomestik_functions' AND NOT m.admin_option AND i.rolname = 'rds_iam'
ORDER BY r.rolname"""
# This database, if its limit differs.
_SELECT_DATABASE_WITH_OTHER_LIMIT = """
SELECT datname FROM pg_database WHERE datname = current_database() AND datconnlimit <> %s"""

_CREATE_LEDGER = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    version text PRIMARY KEY,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)"""

# IF NOT EXISTS takes no lock: of two concurrent runs one may find the table, or its row type, created by the other.
_CREATED_CONCURRENTLY = (
    psycopg.errors.UniqueViolation,
    psycopg.errors.DuplicateTable,
    psycopg.errors.DuplicateObject,
)

# The line of a comment in a migration that states the checksum of an earlier version of the file.
_FORMER_CHECKSUM = re.compile(r"^-- Formerly: ([0-9a-f]{64})\b", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Migration:
    """One file, `NNNN_name.sql`."""

    version: str
    sql: str

    @property
    def checksum(self) -> str:
        """Return the SHA-256 of the text, as hex."""
        return hashlib.sha256(self.sql.encode()).hexdigest()

    @property
    def former_checksums(self) -> list[str]:
        """Return the checksums of earlier versions of this file.

        With the settings that `migrate` makes afterwards, a database that applied one of them must be like one that
        applied this version. Whoever changes an applied file ensures that; nothing checks it.
        """
        return _FORMER_CHECKSUM.findall(self.sql)


def read_migrations(directory: Path) -> list[Migration]:
    """Return the migrations of a directory, oldest first."""
    return [Migration(path.stem, path.read_text(encoding="utf-8")) for path in sorted(directory.glob("[0-9]*.sql"))]


def migrate(
    conninfo: str,
    directory: Path,
    *,
    connection_limit: int | None = None,
    iam: bool | None = None,
    within_s: float = WITHIN_S,
    connect_within_s: float = 0.0,
    observer: Observer = ignore,
    **connect: Any,
) -> list[str]:
    """Apply the missing migrations within `within_s` seconds and return their versions. Raise MigrationError.

    `connection_limit` is how many connections the functions may have in total; None leaves the limits unchanged. `iam`
    is whether the functions' roles sign in to RDS by IAM; None leaves that unchanged. A failed connection is tried
    again for `connect_within_s` seconds.
    """
    until = read_monotonic() + within_s
    # No prepared statements: RDS Proxy would pin the connection.
    arguments = {**connect, "autocommit": True, "prepare_threshold": None, "row_factory": tuple_row}

    def open_connection() -> psycopg.Connection[Any]:
        with report_connect_failure(observer, redact=connect.get("password")):
            return psycopg.connect(conninfo, **arguments)

    connected = _connect_patiently(open_connection, min(connect_within_s, within_s), redact=connect.get("password"))
    with connected as connection, _cut_at(connection, until):
        with _translate_errors("the table schema_migrations", until):
            _make_ledger(connection)
        applied = [m.version for m in read_migrations(directory) if _apply_when_free(connection, m, until)]
        with _translate_errors("the settings of the functions' roles", until):
            if connection_limit is not None:
                _set_connection_limits(connection, connection_limit, until)
            if iam is not None:
                _set_iam(connection, until, iam=iam)
        return applied


def _connect_patiently(
    connect: Callable[[], psycopg.Connection[Any]], patience_s: float, *, redact: str | None
) -> psycopg.Connection[Any]:
    """Return a connection, trying again for `patience_s` seconds. Raise DatabaseNotReached."""
    began = read_monotonic()
    while True:
        try:
            return connect()
        except psycopg.OperationalError as error:
            may_take_s = patience_s if is_retryable(error) else min(patience_s, REFUSED_S)
            if read_monotonic() + CONNECT_PAUSE_S > began + may_take_s:
                reason = describe_connect_error(error, redact=redact)
                raise DatabaseNotReached(f"no connection to the database: {reason}") from error
        time.sleep(CONNECT_PAUSE_S)


@contextmanager
def _cut_at(connection: psycopg.Connection[Any], until: float) -> Iterator[None]:
    """Cut the connection at `until`: the server's limits end neither many short statements nor a silent server."""
    watched = WatchedSocket(connection)
    try:
        with WATCHDOG.watch(watched, until - read_monotonic()):
            yield
    finally:
        watched.close()


def _make_ledger(connection: psycopg.Connection[Any]) -> None:
    try:
        connection.execute(_CREATE_LEDGER)
    except _CREATED_CONCURRENTLY:
        connection.execute(_CREATE_LEDGER)


@contextmanager
def _translate_errors(subject: str, until: float) -> Iterator[None]:
    """Raise the database's errors within the block as a MigrationError that names the subject."""
    try:
        yield
    except psycopg.Error as error:
        reason = describe_database_error(error)
        if isinstance(error, psycopg.errors.QueryCanceled) or read_monotonic() >= until:
            raise MigrationTimedOut(f"{subject}: the time is up, and nothing of it stays: {reason}") from error
        if error.sqlstate is None:
            raise StatementFailed(
                f"{subject}: the connection was lost, a repetition finds what stays: {reason}"
            ) from error
        raise StatementFailed(f"{subject} failed, and nothing of it stays: {reason}") from error


@contextmanager
def _take_turn(connection: psycopg.Connection[Any], until: float) -> Iterator[None]:
    """Open a transaction that overlaps with no other run's. Raise MigrationTimedOut if another run takes too long."""
    with connection.transaction():
        _limit_transaction(connection, until, lock_wait_s=until - read_monotonic())
        try:
            connection.execute("LOCK TABLE schema_migrations IN EXCLUSIVE MODE")
        except (psycopg.errors.LockNotAvailable, psycopg.errors.QueryCanceled) as error:
            raise MigrationTimedOut(
                "another run of the migrations did not end in time: it holds the lock on the table schema_migrations"
            ) from error
        _limit_transaction(connection, until, lock_wait_s=LOCK_WAIT_S)
        yield


def _limit_transaction(connection: psycopg.Connection[Any], until: float, *, lock_wait_s: float) -> None:
    """Set how long the transaction may wait and work, so that the server ends it in time even if this process dies."""
    left_s = max(0.001, until - LOCK_PAUSE_S - read_monotonic())
    limits_s = {
        "statement_timeout": left_s,
        "lock_timeout": max(0.001, min(lock_wait_s, left_s)),
        "idle_in_transaction_session_timeout": IDLE_S,
        "client_connection_check_interval": CLIENT_CHECK_S,
    }
    each = sql.SQL(", ").join([sql.SQL("set_config(%s, %s, true)")] * len(limits_s))
    values = [text for name, seconds in limits_s.items() for text in (name, f"{round(seconds * 1000)}ms")]
    connection.execute(sql.SQL("SELECT {}").format(each), values)


def _apply_when_free(connection: psycopg.Connection[Any], migration: Migration, until: float) -> bool:
    """Apply the migration unless the ledger has it, and repeat that while others hold its locks; return whether it was.

    Raise MigrationError.
    """
    while True:
        try:
            with _translate_errors(f"migration {migration.version}", until):
                return _apply_if_missing(connection, migration, until)
        except StatementFailed as error:
            if not isinstance(error.__cause__, psycopg.errors.LockNotAvailable):
                raise
            if read_monotonic() + 2 * LOCK_PAUSE_S + LOCK_WAIT_S > until:  # the last wait would be cut short
                raise MigrationTimedOut(f"{error}; whoever held the lock did not end in time") from error.__cause__
        time.sleep(LOCK_PAUSE_S)


def _apply_if_missing(connection: psycopg.Connection[Any], migration: Migration, until: float) -> bool:
    """Apply the migration unless the ledger has it; return whether it was applied."""
    with _take_turn(connection, until):
        found = connection.execute(
            "SELECT checksum FROM schema_migrations WHERE version = %s", (migration.version,)
        ).fetchone()
        if found is not None:
            _check_checksum(migration, found[0])
            return False
        crash_point("migration.begun")
        connection.execute(cast("Any", migration.sql))
        connection.execute(
            "INSERT INTO schema_migrations (version, checksum) VALUES (%s, %s)",
            (migration.version, migration.checksum),
        )
    crash_point("migration.applied")
    return True


def _set_connection_limits(connection: psycopg.Connection[Any], limit: int, until: float) -> None:
    """Set the limits that differ. Two runs that altered a role at the same time would fail, so they take turns."""
    with _take_turn(connection, until):
        _set_connection_limit(connection, "ROLE", _SELECT_ROLES_WITH_OTHER_LIMIT, limit)
        _set_connection_limit(connection, "DATABASE", _SELECT_DATABASE_WITH_OTHER_LIMIT, limit + OTHER_SESSIONS)


def _set_connection_limit(
    connection: psycopg.Connection[Any], kind: LiteralString, query: LiteralString, limit: int
) -> None:
    for (name,) in connection.execute(query, (limit,)).fetchall():
        statement = sql.SQL("ALTER {} {} CONNECTION LIMIT {}")
        connection.execute(statement.format(sql.SQL(kind), sql.Identifier(name), sql.Literal(limit)))


def _set_iam(connection: psycopg.Connection[Any], until: float, *, iam: bool) -> None:
    """Grant rds_iam to the functions' roles, or revoke it; change only the roles that differ."""
    statement = sql.SQL("GRANT rds_iam TO {}" if iam else "REVOKE rds_iam FROM {}")
    with _take_turn(connection, until):
        for name, is_member in connection.execute(_SELECT_IAM_MEMBERSHIPS).fetchall():
            if is_member is not iam:
                connection.execute(statement.format(sql.Identifier(name)))


def _check_checksum(migration: Migration, checksum: str) -> None:
    if checksum not in (migration.checksum, *migration.former_checksums):
        raise MigrationChecksumMismatch(f"{migration.version} was changed after it was applied; write a new migration")


def main(arguments: list[str]) -> int:
    """Run the command line."""
    directory, conninfo, connection_limit = arguments
    try:
        applied = migrate(conninfo, Path(directory), connection_limit=int(connection_limit))
    except MigrationError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    for version in applied:
        sys.stdout.write(f"applied {version}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
