"""A read on a database connection of its own, which shows whether the database accepts connections at all."""

from typing import TypeVar

from shared.clock import read_monotonic
from shared.database.connection import Connect, ConnectionHolder
from shared.database.pipeline import Database
from shared.database.transaction import UseCase
from shared.deadline import Deadline
from shared.retry.backoff import Backoff

T = TypeVar("T")

ONCE = Backoff(retries=0)
NEVER_S = float("inf")


def read_once(connect: Connect, use_case: UseCase[T], deadline: Deadline) -> T:
    """Connect, read once, disconnect. Raise Unavailable, psycopg.Error."""
    connector = ConnectionHolder(connect, idle_timeout_s=NEVER_S, max_lifetime_s=NEVER_S, clock=read_monotonic)
    try:
        return Database(connector, backoff=ONCE).run(use_case, deadline).value
    finally:
        connector.drop()
