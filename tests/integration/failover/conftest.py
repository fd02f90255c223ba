"""The servers that the tests of failovers start from."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.databases import Blank, Postgres
from tests.failover.servers import wait_until_followed, writer_and_follower


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Blank, Postgres]]:
    """A database on a writer, and its standby."""
    with writer_and_follower(tmp_path) as (writer, follower):
        blank = writer.fresh()
        wait_until_followed(writer, follower)
        yield blank, follower
