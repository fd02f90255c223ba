"""A database whose connection a test answers for."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

import psycopg
from psycopg import errors as pg

from shared.admission.ports import KeyUse
from shared.database.connection import ConnectionHolder
from shared.database.pipeline import Database
from shared.database.transaction import Pending, Row, Transaction, UseCase
from shared.deadline import Deadline
from shared.retry.backoff import Backoff
from shared.retry.budget import RetryBudget
from shared.sql import Query
from tests.unit.database.database_errors import make_error

USE = KeyUse("scope", "key", "fingerprint")
FIRST_USED = datetime(2026, 11, 27, tzinfo=UTC)
LOST = psycopg.OperationalError("server closed the connection unexpectedly")
KEY_EXISTS = make_error(pg.UniqueViolation, constraint_name="idempotency_keys_pkey")
FACTS = Query("SELECT jsonb_build_object() AS facts")


@dataclass(frozen=True)
class FakeCursor:
    """The rows of a statement."""

    rows: list[Row]

    def fetchone(self) -> Row | None:
        """See psycopg.Cursor.fetchone."""
        return self.rows[0] if self.rows else None

    def fetchall(self) -> list[Row]:
        """See psycopg.Cursor.fetchall."""
        return self.rows


@dataclass
class ScriptedConnector:
    """A holder of a connection, and the connection itself; `steps` is what was asked of both, in order.

    `ends` are the errors with which the next transactions end, None for those that commit; `rows` are the rows of each
    statement that has some.
    """

    ends: list[psycopg.Error | None] = field(default_factory=list)
    rows: dict[str, list[Row]] = field(default_factory=dict)
    steps: list[object] = field(default_factory=list)
    statements: list[tuple[str, Mapping[str, object]]] = field(default_factory=list)

    def borrow(self, within_s: float) -> Any:
        """See ConnectionHolder.borrow."""
        self.steps.append(("borrow", within_s))
        return self

    @contextmanager
    def limit_waiting(self, seconds: float) -> Iterator[None]:
        """See ConnectionHolder.limit_waiting."""
        self.steps.append(("limit", seconds))
        yield

    def return_connection(self) -> None:
        """See ConnectionHolder.return_connection."""
        self.steps.append("return")

    def drop(self) -> None:
        """See ConnectionHolder.drop."""
        self.steps.append("drop")

    def execute(self, query: str, params: Mapping[str, object]) -> FakeCursor:
        """See psycopg.Connection.execute."""
        self.statements.append((query, params))
        return FakeCursor(self.rows.get(query, []))

    @contextmanager
    def pipeline(self) -> Iterator[None]:
        """See psycopg.Connection.pipeline."""
        self.steps.append("pipeline")
        yield
        self._end()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """See psycopg.Connection.transaction."""
        self.steps.append("transaction")
        yield
        self._end()

    def _end(self) -> None:
        error = self.ends.pop(0) if self.ends else None
        if error is not None:
            raise error


class RunningDatabase:
    """A database on a scripted connector, with what it reported and how long it slept."""

    def __init__(self, *ends: psycopg.Error | None, left_s: float = 60.0, pipeline: bool = True) -> None:
        self.connector = ScriptedConnector(list(ends))
        self.events: list[tuple[str, Mapping[str, object]]] = []
        self.slept: list[float] = []
        self.budget = RetryBudget(most_saved=1)
        self.deadline = Deadline(left_s, lambda: 0.0)
        self.database = Database(
            cast("ConnectionHolder", self.connector),
            backoff=Backoff(retries=3, base_s=1.0, factor=2.0, cap_s=10.0),
            budget=self.budget,
            observer=lambda event, facts: self.events.append((event, facts)),
            sleep=self.slept.append,
            uniform=lambda _low, high: high,
            pipeline=pipeline,
        )

    def run(self, use_case: UseCase[Any] | None = None) -> Any:
        """Run a use case, or one that does nothing."""
        return self.database.run(use_case or do_nothing, self.deadline)

    def count_attempts(self) -> int:
        """Return how many transactions were begun."""
        return self.connector.steps.count("pipeline")


def do_nothing(_tx: Transaction) -> Pending[int]:
    """Queue nothing."""
    return Pending(lambda: 7)


def answer_nothing(_tx: Transaction) -> Pending[Row]:
    """Queue nothing, and have no facts."""
    return Pending(dict)
