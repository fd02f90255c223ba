"""Fixtures of the jobs' tests: a database for each test."""

import pytest

from shared.database.pipeline import Database
from tests.databases import FreshDatabase, PostgresHandle
from tests.integration.jobs.records import RecordFixtures


@pytest.fixture
def fresh_database(postgres: PostgresHandle) -> FreshDatabase:
    """Return a database of the test's own: what is due in it is due to this test."""
    return postgres.make_fresh_database()


@pytest.fixture
def database(fresh_database: FreshDatabase) -> Database:
    """It, as a function has it."""
    return fresh_database.make_database()


@pytest.fixture
def records(fresh_database: FreshDatabase) -> RecordFixtures:
    """Rows in it."""
    return RecordFixtures(fresh_database)
