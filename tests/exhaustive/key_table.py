"""The shipped statements about one Idempotency-Key, on SQLite in memory; see sql_table.py."""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, NamedTuple

from psycopg import errors as pg

from shared.database.errors import KEY_CONSTRAINT
from tests.exhaustive.sql_table import require, translate

_SCHEMA = (
    "CREATE TABLE idempotency_keys (scope TEXT, key TEXT, fingerprint TEXT, answer TEXT, holder TEXT, "
    "created_at TEXT DEFAULT '', PRIMARY KEY (scope, key))",
    "CREATE TABLE effects (made INT)",
)

# Every key was used first just now, by the clock of admission_machine.py, which shows a million seconds: the age of a
# row is no part of the searched states.
FIRST_USED_AT = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=1_000_000)


class KeyRow(NamedTuple):
    """The row of a key: the request's hash, the answer's facts, and the token of the record that waits for them."""

    fingerprint: str
    answer: str | None
    holder: str | None


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
        self, row: KeyRow | None, effects: int, statements: Sequence[tuple[str, Mapping[str, Any]]]
    ) -> tuple[tuple[KeyRow | None, int], Any]:
        """Run a transaction; return the key's row and the effects afterwards, and the answer."""
        self._connection.execute("DELETE FROM idempotency_keys")
        self._connection.execute("DELETE FROM effects")
        if row is not None:
            self._connection.execute(
                "INSERT INTO idempotency_keys (scope, key, fingerprint, answer, holder) "
                "VALUES ('scope', 'key', ?, ?, ?)",
                row,
            )
        for _ in range(effects):
            self._connection.execute("INSERT INTO effects VALUES (1)")
        try:
            results = tuple(self._run(query, params) for query, params in statements)
        except sqlite3.IntegrityError:
            return (row, effects), Duplicate()
        found = self._connection.execute("SELECT fingerprint, answer, holder FROM idempotency_keys").fetchone()
        (count,) = self._connection.execute("SELECT count(*) FROM effects").fetchone()
        return (None if found is None else KeyRow(*found), count), results

    def _run(self, query: str, params: Mapping[str, Any]) -> tuple[Any, ...]:
        given = {name: value[0] if isinstance(value, list) else value for name, value in params.items()}
        return tuple(tuple(_read_row(row).items()) for row in self._connection.execute(translate(query), given))


def _read_row(row: sqlite3.Row) -> dict[str, Any]:
    return {name: _read_value(name, row[name]) for name in row.keys()}  # noqa: SIM118 - a Row


def _read_value(name: str, value: Any) -> Any:
    if name == "created_at":
        return FIRST_USED_AT
    return json.loads(value) if name in {"answer", "facts"} and value is not None else value
