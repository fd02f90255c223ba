"""Traces of a connection's messages, written by libpq itself."""

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.api_client import ApiClient
from tests.databases import IS_PIPELINED
from tests.roles import FUNCTIONS, RoleConnector

# What makes us wait for the server: a pipeline's end, or a query of the simple protocol. Time, sender, length, message.
_WAITS = re.compile(r"^[0-9-]+ [0-9:.]+\tF\t[0-9]+\t(Sync|Query)\b", re.MULTILINE)


@contextmanager
def trace_round_trips(client: ApiClient) -> Iterator[list[str]]:
    """Count the client's round trips to the database within the block, by the message that ends each; known after it.

    With DB_PIPELINE=off there are more of them, and the test that counts is skipped.
    """
    if not IS_PIPELINED:
        pytest.skip("it counts the round trips of pipelined transactions")
    connector = client.container.database._connector
    assert isinstance(connector, RoleConnector)
    connection = connector.get_connector(FUNCTIONS["ClaimsFunction"]).borrow(10.0)
    seen: list[str] = []
    with tempfile.TemporaryFile("w+b") as log:
        connection.pgconn.trace(log.fileno())
        try:
            yield seen
        finally:
            connection.pgconn.untrace()
            log.seek(0)
            seen += _WAITS.findall(log.read().decode())
