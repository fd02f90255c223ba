"""A server that tests of the migrations answer for, and the time that passes meanwhile."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Self

import psycopg
from psycopg import sql

START = 1000.0
LOCK_LEDGER = "LOCK TABLE schema_migrations IN EXCLUSIVE MODE"
FIND = "SELECT checksum FROM schema_migrations WHERE version = %s"
KEEP = "INSERT INTO schema_migrations (version, checksum) VALUES (%s, %s)"
LIMITS = (
    "statement_timeout",
    "lock_timeout",
    "idle_in_transaction_session_timeout",
    "client_connection_check_interval",
)


@dataclass
class FakeRows:
    """The rows of a statement."""

    rows: Sequence[tuple[Any, ...]]

    def fetchone(self) -> tuple[Any, ...] | None:
        """See psycopg.Cursor.fetchone."""
        return self.rows[0] if self.rows else None

    def fetchall(self) -> Sequence[tuple[Any, ...]]:
        """See psycopg.Cursor.fetchall."""
        return self.rows


@dataclass
class FakeServer:
    """A server with a ledger, and the only connection to it.

    `errors` are raised by the statements that begin so, one each time. `rows` are those of the statements that contain
    a word. `now` is the time, which passes in sleeps alone; `steps` is what was done, in order.
    """

    ledger: dict[str, str] = field(default_factory=dict)
    errors: dict[str, list[psycopg.Error]] = field(default_factory=dict)
    rows: dict[str, list[tuple[Any, ...]]] = field(default_factory=dict)
    connect_errors: list[psycopg.OperationalError] = field(default_factory=list)
    steps: list[Any] = field(default_factory=list)
    limits: list[dict[str, str]] = field(default_factory=list)
    connects: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    slept: list[float] = field(default_factory=list)
    now: float = START

    def connect(self, conninfo: str, **arguments: Any) -> "FakeServer":
        """See psycopg.connect."""
        self.connects.append((conninfo, arguments))
        if self.connect_errors:
            raise self.connect_errors.pop(0)
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.steps.append("disconnect")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """See psycopg.Connection.transaction."""
        self.steps.append("BEGIN")
        try:
            yield
        except BaseException:
            self.steps.append("ROLLBACK")
            raise
        self.steps.append("COMMIT")

    def execute(self, query: Any, params: Sequence[Any] = ()) -> FakeRows:
        """See psycopg.Connection.execute."""
        text = query.as_string(None) if isinstance(query, sql.Composable) else query
        for beginning, errors in self.errors.items():
            if text.strip().startswith(beginning) and errors:
                raise errors.pop(0)
        if "set_config" in text:
            assert text == "SELECT " + ", ".join(["set_config(%s, %s, true)"] * len(LIMITS))
            self.limits.append(dict(zip(params[::2], params[1::2], strict=True)))
            return FakeRows([])
        self.steps.append((text, tuple(params)) if params else text)
        if text == FIND:
            return FakeRows([(self.ledger[params[0]],)] if params[0] in self.ledger else [])
        if text == KEEP:
            self.ledger[params[0]] = params[1]
        return FakeRows(next((rows for word, rows in self.rows.items() if word in text), []))

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.slept.append(seconds)
        self.now += seconds

    def list_altered(self) -> list[str]:
        """Return the statements that changed a role or the database."""
        return [
            step for step in self.steps if isinstance(step, str) and step.split()[0] in ("ALTER", "GRANT", "REVOKE")
        ]


def make_limits(statement: str, lock: str) -> dict[str, str]:
    """Return the limits of a transaction."""
    return dict(zip(LIMITS, (statement, lock, "30000ms", "2000ms"), strict=True))
