"""Plain-SQL migrations, applied in order, each in its own transaction; safe to repeat and to run concurrently.

    python -m shared.database.migrate DIRECTORY "host=… dbname=… user=…" CONNECTION_LIMIT

CONNECTION_LIMIT is the number of connections of all functions together: each function's role gets it as its CONNECTION
LIMIT, and the database gets it plus OTHER_SESSIONS. Each role gets the whole number, so that a burst on one function
may use all connections; RDS Proxy limits their sum over all roles (docs/decisions/0028).

A schema changes in two releases: the first one expands it, a later one contracts it. Code that is still running must
find what it needs in the new schema.
"""

import hashlib
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, LiteralString, cast

import psycopg
from psycopg import sql
from psycopg.rows import tuple_row

from shared.crash_points import crash_point
from shared.database.connection import Observer, ignore, report_connect_failure

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


class MigrationChecksumMismatch(Exception):
    """A migration was changed after it was applied: write a new one instead."""


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
    observer: Observer = ignore,
    **connect: Any,
) -> list[str]:
    """Apply the missing migrations and return their versions. Raise MigrationChecksumMismatch, psycopg.Error.

    `connection_limit` is how many connections the functions may have in total; None leaves the limits unchanged. `iam`
    is whether the functions' roles sign in to RDS by IAM; None leaves that unchanged.
    """
    # No prepared statements: RDS Proxy would pin the connection.
    arguments = {**connect, "autocommit": True, "prepare_threshold": None, "row_factory": tuple_row}
    with report_connect_failure(observer, redact=connect.get("password")):
        connected = psycopg.connect(conninfo, **arguments)
    with connected as connection:
        _make_ledger(connection)
        applied = [m.version for m in read_migrations(directory) if _apply_if_missing(connection, m)]
        if connection_limit is not None:
            _set_connection_limits(connection, connection_limit)
        if iam is not None:
            _set_iam(connection, iam)
        return applied


def _make_ledger(connection: psycopg.Connection[Any]) -> None:
    try:
        connection.execute(_CREATE_LEDGER)
    except _CREATED_CONCURRENTLY:
        connection.execute(_CREATE_LEDGER)


def _apply_if_missing(connection: psycopg.Connection[Any], migration: Migration) -> bool:
    """Apply the migration unless the ledger has it; return whether it was applied."""
    with connection.transaction():
        connection.execute("LOCK TABLE schema_migrations IN EXCLUSIVE MODE")
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


def _set_connection_limits(connection: psycopg.Connection[Any], limit: int) -> None:
    """Set the limits that differ. The lock keeps two runs from altering a role at the same time, which would fail."""
    with connection.transaction():
        connection.execute("LOCK TABLE schema_migrations IN EXCLUSIVE MODE")
        _set_connection_limit(connection, "ROLE", _SELECT_ROLES_WITH_OTHER_LIMIT, limit)
        _set_connection_limit(connection, "DATABASE", _SELECT_DATABASE_WITH_OTHER_LIMIT, limit + OTHER_SESSIONS)


def _set_connection_limit(
    connection: psycopg.Connection[Any], kind: LiteralString, query: LiteralString, limit: int
) -> None:
    for (name,) in connection.execute(query, (limit,)).fetchall():
        statement = sql.SQL("ALTER {} {} CONNECTION LIMIT {}")
        connection.execute(statement.format(sql.SQL(kind), sql.Identifier(name), sql.Literal(limit)))


def _set_iam(connection: psycopg.Connection[Any], iam: bool) -> None:  # noqa: FBT001 - a setting's value
    """Grant rds_iam to the functions' roles, or revoke it; change only the roles that differ."""
    statement = sql.SQL("GRANT rds_iam TO {}" if iam else "REVOKE rds_iam FROM {}")
    with connection.transaction():
        connection.execute("LOCK TABLE schema_migrations IN EXCLUSIVE MODE")
        for name, is_member in connection.execute(_SELECT_IAM_MEMBERSHIPS).fetchall():
            if is_member is not iam:
                connection.execute(statement.format(sql.Identifier(name)))


def _check_checksum(migration: Migration, checksum: str) -> None:
    if checksum not in (migration.checksum, *migration.former_checksums):
        raise MigrationChecksumMismatch(f"{migration.version} was changed after it was applied; write a new migration")


def main(arguments: list[str]) -> int:
    """Run the command line."""
    directory, conninfo, connection_limit = arguments
    for version in migrate(conninfo, Path(directory), connection_limit=int(connection_limit)):
        sys.stdout.write(f"applied {version}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
