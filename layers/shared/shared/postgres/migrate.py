"""Plain-SQL migrations, applied in order, each in a transaction of its own; safe to run twice and by two at once.

    python -m shared.postgres.migrate DIRECTORY "host=… dbname=… user=…" CONNECTION_LIMIT

The functions' role gets the fleet's number of connections as its CONNECTION LIMIT: what stands behind the proxy's pool.
Expand first, contract a release later: code that still runs must find what it needs in the new schema.
"""

import hashlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import psycopg
from psycopg import sql
from psycopg.rows import tuple_row

FUNCTIONS_ROLE = "interdomestik_app"

_LEDGER = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    version text PRIMARY KEY,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)"""

# IF NOT EXISTS is no lock: of two at once one may find its table, or the table's type, made by the other.
_MADE_MEANWHILE = (
    psycopg.errors.UniqueViolation,
    psycopg.errors.DuplicateTable,
    psycopg.errors.DuplicateObject,
)


class MigrationChanged(Exception):
    """A migration that was applied reads differently now: write a new one instead."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file, `NNNN_name.sql`."""

    version: str
    sql: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the text, as hex."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def read_migrations(directory: Path) -> list[Migration]:
    """The migrations of a directory, oldest first."""
    return [Migration(path.stem, path.read_text(encoding="utf-8")) for path in sorted(directory.glob("[0-9]*.sql"))]


def migrate(conninfo: str, directory: Path, *, connection_limit: int | None = None, **connect: Any) -> list[str]:
    """Apply what is missing and return its versions. Raises MigrationChanged, psycopg.Error.

    `connection_limit`: how many connections the functions' role may have at once; None leaves that as it is.
    """
    arguments = {**connect, "autocommit": True, "prepare_threshold": None, "row_factory": tuple_row}
    with psycopg.connect(conninfo, **arguments) as connection:
        _make_ledger(connection)
        applied = [m.version for m in read_migrations(directory) if _apply(connection, m)]
        if connection_limit is not None:
            _limit_connections(connection, connection_limit)
        return applied


def _make_ledger(connection: psycopg.Connection[Any]) -> None:
    try:
        connection.execute(_LEDGER)
    except _MADE_MEANWHILE:
        connection.execute(_LEDGER)


def _apply(connection: psycopg.Connection[Any], migration: Migration) -> bool:
    with connection.transaction():
        connection.execute("LOCK TABLE schema_migrations IN EXCLUSIVE MODE")
        found = connection.execute(
            "SELECT checksum FROM schema_migrations WHERE version = %s", (migration.version,)
        ).fetchone()
        if found is not None:
            _check(migration, found[0])
            return False
        connection.execute(cast("Any", migration.sql))
        connection.execute(
            "INSERT INTO schema_migrations (version, checksum) VALUES (%s, %s)",
            (migration.version, migration.checksum),
        )
        return True


def _limit_connections(connection: psycopg.Connection[Any], limit: int) -> None:
    """Set the limit where it is another one. The lock keeps two runs from altering the role at once, which fails."""
    with connection.transaction():
        connection.execute("LOCK TABLE schema_migrations IN EXCLUSIVE MODE")
        found = connection.execute(
            "SELECT FROM pg_roles WHERE rolname = %s AND rolconnlimit <> %s", (FUNCTIONS_ROLE, limit)
        ).fetchone()
        if found is not None:
            statement = sql.SQL("ALTER ROLE {} CONNECTION LIMIT {}")
            connection.execute(statement.format(sql.Identifier(FUNCTIONS_ROLE), sql.Literal(limit)))


def _check(migration: Migration, checksum: str) -> None:
    if checksum != migration.checksum:
        raise MigrationChanged(f"{migration.version} was changed after it was applied; write a new migration")


def main(arguments: list[str]) -> int:
    """The command line."""
    directory, conninfo, connection_limit = arguments
    for version in migrate(conninfo, Path(directory), connection_limit=int(connection_limit)):
        sys.stdout.write(f"applied {version}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
