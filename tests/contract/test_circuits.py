"""The contract of CircuitStore: one suite over the fake that tests use and the table that production uses."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.aws.dynamodb_circuits import DynamoDbCircuitStore
from shared.circuit.state import (
    NEW,
    CircuitPolicy,
    CircuitSnapshot,
    FailureBucket,
    close_circuit,
    half_open_circuit,
    open_circuit,
    replace_bucket,
)
from shared.circuit.store import CircuitStore, StoreUnavailable, WriteResult, force_circuit
from tests.contract.dynamodb_clients import FailingClient, make_error, make_table, read_items, run_concurrently
from tests.fakes.circuits import InMemoryCircuitStore

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

EMAIL = CircuitPolicy(name="email")
NOW = 1_795_000_000_000_000
CALLS = 20


@pytest.fixture(params=["fake", "table"])
def store(request: pytest.FixtureRequest) -> CircuitStore:
    if request.param == "fake":
        return InMemoryCircuitStore()
    return DynamoDbCircuitStore(request.getfixturevalue("dynamodb"), request.getfixturevalue("state_table"))


def fail_circuit(seen: CircuitSnapshot, *ended: int) -> CircuitSnapshot:
    """Record failures that ended then; return the circuit."""
    return replace_bucket(seen, FailureBucket((*seen.bucket.failures, *ended), seen.bucket.leaked))


def count_written(written: Sequence[WriteResult]) -> int:
    """Return how many of the writes were made."""
    return sum(one.done for one in written)


def test_a_circuit_that_never_was_written_is_new(store: CircuitStore) -> None:
    """Closed, of generation 0, with nothing counted."""
    assert store.read("email") == NEW


def test_what_is_counted_is_read_again(store: CircuitStore) -> None:
    """The write itself says what the circuit is now."""
    to = replace_bucket(NEW, FailureBucket((NOW, NOW + 1), leaked=1))
    assert store.change("email", NEW, to) == WriteResult(done=True, now=to)
    assert store.read("email") == to
    assert store.read("storage") == NEW


def test_a_failure_is_added_and_forgotten(store: CircuitStore) -> None:
    """A revision each."""
    one = store.change("email", NEW, fail_circuit(NEW, NOW)).now
    two = store.change("email", one, fail_circuit(one, NOW + 5)).now
    assert (two.bucket, two.revision, two.generation) == (FailureBucket((NOW, NOW + 5)), 2, 0)
    none = replace_bucket(two, FailureBucket())
    assert store.change("email", two, none) == WriteResult(done=True, now=none)
    assert store.read("email") == none


def test_counting_on_what_has_changed_changes_nothing_and_shows_what_is(store: CircuitStore) -> None:
    """Another revision, or another generation: both are learned from the failure itself."""
    first = store.change("email", NEW, fail_circuit(NEW, NOW)).now
    later = store.change("email", first, fail_circuit(first, NOW + 1)).now
    assert store.change("email", first, fail_circuit(first, NOW + 2)) == WriteResult(done=False, now=later)
    assert store.change("email", NEW, fail_circuit(NEW, NOW + 2)) == WriteResult(done=False, now=later)
    tripped = store.change("email", later, open_circuit(later, EMAIL, NOW)).now
    assert store.change("email", later, fail_circuit(later, NOW + 2)) == WriteResult(done=False, now=tripped)
    assert store.change("email", NEW, fail_circuit(NEW, NOW + 2)) == WriteResult(done=False, now=tripped)
    assert store.read("email") == tripped


def test_failures_that_were_forgotten_meanwhile_do_not_open_a_circuit(store: CircuitStore) -> None:
    """The transition is made on what was seen, or not at all."""
    seen = store.change("email", NEW, fail_circuit(NEW, NOW)).now
    now = store.change("email", seen, replace_bucket(seen, FailureBucket())).now
    assert store.change("email", seen, open_circuit(seen, EMAIL, NOW)) == WriteResult(done=False, now=now)


def test_every_transition_is_read_back_as_it_was_written(store: CircuitStore) -> None:
    """Opened without ever having been counted, probed, closed, counted again, forced."""
    seen = NEW
    for move in (
        partial(open_circuit, policy=EMAIL, now=NOW),
        partial(half_open_circuit, policy=EMAIL, now=NOW + 30_000_000, holder="me"),
        partial(close_circuit, now=NOW + 31_000_000),
    ):
        to = move(seen)
        assert store.change("email", seen, to) == WriteResult(done=True, now=to)
        assert store.read("email") == to
        seen = to
    written = store.change("email", seen, fail_circuit(seen, NOW)).now
    assert (written.generation, written.since, written.bucket.failures) == (3, NOW + 31_000_000, (NOW,))
    assert store.read("email") == written


def test_a_transition_from_an_older_generation_is_refused_and_returns_the_current_state(store: CircuitStore) -> None:
    """A zombie's probe, whose lease was taken over, neither closes nor opens anything."""
    tripped = store.change("email", NEW, open_circuit(NEW, EMAIL, NOW)).now
    zombie = store.change("email", tripped, half_open_circuit(tripped, EMAIL, NOW, "zombie")).now
    taken = store.change("email", zombie, half_open_circuit(zombie, EMAIL, NOW, "successor")).now
    assert store.change("email", zombie, close_circuit(zombie, NOW)) == WriteResult(done=False, now=taken)
    assert store.change("email", NEW, open_circuit(NEW, EMAIL, NOW)) == WriteResult(done=False, now=taken)
    assert store.read("email") == taken


def test_concurrent_calls_count_together(store: CircuitStore) -> None:
    """Twenty that saw the same circuit add up to twenty: each lost try shows what another has added."""

    def count() -> int:
        seen, tries = NEW, 0
        while True:
            written = store.change("email", seen, fail_circuit(seen, NOW))
            seen, tries = written.now, tries + 1
            if written.done:
                return tries

    assert max(run_concurrently([count] * CALLS)) <= CALLS
    assert (store.read("email").bucket, store.read("email").revision) == (FailureBucket((NOW,) * CALLS), CALLS)


def test_one_of_many_concurrent_calls_changes_the_circuit(store: CircuitStore) -> None:
    """One call opens the circuit, and one takes the probe's lease; the others learn who has it."""
    trips = run_concurrently([lambda: store.change("email", NEW, open_circuit(NEW, EMAIL, NOW))] * CALLS)
    assert count_written(trips) == 1
    seen = store.read("email")

    def probe(holder: str) -> Callable[[], WriteResult]:
        return lambda: store.change("email", seen, half_open_circuit(seen, EMAIL, NOW, holder))

    probes = run_concurrently([probe(f"environment-{n}") for n in range(CALLS)])
    assert count_written(probes) == 1
    assert {one.now.holder for one in probes} == {store.read("email").holder}


def test_operators_hold_a_circuit_and_let_it_go(store: CircuitStore) -> None:
    """Open, closed, and by itself again; a command repeated changes nothing."""
    held = force_circuit(store, EMAIL, "open", NOW)
    assert (held.state, held.forced, held.generation) == ("open", True, 1)
    assert force_circuit(store, EMAIL, "open", NOW + 1) == held
    shut = force_circuit(store, EMAIL, "closed", NOW + 2)
    assert (shut.state, shut.forced, shut.generation, shut.since) == ("closed", True, 2, NOW + 2)
    free = force_circuit(store, EMAIL, "auto", NOW + 3)
    assert (free.state, free.forced, free.generation) == ("closed", False, 3)
    assert force_circuit(store, EMAIL, "auto", NOW + 4) == free == store.read("email")


def test_a_command_gets_through_while_the_circuit_changes(store: CircuitStore) -> None:
    """The command is carried out on the present circuit, even if the operator saw an older one."""

    class Moving:
        """Opens by itself just before the write."""

        def __init__(self) -> None:
            self.moved = False

        read = staticmethod(store.read)

        def change(self, name: str, seen: CircuitSnapshot, to: CircuitSnapshot) -> WriteResult:
            if not self.moved:
                self.moved = store.change(name, seen, open_circuit(seen, EMAIL, NOW)).done
            return store.change(name, seen, to)

    held = force_circuit(Moving(), EMAIL, "closed", NOW)
    assert (held.state, held.generation) == ("closed", 2)
    assert store.read("email") == held


stamps = st.integers(NOW, NOW + 2)
writes = st.builds(
    lambda generation, revision, failures, leaked: CircuitSnapshot(
        "closed", generation, bucket=FailureBucket(tuple(sorted(failures)), leaked), revision=revision
    ),
    st.integers(0, 2),
    st.integers(0, 2),
    st.lists(stamps, max_size=3),
    st.integers(0, 1),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(writes, writes), min_size=1, max_size=6))
def test_the_fake_counts_as_the_table_does(
    dynamodb: "DynamoDBClient", state_table: str, tried: list[tuple[CircuitSnapshot, CircuitSnapshot]]
) -> None:
    """Fake and table agree whatever is written, on whatever basis."""
    fake, table = InMemoryCircuitStore(), DynamoDbCircuitStore(dynamodb, state_table)
    dynamodb.delete_item(TableName=state_table, Key={"pk": {"S": "circuit#email"}})
    for seen, to in tried:
        assert table.change("email", seen, to) == fake.change("email", seen, to)
    assert table.read("email") == fake.read("email")


OF_AN_EARLIER_RELEASE = {
    "state": {"S": "closed"}, "generation": {"N": "4"}, "since": {"N": str(NOW)}, "slot": {"N": "59833333"},
    "calls": {"N": "9"}, "failures": {"N": "4"}, "slow": {"N": "1"},
    "calls_before": {"N": "0"}, "failures_before": {"N": "0"}, "slow_before": {"N": "0"},
}  # fmt: skip


def test_an_item_of_an_earlier_release_is_a_circuit_with_no_failures(
    dynamodb: "DynamoDBClient", state_table: str
) -> None:
    """Its generation goes on, and what is written leaves no name that the earlier release reads otherwise."""
    item = {"pk": {"S": "circuit#email"}, **OF_AN_EARLIER_RELEASE}
    dynamodb.put_item(TableName=state_table, Item=item)
    store = DynamoDbCircuitStore(dynamodb, state_table)
    seen = store.read("email")
    assert seen == CircuitSnapshot("closed", 4, NOW)
    assert store.change("email", seen, fail_circuit(seen, NOW)).done
    assert store.read("email") == fail_circuit(seen, NOW)
    left = set(read_items(dynamodb, state_table)["circuit#email"])
    assert left.isdisjoint({"calls", "failures", "slow"})


def test_a_table_that_is_gone_is_unavailable(dynamodb: "DynamoDBClient") -> None:
    """The error's code alone says that the store is unavailable."""
    name = make_table(dynamodb)
    dynamodb.delete_table(TableName=name)
    store = DynamoDbCircuitStore(dynamodb, name)
    calls: list[Callable[[], object]] = [
        lambda: store.read("email"),
        lambda: store.change("email", NEW, fail_circuit(NEW, NOW)),
        lambda: store.change("email", NEW, open_circuit(NEW, EMAIL, NOW)),
    ]
    for call in calls:
        with pytest.raises(StoreUnavailable, match=r"^ResourceNotFoundException$"):
            call()


def test_an_answer_that_was_lost_is_found_in_the_table(dynamodb: "DynamoDBClient", state_table: str) -> None:
    """The write was made: whoever looks again knows their own token."""
    failing = FailingClient(dynamodb, lambda _: make_error("InternalServerError", 500), after=True)
    deaf = DynamoDbCircuitStore(failing, state_table)  # type: ignore[arg-type]
    with pytest.raises(StoreUnavailable):
        deaf.change("email", NEW, half_open_circuit(NEW, EMAIL, NOW, "mine"))
    assert DynamoDbCircuitStore(dynamodb, state_table).read("email").holder == "mine"


def test_a_circuits_item_is_never_deleted_by_itself(dynamodb: "DynamoDBClient", state_table: str) -> None:
    """Its generation would begin anew, and a zombie's would be current again."""
    store = DynamoDbCircuitStore(dynamodb, state_table)
    seen = store.change("email", NEW, fail_circuit(NEW, NOW)).now
    store.change("email", seen, open_circuit(seen, EMAIL, NOW))
    assert "expires_at" not in read_items(dynamodb, state_table)["circuit#email"]
