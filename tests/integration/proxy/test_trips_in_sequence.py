"""The round trips of whole calls, counted on the wire: how many there are, and how many follow each other."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import pytest

from shared.container import get_container
from tests.api_client import ApiReply
from tests.databases import IS_PIPELINED, FreshDatabase
from tests.delaying_proxy import DelayingProxy, RoundTrip, count_in_sequence, run_delaying_proxy
from tests.measurements import record
from tests.restore.rehearsal import LedgerCall, RehearsedService, run_service
from tests.roles import RoleConnector
from tests.sample_people import make_person
from tests.services import EmulatorHandle

# Long compared with the code between two round trips, so that overlapping ones are seen as such.
DELAY_S = 0.05
# Calls that are counted, of which the one with the fewest trips tells. On a busy machine a thread may start so late
# that what overlaps elsewhere does not, and a commit may come so late that the relay is woken once more.
COUNTED_CALLS = 5

_registrations: dict[str, LedgerCall] = {}

pytestmark = pytest.mark.skipif(not IS_PIPELINED, reason="it counts the round trips of pipelined transactions")


class TripCount(NamedTuple):
    """The round trips of a call: to AWS, to the database, and the longest sequence of both."""

    aws: int
    database: int
    in_sequence: int


@dataclass
class WiredService:
    """A service whose calls leave by two delaying proxies."""

    service: RehearsedService
    aws: DelayingProxy
    database: DelayingProxy

    def count_trips(self, call: LedgerCall) -> tuple[ApiReply, TripCount]:
        """Make a call; return its reply and its round trips."""
        self._take_trips()
        self.aws.delay_s = self.database.delay_s = DELAY_S
        reply = self.service.send(call)
        self.aws.delay_s = self.database.delay_s = 0.0
        aws, database = self._take_trips()
        return reply, TripCount(len(aws), len(database), count_in_sequence([*aws, *database]))

    def _take_trips(self) -> tuple[list[RoundTrip], list[RoundTrip]]:
        return self.aws.take_trips(), self.database.take_trips()


@pytest.fixture(scope="module")
def wired(emulator: EmulatorHandle, fresh_database: FreshDatabase) -> Iterator[WiredService]:
    """Yield the service, which has been called before: its connections are open."""
    aws_proxy = run_delaying_proxy(emulator.url)
    database_proxy = run_delaying_proxy(fresh_database.postgres.proxy.port)
    with (
        pytest.MonkeyPatch.context() as patch,
        aws_proxy as aws,
        database_proxy as database,
        run_service(emulator, fresh_database, patch, aws_url=aws.url) as service,
    ):
        patch.setenv("DB_PORT", str(database.port))
        get_container.cache_clear()
        get_container().__dict__["connector"] = RoleConnector(get_container().settings)
        for _ in range(2):  # what a repeat asks is asked by another role here, on a connection of its own
            assert service.send(register("first")).status == 201
        yield WiredService(service, aws, database)


def register(key: str) -> LedgerCall:
    """Return a registration, which writes jobs; the same one for the same key."""
    return _registrations.setdefault(key, LedgerCall("POST", "/members", make_person(), key=key))


def test_a_keyed_write_takes_two_round_trips_in_sequence(wired: WiredService) -> None:
    """Admission, then the transaction, beside which the relay is woken."""
    calls = [wired.count_trips(register(f"wired-1-{number}")) for number in range(COUNTED_CALLS)]
    trips = min(trips for _, trips in calls)
    record("trips_in_sequence", kind="keyed write with jobs", **trips._asdict())
    assert {reply.status for reply, _ in calls} == {201}
    assert trips == TripCount(aws=2, database=1, in_sequence=2)


def test_a_keyed_write_without_jobs_takes_the_same_two(wired: WiredService) -> None:
    """The relay is woken for its answer alone."""
    member = wired.service.register()
    wired.service.do_jobs()
    token = wired.service.sign_in(member)
    version, found = member["version"], []
    for number in range(COUNTED_CALLS):
        language = ("en", "sq")[number % 2]
        change = LedgerCall("PATCH", "/members/me", {"language": language}, token, f"wired-2-{number}", version)
        reply, trips = wired.count_trips(change)
        assert reply.status == 200
        version = json.loads(reply.body)["version"]
        found.append(trips)
    trips = min(found)
    record("trips_in_sequence", kind="keyed write", **trips._asdict())
    assert trips == TripCount(aws=2, database=1, in_sequence=2)


def test_the_first_repeat_asks_the_database_and_stores_the_answer_and_the_next_takes_one(wired: WiredService) -> None:
    """Who repeats waits for it, who doesn't never does."""
    for _ in range(2):  # the connection of repeats is in use then: one that is idle for long is tried out first
        wired.service.send(register("wired-3-before"))
    call = register("wired-3")
    first, _ = wired.count_trips(call)
    replies, trips = zip(*(wired.count_trips(call) for _ in range(2)), strict=True)
    record("trips_in_sequence", kind="first repeat", **trips[0]._asdict())
    record("trips_in_sequence", kind="later repeat", **trips[1]._asdict())
    assert {(reply.status, reply.body) for reply in replies} == {(201, first.body)}
    assert trips == (TripCount(aws=2, database=1, in_sequence=3), TripCount(aws=1, database=0, in_sequence=1))


def test_a_repeat_that_comes_after_the_relay_asks_no_database(wired: WiredService) -> None:
    """It stores the answer that it has made, so that all later ones are the same."""
    call = register("wired-4")
    first, _ = wired.count_trips(call)
    wired.service.relay_jobs()
    replies, trips = zip(*(wired.count_trips(call) for _ in range(2)), strict=True)
    record("trips_in_sequence", kind="first repeat after the relay", **trips[0]._asdict())
    assert {(reply.status, reply.body) for reply in replies} == {(201, first.body)}
    assert trips == (TripCount(aws=2, database=0, in_sequence=2), TripCount(aws=1, database=0, in_sequence=1))


def test_a_read_takes_its_limit_and_one_transaction(wired: WiredService) -> None:
    """One round trip to each."""
    member = wired.service.register()
    wired.service.do_jobs()
    reply, trips = wired.count_trips(LedgerCall("GET", "/members/me", who=wired.service.sign_in(member)))
    record("trips_in_sequence", kind="read", **trips._asdict())
    assert reply.status == 200
    assert trips == TripCount(aws=1, database=1, in_sequence=2)
