"""A deadline holds against a database that is there and says nothing: every call is answered before Lambda's axe."""

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from members.app import api
from shared.clock import read_monotonic
from shared.database.connection import CHECK_AFTER_IDLE_S, connect
from shared.database.pipeline import Database
from shared.database.transaction import Pending, Row, Transaction
from shared.deadline import Deadline
from shared.errors import DeadlineExceeded, Unavailable
from shared.settings import Settings
from shared.sql import Query
from tests.databases import FreshDatabase, make_deployed_connector
from tests.integration.function_client import make_client
from tests.roles import FUNCTIONS, RoleConnector
from tests.sample_people import make_person

pytestmark = pytest.mark.timed

SLACK_S = 1.0  # for a busy machine
PID = Query("SELECT pg_backend_pid() AS pid")
ONE = Query("SELECT 1 AS one")


def make_deadline(seconds: float) -> Deadline:
    """Return a deadline so far away."""
    return Deadline(read_monotonic() + seconds, read_monotonic)


def fetch_row(query: Query, database: Database, seconds: float = 5.0) -> Row:
    """Return the one row of a query."""

    def use_case(tx: Transaction) -> Pending[Row]:
        return tx.fetch_one(query).map(lambda row: row or {})

    return database.run(use_case, make_deadline(seconds)).value


@contextmanager
def stop_session(database: Database, role: str | None = None) -> Iterator[None]:
    """Stop the database's own session, of a function's role where one is named: what is sent to it is acknowledged by
    the kernel, and never answered."""
    if role is not None:
        assert isinstance(database._connector, RoleConnector)
        database = Database(database._connector.get_connector(role))
    pid: int = fetch_row(PID, database)["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_a_round_trip_that_is_never_answered_ends_at_the_deadline(fresh_database: FreshDatabase) -> None:
    """Too little time is left then to begin another."""
    database = fresh_database.make_database()
    with stop_session(database):
        began = read_monotonic()
        with pytest.raises(Unavailable):
            fetch_row(ONE, database, seconds=1.5)
        assert 1.4 < read_monotonic() - began < 1.5 + SLACK_S
        assert fetch_row(ONE, database) == {"one": 1}  # on another connection


def test_a_connection_that_is_dumb_after_a_pause_is_replaced_within_the_check(fresh_database: FreshDatabase) -> None:
    """A frozen environment wakes on a line that was cut without a word."""
    now = [0.0]
    connector = make_deployed_connector(lambda s: connect(fresh_database.settings, None, s), clock=lambda: now[0])
    database = Database(connector)
    with stop_session(database):
        now[0] += CHECK_AFTER_IDLE_S
        assert fetch_row(ONE, database, seconds=4.0) == {"one": 1}


def test_no_connection_is_begun_that_could_outlast_the_deadline(fresh_database: FreshDatabase) -> None:
    """libpq waits two seconds at least, so with less left there is no trying."""
    with socket.create_server(("127.0.0.1", 0)) as dumb:
        settings = fresh_database.settings.model_copy(update={"db_port": dumb.getsockname()[1]})
        began = read_monotonic()
        with pytest.raises(Unavailable):
            connect_within(settings, 2.5)
        assert 2.0 <= read_monotonic() - began < 2.5 + SLACK_S
        began = read_monotonic()
        with pytest.raises(DeadlineExceeded):
            connect_within(settings, 1.9)
        assert read_monotonic() - began < SLACK_S


def connect_within(settings: Settings, seconds: float) -> Row:
    """Return a query on a new connection to a server that takes it and says nothing."""
    connector = make_deployed_connector(lambda s: connect(settings, None, s))
    return fetch_row(ONE, Database(connector), seconds)


def test_a_call_is_answered_503_before_its_time_is_up(fresh_database: FreshDatabase) -> None:
    """The 503 has Retry-After; the repeat is done once, though the first try may have been committed."""
    client = make_client(api, fresh_database)
    client.seconds = 3.0
    body = make_person()
    with stop_session(client.container.database, FUNCTIONS["MembersFunction"]):
        began = read_monotonic()
        refused = client.call("POST", "/members", body, key="patient")
        assert read_monotonic() - began < 3.0
        assert (refused.status, refused.problem, refused.headers["Retry-After"]) == (503, "unavailable", "1")
    again = client.call("POST", "/members", body, key="patient")
    assert again.status == 201
    assert len(fresh_database.query_rows("SELECT id FROM accounts WHERE email = %s", body["email"])) == 1
