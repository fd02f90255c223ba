"""The pool scenario's view of PostgreSQL, on a real server: sessions, limits, and what it refuses."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import psycopg
import pytest
from psycopg.rows import dict_row

from stress.scenario_context import LocalScenarioContext
from stress.scenarios import agent_earnings, pool_sessions
from stress.scenarios.shared_steps import NORMAL_WRITES, build_slow_writes_sql
from tests.databases import FreshDatabase, PostgresHandle

LIMIT = 3
MEMBERS = "interdomestik_members"


@pytest.fixture
def fresh_database(postgres: PostgresHandle) -> FreshDatabase:
    """Return a database of each test's own."""
    return postgres.make_fresh_database()


@pytest.fixture
def context(fresh_database: FreshDatabase, tmp_path: Path) -> LocalScenarioContext:
    """Return a context whose target is that database; its log is empty."""
    conninfo = fresh_database.postgres.build_conninfo(user="postgres", dbname=fresh_database.name)

    async def query_rows(query: str) -> list[dict[str, Any]]:
        with psycopg.connect(conninfo, autocommit=True, row_factory=dict_row) as connection:
            cursor = connection.execute(query.encode())
            return cursor.fetchall() if cursor.description is not None else []

    (tmp_path / "logs").mkdir()
    (tmp_path / "logs/postgres.log").touch()
    target = SimpleNamespace(build_dsn=lambda: conninfo, query_rows=query_rows, folder=tmp_path)
    return cast("LocalScenarioContext", SimpleNamespace(target=target))


@pytest.fixture
def limited(fresh_database: FreshDatabase) -> Iterator[None]:
    """Within the test the role of the sessions that are tried has a small limit, and so has the database."""
    server = fresh_database.postgres
    server.execute(f"ALTER ROLE {pool_sessions.ROLE} CONNECTION LIMIT {LIMIT}")
    server.execute(f"ALTER DATABASE {fresh_database.name} CONNECTION LIMIT {LIMIT + 5}")
    yield
    server.execute(f"ALTER ROLE {pool_sessions.ROLE} CONNECTION LIMIT -1")


@pytest.mark.usefixtures("limited")
def test_a_session_too_many_is_refused_by_the_server_itself(context: LocalScenarioContext) -> None:
    """And those that were let in are counted as sessions of the functions."""
    found = asyncio.run(pool_sessions.open_sessions_directly(context, LIMIT + 1))
    assert (found.admitted, found.refused, found.open) == (LIMIT, 1, LIMIT)


def test_without_a_limit_nothing_is_refused(context: LocalScenarioContext) -> None:
    """So the scenario's check fails."""
    found = asyncio.run(pool_sessions.open_sessions_directly(context, LIMIT + 1))
    assert (found.admitted, found.refused, found.logged) == (LIMIT + 1, 0, 0)


@pytest.mark.usefixtures("limited")
def test_the_limits_are_those_that_the_server_has(context: LocalScenarioContext) -> None:
    """One role with another limit is seen among all."""
    assert asyncio.run(pool_sessions.read_limits(context)) == {"roles": [-1, LIMIT], "database": LIMIT + 5}


def test_a_slow_write_is_seen_while_it_waits_and_a_jobs_own_entry_does_not_wait(
    context: LocalScenarioContext, fresh_database: FreshDatabase
) -> None:
    """The worker's entries would otherwise hold connections that calls are measured by."""

    def insert_entry(action: str) -> None:
        conninfo = fresh_database.postgres.build_conninfo(user=MEMBERS, dbname=fresh_database.name)
        with psycopg.connect(conninfo) as connection:
            connection.execute(
                "INSERT INTO audit (id, action, subject_id, actor, request_id)"
                " VALUES (gen_random_uuid(), %s, gen_random_uuid(), 'a', 'r')",
                [action],
            )

    async def watch(action: str) -> pool_sessions.SessionPeaks:
        under_way = asyncio.ensure_future(asyncio.to_thread(insert_entry, action))
        return await pool_sessions.watch_sessions(context, under_way)

    asyncio.run(context.target.query_rows(build_slow_writes_sql(1.0)))
    slow, quick = asyncio.run(watch("member.registered")), asyncio.run(watch("account.identity_linked"))
    assert (slow.writing, slow.open, quick.writing) == (1, 1, 0)
    assert slow.looks > 1
    asyncio.run(context.target.query_rows(NORMAL_WRITES))


def test_the_months_to_pay_are_over(context: LocalScenarioContext) -> None:
    """And the agents' commissions are dated into them, though a trigger keeps everybody else from it."""
    months = agent_earnings._move_into_the_past(context, [])
    assert len(set(months)) == 2
    assert max(months) < asyncio.run(context.target.query_rows("SELECT to_char(current_date, 'YYYY-MM') AS m"))[0]["m"]
