"""Fixtures of the tests of database failures."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.databases import TEMPLATE, FreshDatabase, PostgresHandle, start_postgres
from tests.integration.shared.failure_cases import APP, CountedDatabase


@pytest.fixture
def contended_rows(fresh_database: FreshDatabase) -> Iterator[FreshDatabase]:
    """Yield two rows that transactions can fight over; settings of the role are taken back."""
    fresh_database.query_rows("CREATE TABLE samples (name text PRIMARY KEY, n int NOT NULL CHECK (n < 1000))")
    fresh_database.query_rows("INSERT INTO samples VALUES ('a', 0), ('b', 0)")
    fresh_database.query_rows(f"GRANT ALL ON samples TO {APP}")
    yield fresh_database
    fresh_database.query_rows("DROP TABLE samples")
    fresh_database.reset_role()


@pytest.fixture
def counted_database(contended_rows: FreshDatabase) -> CountedDatabase:
    return CountedDatabase(contended_rows.settings)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PostgresHandle]:
    """Yield a server that a test may end, with a database that nobody made a schema in."""
    running = start_postgres(tmp_path, deadlock_timeout="10ms")
    try:
        running.execute(f"CREATE DATABASE {TEMPLATE}")
        running.execute(f"CREATE ROLE {APP} LOGIN")
        yield running
    finally:
        running.child.stop()
