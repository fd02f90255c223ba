"""Ways to make a real server fail, with the class that each of its errors must have."""

import select
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic, sleep
from typing import Any

import psycopg
import pytest

from shared.database.connection import Connection, build_connect_arguments
from shared.database.errors import convert_to_answer, is_connection_lost, is_retryable
from shared.database.pipeline import Database
from shared.database.transaction import Pending, Row, Transaction, UseCase
from shared.retry.budget import RetryBudget
from shared.settings import Settings
from shared.sql import Query
from tests.databases import FreshDatabase, make_deadline, make_deployed_connector

LONG_S = 20.0
APP = "interdomestik_app"


def catch_error(failing: Callable[[], object]) -> psycopg.Error:
    """Make a call that must fail; return its error."""
    with pytest.raises(psycopg.Error) as info:
        failing()
    return info.value


def classify(error: psycopg.Error) -> tuple[str | None, bool, bool]:
    """Return its SQLSTATE, whether it is tried again, and whether the connection is left; it is no answer."""
    assert convert_to_answer(error) is None
    return error.sqlstate, is_retryable(error), is_connection_lost(error)


def connect(settings: Settings, **more: Any) -> Connection:
    """Return a connection as a function makes it."""
    connection: Connection = psycopg.connect(**{**build_connect_arguments(settings, None), **more})
    return connection


def wait_until(query: Callable[[], object]) -> None:
    """Return when it comes true."""
    limit = monotonic() + LONG_S
    while not query():
        assert monotonic() < limit
        sleep(0.01)


@dataclass
class CountedDatabase:
    """An environment's database whose connections and retries are counted."""

    settings: Settings

    def __post_init__(self) -> None:
        self.made = 0
        self.retried: list[object] = []
        self.on_retry: Callable[[], None] = lambda: None
        connector = make_deployed_connector(self._connect)
        # What an error means is asked here, not how many retries there may be.
        budget = RetryBudget(most_saved=1000)
        self.database = Database(connector, budget=budget, observer=self._observe, sleep=lambda _: None)

    def _connect(self, _within_s: float) -> Connection:
        self.made += 1
        return connect(self.settings)

    def _observe(self, _event: str, facts: Any) -> None:
        self.retried.append(facts["sqlstate"])
        self.on_retry()

    def run(self, *statements: str) -> list[dict[str, Any]]:
        """Run one transaction of such statements; return the rows of the last."""

        def use_case(tx: Transaction) -> Pending[list[Row]]:
            for statement in statements[:-1]:
                tx.add(Query(statement))
            return tx.fetch_all(Query(statements[-1]))

        rows: UseCase[list[dict[str, Any]]] = use_case
        return self.database.run(rows, make_deadline(LONG_S)).value


def open_competing_session(fresh_database: FreshDatabase) -> "psycopg.Connection[Any]":
    """Somebody else's session, who may do anything."""
    return psycopg.connect(fresh_database.postgres.build_conninfo(user="postgres", dbname=fresh_database.name))


def list_waiting(fresh_database: FreshDatabase, kind: str) -> list[int]:
    """Return the sessions that wait for a lock of a kind."""
    where = f"datname = '{fresh_database.name}' AND wait_event_type = 'Lock' AND wait_event = '{kind}'"
    with open_competing_session(fresh_database) as look:
        return [pid for (pid,) in look.execute(f"SELECT pid FROM pg_stat_activity WHERE {where}".encode())]


BUMP = "UPDATE samples SET n = n + 1 WHERE name = '{}' RETURNING n"
GATE = "SELECT pg_advisory_xact_lock(1)"  # where a transaction waits for the test
COUNTS = "SELECT name, n FROM samples ORDER BY name"


@contextmanager
def make_barrier(fresh_database: FreshDatabase) -> Iterator[Callable[[], None]]:
    """Yield a lock that GATE waits for, and the call that opens it."""
    with open_competing_session(fresh_database) as keeper:
        keeper.execute("SELECT pg_advisory_xact_lock(1)")
        yield keeper.commit


def find_connection_error(settings: Settings) -> psycopg.Error | None:
    try:
        connect(settings).close()
    except psycopg.Error as error:
        return error
    return None


def has_ended(connection: Connection) -> bool:
    """Return whether the server has sent something to an idle session, which can only be its end."""
    return bool(select.select([connection.fileno()], [], [], 0)[0])
