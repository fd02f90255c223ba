"""A fleet of environments before a dependency in trouble, on a real table; Powertools' breaker beside it."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from aws_lambda_powertools.utilities.circuit_breaker import CircuitBreakerOpenError

from shared.aws.dynamodb_circuits import DynamoDbCircuitStore
from shared.circuit.client import CircuitStoreClient
from shared.circuit.state import NEW, CircuitPolicy, open_circuit
from shared.circuit.store import CircuitStore
from shared.clock import read_epoch_micros, read_monotonic
from tests.breakers import (
    EMAIL,
    GENEROUS_S,
    CountingDependency,
    DependencyDown,
    ManualTime,
    make_breaker,
    make_environment,
    raise_down,
    try_call,
)
from tests.contract.dynamodb_clients import make_client, make_table, run_concurrently
from tests.fakes.circuits import InMemoryCircuitStore
from tests.measurements import record
from tests.powertools import make_powertools_environment
from tests.services import EmulatorHandle

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

THRESHOLD = EMAIL.failures
SIZES = pytest.mark.parametrize("size", [1, 10, 20, 50])
ROUNDS = 6
Caller = Callable[[Callable[[], None]], object]


@pytest.fixture(scope="module")
def dynamodb(emulator: EmulatorHandle) -> "DynamoDBClient":
    """Return a client of the emulated DynamoDB."""
    return make_client(emulator.url)


def make_circuit_store(client: "DynamoDBClient") -> CircuitStore:
    """Return a new, real table."""
    return DynamoDbCircuitStore(client, make_table(client))


def make_our_callers(store: CircuitStore, size: int, policy: CircuitPolicy = EMAIL) -> list[Caller]:
    """Callers, each behind a breaker of its own."""

    def caller() -> Caller:
        breaker = make_environment(store, policy=policy)
        return lambda run: try_call(breaker, run)

    return [caller() for _ in range(size)]


def make_powertools_callers(client: "DynamoDBClient", size: int, *, cache_s: int = 0) -> list[Caller]:
    """Return the same behind Powertools', which raises if the circuit is open."""
    table = make_table(client)

    def caller() -> Caller:
        call = make_powertools_environment(client, table, threshold=THRESHOLD, cache_s=cache_s)

        def run_caught(run: Callable[[], None]) -> None:
            with suppress(DependencyDown, CircuitBreakerOpenError):
                call(run)

        return run_caught

    return [caller() for _ in range(size)]


def call_one_by_one(callers: Sequence[Caller], run: Callable[[], None], rounds: int = ROUNDS) -> None:
    """Each calls in turn, round after round: one call is in flight."""
    for _ in range(rounds):
        for call in callers:
            call(run)


def call_at_once(callers: Sequence[Caller], run: Callable[[], None], rounds: int = ROUNDS) -> None:
    """All call at the same moment, round after round: as many calls are in flight as there are callers."""
    for _ in range(rounds):
        run_concurrently([lambda call=call: call(run) for call in callers])  # type: ignore[misc]


@SIZES
def test_a_dead_dependency_is_called_as_often_as_the_threshold_says_and_no_more(
    dynamodb: "DynamoDBClient", size: int
) -> None:
    """Environments in turn: five calls, however many there are; Powertools lets four more through for each."""
    dead, fake, beside = CountingDependency(raise_down), CountingDependency(raise_down), CountingDependency(raise_down)
    call_one_by_one(make_our_callers(make_circuit_store(dynamodb), size), dead)
    call_one_by_one(make_our_callers(InMemoryCircuitStore(), size), fake)
    call_one_by_one(make_powertools_callers(dynamodb, size), beside)
    record("breaker.calls", size=size, ours=dead.calls, powertools=beside.calls)
    assert dead.calls == fake.calls == THRESHOLD
    assert beside.calls == 4 * size + 1


@SIZES
def test_of_calls_made_at_once_only_those_in_flight_come_on_top(dynamodb: "DynamoDBClient", size: int) -> None:
    """Six rounds: the first is in flight as a whole, after it the fleet knows."""
    dead, fake, beside = CountingDependency(raise_down), CountingDependency(raise_down), CountingDependency(raise_down)
    call_at_once(make_our_callers(make_circuit_store(dynamodb), size), dead)
    call_at_once(make_our_callers(InMemoryCircuitStore(), size), fake)
    call_at_once(make_powertools_callers(dynamodb, size), beside)
    record("breaker.calls_at_once", size=size, ours=dead.calls, powertools=beside.calls)
    assert dead.calls <= THRESHOLD + size
    assert fake.calls <= THRESHOLD + size
    assert beside.calls > (THRESHOLD - 1) * size


def make_timed_callers(store: CircuitStore, size: int, time: ManualTime) -> list[Caller]:
    """Callers behind breakers whose time is the test's."""

    def caller() -> Caller:
        client = CircuitStoreClient(store, timer=read_monotonic, patience_s=GENEROUS_S)
        one = make_breaker(client, now=time, timer=time.read_seconds)
        return lambda run: try_call(one, run)

    return [caller() for _ in range(size)]


def serve_for_a_minute(callers: Sequence[Caller], successes: int, time: ManualTime) -> None:
    """Make `successes` good calls, evenly spread over a minute and over the callers."""
    for n in range(successes):
        callers[n % len(callers)](lambda: None)
        time.advance(60 / successes)


# Each environment reads the table once a second of that minute: 6,000 successes of 50 would be 3,000 reads.
ON_THE_TABLE = {(size, successes) for size in (1, 10, 20, 50) for successes in (0, 60, 600)} | {(1, 6000), (10, 6000)}


@pytest.mark.parametrize("successes", [0, 60, 600, 6000])
@SIZES
def test_after_any_minute_a_dead_dependency_is_called_as_often_as_the_threshold_says(
    dynamodb: "DynamoDBClient", size: int, successes: int
) -> None:
    """Calls come in turn, or all at once in the middle of the minute; a good minute is no credit."""
    stores: list[CircuitStore] = [InMemoryCircuitStore()]
    if (size, successes) in ON_THE_TABLE:
        stores.append(make_circuit_store(dynamodb))
    beside = CountingDependency(raise_down)
    call_one_by_one(make_powertools_callers(dynamodb, size), beside)
    for store in stores:
        in_turn, at_once = count_calls_after(store, size, successes)
        record(
            "breaker.calls_after_a_minute",
            size=size, successes=successes, on=type(store).__name__,
            in_turn=in_turn, at_once=at_once, powertools=beside.calls,
        )  # fmt: skip
        assert in_turn == THRESHOLD
        assert at_once <= THRESHOLD + size
    assert beside.calls == 4 * size + 1


def count_calls_after(store: CircuitStore, size: int, successes: int) -> tuple[int, int]:
    """Return how many calls, in turn and at once, reach a dependency that dies after `successes` in a minute."""
    time, dead = ManualTime(), [CountingDependency(raise_down), CountingDependency(raise_down)]
    callers = make_timed_callers(store, size, time)
    serve_for_a_minute(callers, successes, time)
    call_at_once(callers, dead[1])
    time.advance(EMAIL.open_s)
    close(callers, store, time)
    serve_for_a_minute(callers, successes, time)
    time.advance(2 * EMAIL.refresh_s)
    call_one_by_one(callers, dead[0])
    return dead[0].calls, dead[1].calls


def close(callers: Sequence[Caller], store: CircuitStore, time: ManualTime) -> None:
    """Let a probe succeed, and environments learn of it."""
    callers[0](lambda: None)
    assert store.read("email").state == "closed"
    time.advance(EMAIL.refresh_s)


@SIZES
def test_five_failures_spread_over_ninety_five_successes_do_not_open_it(dynamodb: "DynamoDBClient", size: int) -> None:
    """Evenly over a minute, in environments in turn: each failure is forgotten before the next."""
    time = ManualTime()
    store = make_circuit_store(dynamodb)
    callers, calls = make_timed_callers(store, size, time), iter(range(100))

    def fail_every_twentieth() -> None:
        if next(calls) % 20 == 19:
            raise DependencyDown

    made = 0
    for n in range(100):
        made += bool(callers[n % size](fail_every_twentieth))
        time.advance(0.6)
    record("breaker.five_in_a_hundred", size=size, made=made, of=100)
    assert (made, store.read("email").state) == (100, "closed")


@SIZES
def test_an_environment_that_has_just_seen_all_well_calls_once_more_at_most(
    dynamodb: "DynamoDBClient", size: int
) -> None:
    """Its view is younger than the refresh interval, here an hour; Powertools is beside it with its cache of 5 s."""
    dead, beside = CountingDependency(), CountingDependency()
    for callers, dependency in (
        (make_our_callers(make_circuit_store(dynamodb), size, CircuitPolicy(name="email", refresh_s=3600)), dead),
        (make_powertools_callers(dynamodb, size, cache_s=5), beside),
    ):
        call_one_by_one(callers, dependency, rounds=1)
        dependency.calls, dependency.answer = 0, raise_down
        call_one_by_one(callers, dependency)
    record("breaker.calls_warm", size=size, ours=dead.calls, powertools=beside.calls)
    assert dead.calls <= max(THRESHOLD, size)
    assert beside.calls >= THRESHOLD * size - size


def make_half_failing() -> Callable[[], None]:
    """Return a dependency of which every other call fails."""
    calls = iter(range(10**9))

    def answer() -> None:
        if next(calls) % 2:
            raise DependencyDown

    return answer


def test_half_of_the_calls_failing_opens_the_circuit_and_not_powertools(dynamodb: "DynamoDBClient") -> None:
    """Its counter begins anew at each success; an environment that has just seen all well may call on for a moment."""
    half, beside = CountingDependency(make_half_failing()), CountingDependency(make_half_failing())
    call_one_by_one(make_our_callers(make_circuit_store(dynamodb), 10), half)
    call_one_by_one(make_powertools_callers(dynamodb, 1), beside, rounds=60)
    record("breaker.half_failing", ours=half.calls, powertools=beside.calls, of=60)
    assert half.calls <= 2 * THRESHOLD + 10
    assert beside.calls == 60


def test_slow_calls_open_the_circuit_and_not_powertools(dynamodb: "DynamoDBClient") -> None:
    """Powertools' breaker counts no slow calls."""
    policy = CircuitPolicy(name="email", slow_s=1e-9)
    slow, beside = CountingDependency(), CountingDependency()
    call_one_by_one(make_our_callers(make_circuit_store(dynamodb), 10, policy), slow)
    call_one_by_one(make_powertools_callers(dynamodb, 10), beside)
    record("breaker.slow", ours=slow.calls, powertools=beside.calls, of=60)
    assert (slow.calls, beside.calls) == (THRESHOLD, 60)


@pytest.mark.parametrize("on", ["fake", "table"])
def test_of_fifty_environments_that_find_the_probe_due_one_makes_it(on: str, dynamodb: "DynamoDBClient") -> None:
    """All at the same moment, and again while it is under way: the others call nothing."""
    store = InMemoryCircuitStore() if on == "fake" else make_circuit_store(dynamodb)
    store.change("email", NEW, open_circuit(NEW, EMAIL, read_epoch_micros() - 60_000_000))
    breakers = [make_environment(store) for _ in range(50)]
    dead, passed = CountingDependency(raise_down), list[bool]()
    for _ in range(3):
        passed += run_concurrently([lambda one=one: try_call(one, dead) for one in breakers])  # type: ignore[misc]
    record("breaker.probes_at_50", on=on, ours=dead.calls)
    assert (dead.calls, sum(passed)) == (1, 1)
    assert store.read("email").state == "open"
