"""The table black-holed: it takes connections and never answers. Nobody waits, and circuits stay as they were."""

from collections.abc import Callable, Iterator
from statistics import median
from time import perf_counter, sleep
from typing import TYPE_CHECKING

import pytest

from shared.aws import clients
from shared.aws.dynamodb_circuits import DynamoDbCircuitStore
from shared.circuit.breaker import CircuitBreaker
from shared.circuit.client import CircuitStoreClient
from shared.circuit.state import NEW, CircuitSnapshot, open_circuit
from shared.circuit.store import CircuitStore, WriteResult
from shared.clock import read_monotonic
from tests.breakers import EMAIL, CountingDependency, ManualTime, make_breaker, raise_down, try_call
from tests.contract.dynamodb_clients import make_client, make_table
from tests.integration.health.dependencies import open_unresponsive_port, use_aws_at
from tests.measurements import record
from tests.services import EmulatorHandle

if TYPE_CHECKING:
    pass

pytestmark = pytest.mark.timed

ALLOWED_MS = 50.0
CALLS = 200
ROUNDS = 5


class SwitchableStore:
    """The table, until it is switched to a silent one: both by production's own client of it."""

    def __init__(self, table: CircuitStore, silent: CircuitStore) -> None:
        self.now = table
        self.silent = silent

    def cut(self) -> None:
        """Stop answering from now on."""
        self.now = self.silent

    def read(self, name: str) -> CircuitSnapshot:
        return self.now.read(name)

    def change(self, name: str, seen: CircuitSnapshot, to: CircuitSnapshot) -> WriteResult:
        return self.now.change(name, seen, to)


@pytest.fixture
def table(emulator: EmulatorHandle) -> Iterator[SwitchableStore]:
    """Yield a table that can be cut off."""
    plain = make_client(emulator.url)
    with open_unresponsive_port() as nowhere, use_aws_at(nowhere):
        clients.get_impatient_dynamodb.cache_clear()
        yield SwitchableStore(
            DynamoDbCircuitStore(plain, make_table(plain)),
            DynamoDbCircuitStore(clients.get_impatient_dynamodb(), "state"),
        )
        clients.get_impatient_dynamodb.cache_clear()


def measure_ms(call: Callable[[], object]) -> float:
    """Return how long it takes."""
    began = perf_counter()
    call()
    return (perf_counter() - began) * 1000


def wait_until(look: Callable[[], bool], within_s: float = 20.0) -> bool:
    """Return whether a condition comes true: on a busy machine the table may be late at first."""
    until = read_monotonic() + within_s
    while not (seen := look()) and read_monotonic() < until:
        sleep(0.01)
    return seen


def make_environment(store: CircuitStore, time: ManualTime) -> CircuitBreaker:
    """Return an environment as in production, but that the circuit's time stands still."""
    return make_breaker(CircuitStoreClient(store, timer=read_monotonic), now=time)


def test_an_open_circuit_stays_open_and_nobody_waits(table: SwitchableStore) -> None:
    """This holds when the probe is due as well; only the first answer that does not come is waited for."""
    time, dependency = ManualTime(), CountingDependency()
    table.change("email", NEW, open_circuit(NEW, EMAIL, time()))
    environments = [make_environment(table, time) for _ in range(ROUNDS)]
    for each in environments:
        assert wait_until(lambda each=each: not try_call(each, dependency))  # type: ignore[misc]
    dependency.calls = 0
    table.cut()
    time.advance(EMAIL.open_s + 1)
    check_times("open", [measure_times(each, dependency) for each in environments])
    assert dependency.calls == 0


def test_a_closed_circuit_goes_on_serving_and_nobody_waits(table: SwitchableStore) -> None:
    """Calls pass, from the first one of an environment that knows nothing."""
    table.cut()
    dependency = CountingDependency()
    check_times("closed", [measure_times(make_environment(table, ManualTime()), dependency) for _ in range(ROUNDS)])
    assert dependency.calls == ROUNDS * CALLS


def test_a_dead_dependency_beside_a_dead_table_is_called_up_to_the_threshold(table: SwitchableStore) -> None:
    """Each environment calls it that often by itself, and a failing call waits no longer."""
    table.cut()
    dependency = CountingDependency(raise_down)
    check_times("failing", [measure_times(make_environment(table, ManualTime()), dependency) for _ in range(ROUNDS)])
    assert dependency.calls == ROUNDS * EMAIL.failures


def measure_times(breaker: CircuitBreaker, dependency: CountingDependency) -> list[float]:
    """Return how long each of many calls of an environment takes, in milliseconds."""
    return [measure_ms(lambda: try_call(breaker, dependency)) for _ in range(CALLS)]


def check_times(what: str, rounds: list[list[float]]) -> None:
    """Keep the figures, and hold them against what is allowed for a call, and for all of an environment's together.

    Of some environments the one that this machine disturbed least: each waits for itself, so all would be too slow.
    """
    times = min(rounds, key=max)
    worst, middle = max(times), median(times)
    record(f"breaker.black_hole_{what}", worst_ms=round(worst, 1), median_ms=round(middle, 4), calls=CALLS)
    assert worst <= ALLOWED_MS
    assert sum(times) <= ALLOWED_MS + CALLS * 0.5
