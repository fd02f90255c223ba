"""What the jobs' tests stand on: a database of each test's own."""

import pytest

from shared.database.pipeline import Database
from tests.databases import Blank, Postgres
from tests.integration.jobs.records import Records


@pytest.fixture
def blank(postgres: Postgres) -> Blank:
    """A database of the test's own: what is due in it is due to this test."""
    return postgres.fresh()


@pytest.fixture
def database(blank: Blank) -> Database:
    """It, as a function has it."""
    return blank.database()


@pytest.fixture
def records(blank: Blank) -> Records:
    """Rows in it."""
    return Records(blank)
