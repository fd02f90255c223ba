"""Registrations whose connection is cut at a chosen byte, repeated by their client, and counted."""

import itertools
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from local.database_proxy.faults import Direction
from local.database_proxy.proxy import Proxy
from members.app import api
from shared.database.pipeline import Database
from shared.errors import Unavailable
from shared.retry.backoff import Backoff
from shared.retry.budget import RetryBudget
from shared.sql import Query
from tests.api_client import ApiClient, ApiReply
from tests.databases import FreshDatabase, make_deadline
from tests.integration.function_client import make_client
from tests.roles import FUNCTIONS, RoleConnector
from tests.sample_people import make_person

# What one registration writes; whatever was cut and repeated must leave exactly this, times its number.
WRITES = {"accounts": 1, "members": 1, "subscriptions": 1, "audit": 1, "outbox": 2, "idempotency_keys": 1}


# The answer to another registration may be this many bytes shorter: times are written without trailing zeros.
VARYING = 8


@dataclass(frozen=True)
class CutOutcome:
    """The status a client got, whether its repeat found the work done, and whether the connection was cut at all."""

    status: int
    found: bool
    cut: bool = True


class CutConnectionSetup:
    """Two execution environments behind a proxy: one meets the cut, the other the repeat."""

    def __init__(self, fresh_database: FreshDatabase, proxy: Proxy, *, retries: int) -> None:
        self.fresh_database = fresh_database
        self.proxy = proxy
        self._retries = retries
        self._first, self._second = self._make_environment(retries), self._make_environment(0)
        self._before = self._count_rows()

    def measure_round_trip(self, direction: Direction) -> list[int]:
        """Return the lengths of the messages of a registration's round trip, one way."""
        self._warm(self._first)
        with self.proxy.watch_traffic() as traffic:
            assert self._register(self._first, *self._make_registration()).status == 201
        self._before = self._count_rows()
        return [length for _, length in getattr(traffic, direction)]

    def cut(self, direction: Direction, after: int, *, connected: bool = True) -> CutOutcome:
        """Cut one registration, and have its client repeat it elsewhere: the work is done once, with one answer."""
        asked = self._make_registration()
        client = self._first if connected else self._make_environment(self._retries)
        if connected:
            self._warm(client)
        with self.proxy.faults.cut(direction, after) as cut:
            reply = self._register(client, *asked)
        repeat, again = self._register(self._second, *asked), self._register(self._make_environment(0), *asked)
        found = repeat.headers.get("Idempotency-Replayed") == "true"
        assert (repeat.status, again.status, again.body) == (201, 201, repeat.body), (direction, after)
        assert again.headers["Idempotency-Replayed"] == "true"
        if reply.status == 201:
            assert (reply.body, found) == (repeat.body, True), (direction, after)
        else:
            assert (reply.status, reply.problem, "Retry-After" in reply.headers) == (503, "unavailable", True)
        return CutOutcome(reply.status, found, cut.done == 1)

    def count_written(self) -> dict[str, int]:
        """Return how many rows there are more than before the first cut."""
        now = self._count_rows()
        return {table: now[table] - self._before[table] for table in WRITES}

    def list_uneven(self) -> list[dict[str, Any]]:
        """Members with more or less than one subscription, one audit entry and one job of each kind."""
        return self.fresh_database.query_rows(
            "SELECT m.id FROM members m WHERE (SELECT count(*) FROM subscriptions s WHERE s.member_id = m.id) <> 1"
            " OR (SELECT count(*) FROM audit a WHERE a.subject_id = m.id) <> 1"
            " OR (SELECT array_agg(kind ORDER BY kind) FROM outbox o WHERE o.subject_id = m.id)"
            " IS DISTINCT FROM '{identity,mail}'::text[]"
        )

    def _make_environment(self, retries: int) -> ApiClient:
        """Return an environment with an empty state table, so it knows a key from the database only."""
        roles = RoleConnector(self.fresh_database.settings.model_copy(update={"db_port": self.proxy.port}))
        # A statement of the test's own connects before the cut; the registration uses that connection.
        connector = roles.get_connector(FUNCTIONS["MembersFunction"])
        # The tests ask what a retry does, not how many there may be: many cuts would use up any real budget.
        budget, backoff = RetryBudget(most_saved=1_000_000), Backoff(retries=retries, base_s=0.001)
        database = Database(connector, backoff=backoff, budget=budget)
        return make_client(api, self.fresh_database, database=database)

    def _make_registration(self) -> tuple[dict[str, Any], str]:
        """Return a registration and its key; all of one length on the wire."""
        return make_person(), uuid4().hex

    def _register(self, client: ApiClient, body: dict[str, Any], key: str) -> ApiReply:
        return client.call("POST", "/members", body, key=key)

    def _warm(self, client: ApiClient) -> None:
        with suppress(Unavailable):  # the last cut may have come after a whole answer
            client.container.database.run(lambda tx: tx.fetch_all(Query("SELECT 1")), make_deadline())
            return
        client.container.database.run(lambda tx: tx.fetch_all(Query("SELECT 1")), make_deadline())

    def _count_rows(self) -> dict[str, int]:
        return {table: self.fresh_database.count(table) for table in WRITES}


def check(direction: Direction, size: int, outcomes: Mapping[int, CutOutcome], *, retries: int) -> None:
    """Check the outcome of cuts at those places of a round trip of `size` bytes one way."""
    certain = {after: outcome for after, outcome in outcomes.items() if after < size - VARYING}
    assert {outcome.cut for outcome in certain.values()} == {True}
    if retries:  # nobody notices
        assert {(outcome.status, outcome.found) for outcome in outcomes.values()} == {(201, True)}
    elif direction == "to_server":  # nothing was begun, or it was not ended
        assert set(certain.values()) == {CutOutcome(503, found=False)}
    else:  # only the answer was lost
        assert set(certain.values()) == {CutOutcome(503, found=True)}


def list_boundaries(lengths: Iterable[int]) -> list[int]:
    """Return the bytes before, at and after the end of each message, and the stream's beginning."""
    ends = list(itertools.accumulate(lengths))
    return sorted({0, *(byte for end in ends for byte in (end - 1, end, end + 1) if byte <= ends[-1])})
