"""Fixtures of the failover tests: a writer and its standby."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.databases import FreshDatabase, PostgresHandle
from tests.failover.servers import run_writer_and_follower, wait_until_followed


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[FreshDatabase, PostgresHandle]]:
    """Yield a database on a writer, and its standby."""
    with run_writer_and_follower(tmp_path) as (writer, follower):
        fresh_database = writer.make_fresh_database()
        wait_until_followed(writer, follower)
        yield fresh_database, follower
