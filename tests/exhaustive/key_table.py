"""The shipped statements about one Idempotency-Key, on SQLite in memory; see sql_table.py."""

import sqlite3
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, NamedTuple

from psycopg import errors as pg

from shared.database.errors import KEY_CONSTRAINT
from tests.exhaustive.sql_table import require, translate

_SCHEMA = (
    "CREATE TABLE idempotency_keys (scope TEXT, key TEXT, fingerprint TEXT, answer TEXT, created_at TEXT DEFAULT '', "
    "PRIMARY KEY (scope, key))",
    "CREATE TABLE effects (made INT)",
)

# Every key was used first just now, by the clock of admission_machine.py, which shows a million seconds: the age of a
# row is no part of the searched states.
FIRST_USED_AT = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=1_000_000)


class KeyViolation(pg.UniqueViolation):
    """The error of a key that is there."""

    diag: Any = SimpleNamespace(constraint_name=KEY_CONSTRAINT, message_primary=None)
    sqlstate = "23505"


class Duplicate(NamedTuple):
    """The answer to a transaction whose key is there: nothing of it was done."""

    code: str = "23505"

    def make(self) -> Exception:
        """Return the error."""
        return KeyViolation()


class KeyTable:
    """The row of a key, and the effects of the work that was done under it."""

    def __init__(self) -> None:
        self._connection = sqlite3.connect(":memory:", isolation_level=None)
        self._connection.row_factory = sqlite3.Row
        self._connection.create_function("require", 2, require)
        for statement in _SCHEMA:
            self._connection.execute(statement)

    def run(
        self, row: tuple[str, str | None] | None, effects: int, statements: Sequence[tuple[str, Mapping[str, Any]]]
    ) -> tuple[tuple[tuple[str, str | None] | None, int], Any]:
        """Run a transaction; return the key's row and the effects afterwards, and the answer."""
        self._connection.execute("DELETE FROM idempotency_keys")
        self._connection.execute("DELETE FROM effects")
        if row is not None:
            self._connection.execute(
                "INSERT INTO idempotency_keys (scope, key, fingerprint, answer) VALUES ('scope', 'key', ?, ?)", row
            )
        for _ in range(effects):
            self._connection.execute("INSERT INTO effects VALUES (1)")
        try:
            results = tuple(self._run(query, params) for query, params in statements)
        except sqlite3.IntegrityError:
            return (row, effects), Duplicate()
        found = self._connection.execute("SELECT fingerprint, answer FROM idempotency_keys").fetchone()
        (count,) = self._connection.execute("SELECT count(*) FROM effects").fetchone()
        return (None if found is None else (found["fingerprint"], found["answer"]), count), results

    def _run(self, query: str, params: Mapping[str, Any]) -> tuple[Any, ...]:
        return tuple(tuple(_read_row(row).items()) for row in self._connection.execute(translate(query), dict(params)))


def _read_row(row: sqlite3.Row) -> dict[str, Any]:
    return {name: FIRST_USED_AT if name == "created_at" else row[name] for name in row.keys()}  # noqa: SIM118 - a Row
