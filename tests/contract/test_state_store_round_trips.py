"""The cost of a decision on limit and key, and its outcome when the table misbehaves or is gone."""

from collections.abc import Callable, Mapping
from itertools import chain, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ConnectTimeoutError, EndpointConnectionError, ReadTimeoutError

from shared.admission.ports import (
    AdmissionDecision,
    Admitted,
    InProgress,
    KeyReused,
    KeyUse,
    LimitCharge,
    OverLimit,
    RateLimit,
    Replay,
    StoredAnswer,
)
from shared.aws.dynamodb_admission import CONTENTION_BACKOFF, UNAVAILABLE_PAUSE_S, DynamoDbAdmissionStore
from shared.aws.dynamodb_admission_items import make_bucket_key, make_record_key
from shared.units import SECOND, convert_to_epoch_micros
from tests.contract.dynamodb_clients import (
    FIVE_A_MINUTE,
    LEASE_S,
    CountingClient,
    FailingClient,
    make_cancellation,
    make_charge,
    make_client,
    make_conflict,
    make_error,
    make_table,
    make_use,
    read_items,
    read_token,
)
from tests.fakes.clock import ManualClock
from tests.services import run_emulator

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

CREATED = StoredAnswer(201, {"ETag": '"1"'}, "{}")
READS = {"get_item"}


class StoreEnvironment:
    """An execution environment: a store with a memory of its own, what it reported and how long it paused."""

    def __init__(self, client: Any, table: str, clock: ManualClock) -> None:
        self.events: list[tuple[str, Mapping[str, object]]] = []
        self.pauses: list[float] = []
        self.counting = CountingClient(client)
        self.store = DynamoDbAdmissionStore(
            self.counting,  # type: ignore[arg-type]  # a client in all that the store asks of one
            table,
            now=clock,
            observer=lambda event, facts: self.events.append((event, facts)),
            uniform=lambda low, high: high,
            sleep=self.pauses.append,
        )

    def admit(self, charge: LimitCharge | None = None, use: KeyUse | None = None) -> AdmissionDecision:
        return self.store.admit(charge=charge, use=use, lease_s=LEASE_S)

    def list_calls(self, charge: LimitCharge | None = None, use: KeyUse | None = None) -> tuple[type, list[str]]:
        """Return the kind of decision, and the calls that it took."""
        self.counting.calls.clear()
        return type(self.admit(charge, use)), list(self.counting.calls)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def new_environment(
    dynamodb: "DynamoDBClient", state_table: str, clock: ManualClock
) -> Callable[..., StoreEnvironment]:
    """Makes environments that share a table and a clock, each with a client of its own."""

    def make(wrap: Callable[["DynamoDBClient"], Any] = lambda client: client) -> StoreEnvironment:
        return StoreEnvironment(wrap(dynamodb), state_table, clock)

    return make


@pytest.fixture
def environment(new_environment: Callable[..., StoreEnvironment]) -> StoreEnvironment:
    return new_environment()


def test_new_work_is_admitted_in_one_round_trip(environment: StoreEnvironment) -> None:
    """Key and limit together are one transaction."""
    assert environment.list_calls(make_charge(), make_use()) == (Admitted, ["transact_write_items"])


def test_half_an_admission_is_one_single_write(environment: StoreEnvironment) -> None:
    """A charge alone is one UpdateItem, a key alone one PutItem: half the price of a transaction."""
    assert environment.list_calls(make_charge()) == (Admitted, ["update_item"])
    assert environment.list_calls(use=make_use()) == (Admitted, ["put_item"])


def test_a_replay_takes_one_round_trip(environment: StoreEnvironment) -> None:
    """The failed condition brings the answer along."""
    environment.store.complete(make_use(), read_token(environment.admit(use=make_use())), CREATED)
    assert environment.list_calls(make_charge(), make_use()) == (Replay, ["transact_write_items"])
    assert environment.list_calls(use=make_use()) == (Replay, ["put_item"])


def test_a_conflicting_call_is_refused_in_one_round_trip(environment: StoreEnvironment) -> None:
    """A running first call and a reused key are found in one round trip as well."""
    environment.admit(make_charge(), make_use())
    assert environment.list_calls(make_charge(), make_use()) == (InProgress, ["transact_write_items"])
    assert environment.list_calls(make_charge(), make_use(fingerprint="another")) == (
        KeyReused,
        ["transact_write_items"],
    )


def test_a_burst_in_one_environment_takes_one_round_trip_a_call(environment: StoreEnvironment) -> None:
    """An environment that has seen the bucket knows which of the two conditions to ask for."""
    calls = [environment.list_calls(make_charge(), make_use(f"key-{n}")) for n in range(5)]
    assert calls == [(Admitted, ["transact_write_items"])] * 5


def test_a_burst_over_the_fleet_takes_two_round_trips_a_call(new_environment: Callable[..., StoreEnvironment]) -> None:
    """An environment that has not seen the bucket learns its state in the first round trip."""
    calls = [new_environment().list_calls(make_charge(), make_use(f"key-{n}")) for n in range(5)]
    assert calls == [(Admitted, ["transact_write_items"])] + [(Admitted, ["transact_write_items"] * 2)] * 4


def test_a_bucket_full_again_takes_one_round_trip(environment: StoreEnvironment, clock: ManualClock) -> None:
    """A TAT that has passed is asked for as a bucket that is full."""
    environment.admit(make_charge(), make_use("first"))
    clock.advance(12)
    assert environment.list_calls(make_charge(), make_use("second")) == (Admitted, ["transact_write_items"])


def test_the_first_refusal_takes_two_round_trips(
    environment: StoreEnvironment, new_environment: Callable[..., StoreEnvironment]
) -> None:
    """An environment new to a spent bucket learns it in one round trip, and looks at the key in another."""
    for _ in range(5):
        environment.admit(make_charge())
    assert new_environment().list_calls(make_charge(), make_use()) == (OverLimit, ["transact_write_items", "get_item"])
    assert new_environment().list_calls(make_charge()) == (OverLimit, ["update_item"])


def test_a_known_abuser_causes_no_write(environment: StoreEnvironment) -> None:
    """A remembered refusal costs one read where a key is sent and nothing where none is."""
    while not isinstance(environment.admit(make_charge()), OverLimit):
        pass
    for n in range(50):
        assert environment.list_calls(make_charge()) == (OverLimit, [])
        assert environment.list_calls(make_charge(), make_use(f"key-{n}")) == (OverLimit, ["get_item"])


def test_a_refusal_is_remembered_until_it_ends_and_no_longer(environment: StoreEnvironment, clock: ManualClock) -> None:
    """The first call that the table would accept is put to it."""
    while not isinstance(environment.admit(make_charge()), OverLimit):
        pass
    clock.advance(12)
    assert environment.list_calls(make_charge()) == (Admitted, ["update_item"])


def test_a_memory_too_small_refuses_nobody_wrongly(
    dynamodb: "DynamoDBClient", state_table: str, clock: ManualClock
) -> None:
    """With a cache of one bucket, three clients taking turns get five each and then refusals."""
    store = DynamoDbAdmissionStore(
        dynamodb, state_table, now=clock, observer=lambda event, facts: None, recent_buckets=1
    )
    turns = [store.admit(charge=make_charge(f"client-{n % 3}"), use=None, lease_s=LEASE_S) for n in range(18)]
    assert [type(decision) for decision in turns] == [Admitted] * 15 + [OverLimit] * 3


def test_a_table_that_lost_its_items_is_believed(
    environment: StoreEnvironment, dynamodb: "DynamoDBClient", state_table: str
) -> None:
    """A bucket remembered in use but gone from the table is a full one."""
    environment.admit(make_charge(), make_use("before"))
    for pk in read_items(dynamodb, state_table):
        dynamodb.delete_item(TableName=state_table, Key={"pk": {"S": pk}})
    assert environment.list_calls(make_charge(), make_use()) == (Admitted, ["transact_write_items"] * 2)


def test_the_table_deletes_nothing_that_still_counts(
    environment: StoreEnvironment, dynamodb: "DynamoDBClient", state_table: str, clock: ManualClock
) -> None:
    """Each item's TTL, in seconds, lies after the end of what it says, however long that is."""
    a_day = make_charge(limit=RateLimit("daily", 5, 24 * 3600))
    for n in range(5):
        environment.admit(a_day, make_use(f"key-{n}"))
    environment.store.complete(make_use(), read_token(environment.admit(use=make_use())), CREATED)
    items = read_items(dynamodb, state_table)
    ends = {pk: int((item.get("tat") or item["free_at"])["N"]) for pk, item in items.items()}
    assert all(int(items[pk]["expires_at"]["N"]) * SECOND > end for pk, end in ends.items())
    assert ends[make_bucket_key(a_day)] == convert_to_epoch_micros(clock()) + 24 * 3600 * SECOND
    assert ends[make_record_key(make_use())] == convert_to_epoch_micros(clock()) + 24 * 3600 * SECOND


def test_no_address_and_no_key_is_in_the_table(
    environment: StoreEnvironment, dynamodb: "DynamoDBClient", state_table: str
) -> None:
    """Scopes, buckets and keys may hold addresses and are only stored hashed."""
    environment.admit(make_charge("192.0.2.7"), make_use("my-key", scope="192.0.2.7 POST /members"))
    assert not any(text in str(read_items(dynamodb, state_table)) for text in ("192.0.2.7", "my-key"))


def fail_writes(failures: Any) -> Callable[[str], Exception | None]:
    """Return the next of `failures` for each write; reads pass."""
    return lambda name: None if name in READS else next(failures, None)


@pytest.mark.parametrize(
    "failure",
    [make_cancellation([False, True]), make_cancellation([True, False]), make_error("TransactionInProgressException")],
    ids=["bucket", "key", "in-progress"],
)
def test_a_conflict_is_tried_again(new_environment: Callable[..., StoreEnvironment], failure: Exception) -> None:
    """Cancelled three times, a call looks at what got in its way, tries again, and is admitted."""
    failures = repeat(failure, 3)
    environment = new_environment(lambda client: FailingClient(client, fail_writes(failures)))
    decision, calls = environment.list_calls(make_charge(), make_use())
    assert decision is Admitted
    assert calls == ["transact_write_items", "get_item", "get_item"] * 3 + ["transact_write_items"]
    assert environment.pauses == [0.04, 0.08, 0.16]


def test_a_write_whose_answer_was_lost_is_known_again(
    new_environment: Callable[..., StoreEnvironment], dynamodb: "DynamoDBClient", state_table: str
) -> None:
    """A call that finds its own token in its way has been admitted, and was charged once."""
    failures = iter([make_error("TransactionInProgressException")])
    environment = new_environment(lambda client: FailingClient(client, fail_writes(failures), after=True))
    token = read_token(environment.admit(make_charge(), make_use()))
    item = read_items(dynamodb, state_table)[make_record_key(make_use())]
    assert item["holder"]["S"] == token
    assert [type(environment.admit(make_charge())) for _ in range(5)] == [Admitted] * 4 + [OverLimit]


@pytest.mark.parametrize("key", [make_use(), None])
def test_a_call_among_endless_concurrent_calls_is_refused(
    new_environment: Callable[..., StoreEnvironment], key: KeyUse | None
) -> None:
    """Nobody gets past a limit by many concurrent calls: after the last try the call is asked to come again."""
    failures = repeat(make_cancellation([True, True]) if key else make_conflict())
    environment = new_environment(lambda client: FailingClient(client, fail_writes(failures)))
    decision = environment.admit(make_charge(), key)
    assert isinstance(decision, OverLimit)
    assert decision.retry_after_s == 1.0
    assert environment.events == [("state_store_contended", {"operation": "admit"})]
    assert len(environment.pauses) == CONTENTION_BACKOFF.retries + 1


def test_a_key_in_dispute_to_the_end_is_running(new_environment: Callable[..., StoreEnvironment]) -> None:
    """A call without a limit that can't get the key is answered that another call has it."""
    environment = new_environment(lambda client: FailingClient(client, fail_writes(repeat(make_conflict()))))
    assert isinstance(environment.admit(use=make_use()), InProgress)


def test_a_replay_is_found_while_the_bucket_is_in_dispute(
    environment: StoreEnvironment, new_environment: Callable[..., StoreEnvironment]
) -> None:
    """A known key is answered though every transaction of its client is cancelled."""
    environment.store.complete(make_use(), read_token(environment.admit(use=make_use())), CREATED)
    crowded = new_environment(
        lambda client: FailingClient(client, fail_writes(repeat(make_cancellation([False, True]))))
    )
    assert crowded.list_calls(make_charge(), make_use()) == (Replay, ["transact_write_items", "get_item", "get_item"])


@pytest.mark.parametrize("operation", ["complete", "release"])
def test_an_ending_is_tried_again_where_it_meets_a_transaction(
    new_environment: Callable[..., StoreEnvironment], operation: str
) -> None:
    """Many calls for the key do not keep its holder from answering or giving it back."""
    failures = chain([None], repeat(make_conflict(), 3))
    environment = new_environment(lambda client: FailingClient(client, fail_writes(failures)))
    token = read_token(environment.admit(use=make_use()))
    arguments = (CREATED,) if operation == "complete" else ()
    getattr(environment.store, operation)(make_use(), token, *arguments)
    assert len(environment.pauses) == 3
    assert isinstance(environment.admit(use=make_use()), Replay if operation == "complete" else Admitted)
    assert environment.events == []


UNREACHABLE = {
    "refused": EndpointConnectionError(endpoint_url="state"),
    "connect-timeout": ConnectTimeoutError(endpoint_url="state"),
    "read-timeout": ReadTimeoutError(endpoint_url="state"),
}
UNABLE = {
    "throttled": make_error("ThrottlingException"),
    "over-capacity": make_error("ProvisionedThroughputExceededException"),
    "server-error": make_error("InternalServerError", 500),
    "no-table": make_error("ResourceNotFoundException"),
    "no-permission": make_error("AccessDeniedException"),
    "throttled-transaction": make_cancellation([False, True], "ThrottlingError"),
}


OUT_OF_REACH = UNREACHABLE | UNABLE


@pytest.mark.parametrize("name", OUT_OF_REACH)
def test_a_store_out_of_reach_lets_calls_through(new_environment: Callable[..., StoreEnvironment], name: str) -> None:
    """admit() fails open, with an event; the endings only report. One that says nothing is left alone for a while."""
    environment = new_environment(lambda client: FailingClient(client, lambda _: OUT_OF_REACH[name]))
    assert environment.admit(make_charge(), make_use()) == Admitted(quota=None, token=None)
    environment.store.complete(make_use(), "token", CREATED)
    environment.store.release(make_use(), "token")
    calls = ["transact_write_items", "update_item", "delete_item"]
    assert environment.counting.calls == calls[: 1 if name in UNREACHABLE else 3]
    events = [(event, facts["operation"]) for event, facts in environment.events]
    assert events == [("state_store_unavailable", name) for name in ("admit", "complete", "release")]
    assert environment.pauses == []


def test_a_store_that_was_out_of_reach_is_asked_again_after_a_pause(
    new_environment: Callable[..., StoreEnvironment], clock: ManualClock
) -> None:
    """One call asks it and waits for the answer; calls within the pause don't."""
    environment = new_environment(lambda client: FailingClient(client, lambda _: UNREACHABLE["read-timeout"]))
    for _ in range(3):
        for _ in range(5):
            assert environment.admit(make_charge(), make_use()) == Admitted(quota=None, token=None)
        clock.advance(UNAVAILABLE_PAUSE_S)
    assert len(environment.counting.calls) == 3


def test_an_event_names_the_error(new_environment: Callable[..., StoreEnvironment]) -> None:
    """Observers can distinguish an outage from a missing permission."""
    for name, code in (("refused", "EndpointConnectionError"), ("no-permission", "AccessDeniedException")):
        failure = OUT_OF_REACH[name]
        environment = new_environment(lambda client, failure=failure: FailingClient(client, lambda _: failure))
        environment.admit(make_charge())
        assert environment.events == [("state_store_unavailable", {"operation": "admit", "error": code})]


def test_a_limited_client_gets_through_where_its_key_cannot_be_read(
    environment: StoreEnvironment, new_environment: Callable[..., StoreEnvironment]
) -> None:
    """A remembered refusal with a key that can't be looked at is no refusal: it might be a replay."""
    failing = new_environment(
        lambda client: FailingClient(client, lambda name: make_error("Throttled") if name in READS else None)
    )
    while not isinstance(failing.admit(make_charge()), OverLimit):
        pass
    assert failing.admit(make_charge(), make_use()) == Admitted(quota=None, token=None)


def test_a_store_that_dies_lets_calls_through(tmp_path: Path, clock: ManualClock) -> None:
    """The emulator is killed under a held key: nothing raises, nothing is limited, and each is reported."""
    with run_emulator(tmp_path) as emulator:
        client = make_client(emulator.url)
        environment = StoreEnvironment(client, make_table(client), clock)
        token = read_token(environment.admit(make_charge(), make_use()))
        emulator.kill()
        for n in range(7):
            assert environment.admit(make_charge("other"), make_use(f"key-{n}")) == Admitted(quota=None, token=None)
        environment.store.complete(make_use(), token, CREATED)
        environment.store.release(make_use(), token)
    assert [event for event, _ in environment.events] == ["state_store_unavailable"] * 9
    assert FIVE_A_MINUTE.burst < 7
