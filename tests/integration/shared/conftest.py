"""What the failures' tests stand on."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.databases import TEMPLATE, Blank, Postgres, started_postgres
from tests.integration.shared.fights import APP, Runner


@pytest.fixture
def scene(blank: Blank) -> Iterator[Blank]:
    """Two rows that transactions can fight over; settings of the role are taken back."""
    blank.rows("CREATE TABLE scene (name text PRIMARY KEY, n int NOT NULL CHECK (n < 1000))")
    blank.rows("INSERT INTO scene VALUES ('a', 0), ('b', 0)")
    blank.rows(f"GRANT ALL ON scene TO {APP}")
    yield blank
    blank.rows("DROP TABLE scene")
    blank.reset_role()


@pytest.fixture
def runner(scene: Blank) -> Runner:
    return Runner(scene.settings)


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Postgres]:
    """A server that a test may end, with a database that nobody made a schema in."""
    running = started_postgres(tmp_path, deadlock_timeout="10ms")
    try:
        running.execute(f"CREATE DATABASE {TEMPLATE}")
        running.execute(f"CREATE ROLE {APP} LOGIN")
        yield running
    finally:
        running.child.stop()
