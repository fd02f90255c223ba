"""The shipped statements about one job, on SQLite in memory.

Each statement is the text of its named section, with the few words that SQLite spells differently replaced.
tests/integration/jobs/test_exhaustive_sql.py holds the result to PostgreSQL's for every state of a job.
"""

import re
import sqlite3
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

START = datetime(2026, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
_SPELLINGS = (
    (r"FOR (NO KEY )?UPDATE( SKIP LOCKED)?", ""),  # each transaction is alone while it runs
    (r"= ANY\(%\((\w+)\)s\)", r"IN (:\1)"),
    (r"%\((\w+)\)s(::\w+)?", r":\1"),
    (r"\bnow\(\)", ":now"),
    (r"SELECT FROM", "SELECT 1 FROM"),
    (r"UPDATE (\w+) (o|k) SET", r"UPDATE \1 AS \2 SET"),
    (r"RETURNING k\.answer", "RETURNING answer"),
    (r"array_position\(ARRAY\[[^]]*\], priority\)", "priority"),
    (r"\bo\.id, o\.priority$", "id, priority"),
    # The recipient and the mail are no part of the machine.
    (r"r\.language, r\.role, .*?FROM outbox o\s+LEFT JOIN .*?WHERE", "'{}' AS payload FROM outbox o WHERE"),
)
_SCHEMA = (
    "CREATE TABLE outbox (id TEXT, kind TEXT, priority TEXT, state TEXT, attempts INT, leased_until INT, "
    "available_at INT, begun INT, last_error TEXT, dismissal TEXT, replayed_at INT, updated_at INT)"
)
_ELSEWHERE = ("INSERT INTO audit", "SELECT to_jsonb")  # statements of the same transactions about other things


class RequirementRefused(Exception):
    """A require() was not met."""


class JobTable:
    """The table `outbox` with one row."""

    def __init__(self) -> None:
        self._connection = sqlite3.connect(":memory:", isolation_level=None)
        self._connection.row_factory = sqlite3.Row
        self._connection.create_function("require", 2, require)
        self._connection.execute(_SCHEMA)
        self._known: dict[str, str] = {}
        self.states: list[str] = []

    def run(
        self, row: Mapping[str, Any], statements: Sequence[tuple[str, Mapping[str, Any]]], now: datetime
    ) -> tuple[dict[str, Any], list[list[dict[str, Any]]]]:
        """Run a transaction; return the row afterwards and what each statement has returned.

        Raise RequirementRefused. `states` has the job's states then: before the transaction and after each statement.
        """
        with_times = {name: _to_sql(value) for name, value in row.items()}
        self._connection.execute("DELETE FROM outbox")
        names = ", ".join(with_times)
        self._connection.execute(f"INSERT INTO outbox ({names}) VALUES (:{', :'.join(with_times)})", with_times)
        self.states = [row["state"]]
        results = []
        for query, params in statements:
            results.append(self._run(query, params, now))
            self.states.append(self._connection.execute("SELECT state FROM outbox").fetchone()[0])
        (after,) = self._connection.execute(f"SELECT {names} FROM outbox")
        return {name: _from_sql(name, after[name]) for name in with_times}, results

    def _run(self, query: str, params: Mapping[str, Any], now: datetime) -> list[dict[str, Any]]:
        if query.startswith(_ELSEWHERE):
            return []
        sql = self._known.get(query) or self._known.setdefault(query, translate(query))
        try:
            rows = self._connection.execute(
                sql, {name: _to_sql(value) for name, value in params.items()} | {"now": _to_sql(now)}
            )
            return [{name: _from_sql(name, row[name]) for name in row.keys()} for row in rows]  # noqa: SIM118 - a Row
        except sqlite3.OperationalError as error:
            if "user-defined function raised" in str(error):
                raise RequirementRefused from None
            raise


def translate(query: str) -> str:
    """Return a statement as SQLite spells it."""
    for pattern, spelled in _SPELLINGS:
        query = re.sub(pattern, spelled, query, flags=re.DOTALL)
    return query


def require(is_met: int, problem: str) -> int:
    """Stand for the database's function of that name, which SQLite calls."""
    if not is_met:
        raise ValueError(problem)
    return 1


def _to_sql(value: Any) -> Any:
    match value:
        case datetime():
            return (value - START) // MICROSECOND
        case timedelta():
            return value // MICROSECOND
        case UUID():
            return str(value)
        case list():
            return str(value[0]) if value else None
        case bool():
            return int(value)
        case _:
            return value


def _from_sql(name: str, value: Any) -> Any:
    if value is None:
        return None
    if name in {"leased_until", "available_at"}:
        return START + value * MICROSECOND
    return UUID(value) if name == "id" else bool(value) if name == "begun" else value
