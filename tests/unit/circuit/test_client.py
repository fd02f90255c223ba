"""The client of a store that hangs, answers late or fails: who calls waits once, and not for long."""

from collections.abc import Iterator
from threading import Event, Thread
from time import sleep

import pytest

from shared.circuit.client import MOST_REQUESTS, CircuitStoreClient
from shared.circuit.state import NEW, CircuitSnapshot, half_open_circuit, open_circuit
from shared.circuit.store import Answer, Request, StoreUnavailable, WriteResult
from shared.clock import read_monotonic
from tests.breakers import EMAIL, CountingDependency, ManualTime, make_breaker, try_call
from tests.contract.dynamodb_clients import run_concurrently
from tests.fakes.circuits import InMemoryCircuitStore

NEVER_S = 20.0
PATIENCE_S = 0.02


class GatedStore(InMemoryCircuitStore):
    """A store whose calls wait until they are let go, before they are carried out; `asked` counts them."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = Event()
        self.asked = 0

    def _wait(self) -> None:
        self.asked += 1
        assert self.gate.wait(NEVER_S)

    def read(self, name: str) -> CircuitSnapshot:
        self._wait()
        return super().read(name)

    def change(self, name: str, seen: CircuitSnapshot, to: CircuitSnapshot) -> WriteResult:
        self._wait()
        return super().change(name, seen, to)


@pytest.fixture
def store() -> Iterator[GatedStore]:
    gated = GatedStore()
    yield gated
    gated.gate.set()


@pytest.fixture
def time() -> ManualTime:
    return ManualTime()


def read() -> Request:
    """Return a request."""
    return Request("email", 0)


def end_exchange(_request: Request, _answer: Answer) -> None:
    """Nothing follows from an answer."""


def wait_until_settled(client: CircuitStoreClient) -> None:
    """Return when no exchange is under way."""
    until = read_monotonic() + NEVER_S
    while client._under_way is not None:
        assert read_monotonic() < until
        sleep(0.001)


def test_an_answer_in_time_is_waited_for(store: GatedStore) -> None:
    """The wait is no longer than the answer takes."""
    store.gate.set()
    client = CircuitStoreClient(store, timer=read_monotonic, patience_s=NEVER_S)
    assert client.exchange(read, end_exchange, NEVER_S) < NEVER_S / 2
    assert store.calls == ["read"]


def test_where_nothing_is_due_nobody_waits(store: GatedStore) -> None:
    """Another call's exchange is not waited for either."""
    client = CircuitStoreClient(store, timer=read_monotonic, patience_s=NEVER_S)
    client.exchange(read, end_exchange, 0.0)
    assert client.exchange(lambda: None, end_exchange, NEVER_S) < NEVER_S / 2
    assert store.asked == 1


def test_a_store_that_hangs_is_waited_for_once_and_asked_once(store: GatedStore) -> None:
    """One caller waits for its patience, and the others not at all."""
    client = CircuitStoreClient(store, timer=read_monotonic, patience_s=PATIENCE_S)
    assert client.exchange(read, end_exchange, PATIENCE_S) >= PATIENCE_S
    before = read_monotonic()
    for _ in range(1000):
        client.exchange(read, end_exchange, PATIENCE_S)
    assert read_monotonic() - before < 1000 * PATIENCE_S / 4
    assert store.asked == 1
    store.gate.set()
    wait_until_settled(client)
    client.exchange(read, end_exchange, NEVER_S)
    assert store.asked == 2


def test_a_store_that_failed_is_left_alone_and_then_tried_without_anybody_waiting(
    store: GatedStore, time: ManualTime
) -> None:
    """Callers wait for it again once it has answered."""
    client = CircuitStoreClient(store, timer=time.read_seconds, patience_s=PATIENCE_S, pause_s=2.0)
    store.reachable = False
    store.gate.set()
    client.exchange(read, end_exchange, NEVER_S)
    for _ in range(10):
        client.exchange(read, end_exchange, NEVER_S)
    assert store.asked == 1
    store.gate.clear()
    time.advance(2.0)
    client.exchange(read, end_exchange, NEVER_S)  # it would not come back before the gate is opened, if it waited
    store.reachable = True
    store.gate.set()
    wait_until_settled(client)
    assert store.asked == 2
    client.exchange(read, end_exchange, NEVER_S)
    assert store.asked == 3


def test_exchanges_are_made_one_at_a_time(store: GatedStore) -> None:
    """Ten callers at once: all of theirs are made, to the last of their requests, no two together."""
    under_way, most = 0, 0

    def learn(request: Request, _answer: Answer) -> Request | None:
        nonlocal under_way, most
        if request.asked:
            under_way -= 1
            return None
        under_way += 1
        most = max(most, under_way)
        sleep(0.001)
        return Request("email", 1)

    store.gate.set()
    client = CircuitStoreClient(store, timer=read_monotonic, patience_s=NEVER_S)
    run_concurrently([lambda: client.exchange(read, learn, NEVER_S)] * 10)
    assert (store.asked, most, under_way) == (20, 1, 0)


def test_an_exchange_that_finds_no_end_is_ended(store: GatedStore) -> None:
    """Its write is lost to others each time."""
    store.gate.set()
    client = CircuitStoreClient(store, timer=read_monotonic, patience_s=NEVER_S)
    client.exchange(read, lambda request, _answer: request, NEVER_S)
    assert store.asked == MOST_REQUESTS


def test_whatever_a_store_raises_is_an_answer(store: GatedStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer has the exception's class alone, and the client goes on."""
    errors: list[str] = []

    def broken(_name: str) -> CircuitSnapshot:
        raise ZeroDivisionError("a person's address")

    def learn(_request: Request, answer: Answer) -> None:
        assert isinstance(answer, StoreUnavailable)
        errors.append(answer.code)

    client = CircuitStoreClient(store, timer=read_monotonic, patience_s=NEVER_S, pause_s=0.0)
    with monkeypatch.context() as patch:
        patch.setattr(store, "read", broken)
        client.exchange(read, learn, NEVER_S)
    assert errors == ["ZeroDivisionError"]
    store.gate.set()
    client.exchange(read, end_exchange, NEVER_S)
    wait_until_settled(client)
    assert store.calls == ["read"]


def test_a_late_answer_is_known_to_the_next_call(store: GatedStore, time: ManualTime) -> None:
    """A circuit that was open all the while: the call that did not wait for it passed, the next does not."""
    InMemoryCircuitStore.change(store, "email", NEW, open_circuit(NEW, EMAIL, time()))
    client = CircuitStoreClient(store, timer=read_monotonic, patience_s=PATIENCE_S)
    environment, dependency = make_breaker(client, now=time), CountingDependency()
    assert try_call(environment, dependency)
    store.gate.set()
    wait_until_settled(client)
    assert not try_call(environment, dependency)


def test_a_lease_that_was_granted_late_is_the_next_calls(store: GatedStore, time: ManualTime) -> None:
    """The call that asked for it was refused; the fleet waits for its probe."""
    tripped = open_circuit(NEW, EMAIL, time())
    InMemoryCircuitStore.change(store, "email", NEW, tripped)
    client = CircuitStoreClient(store, timer=read_monotonic, patience_s=PATIENCE_S)
    environment, dependency = make_breaker(client, now=time), CountingDependency()
    store.gate.set()
    client.patience_s = NEVER_S
    assert not try_call(environment, dependency)
    client.patience_s = PATIENCE_S
    time.advance(EMAIL.open_s)
    calls = iter([True])
    change = store.change

    def late(name: str, seen: CircuitSnapshot, to: CircuitSnapshot) -> WriteResult:
        if next(calls, False):
            store.gate.clear()
        return change(name, seen, to)

    store.change = late  # type: ignore[method-assign]
    assert not try_call(environment, dependency)
    assert dependency.calls == 0
    store.gate.set()
    wait_until_settled(client)
    assert store.read("email").state == "half_open"
    assert try_call(environment, dependency)
    wait_until_settled(client)
    assert store.read("email").state == "closed"


def test_a_lease_that_another_holds_is_nobodys_here(store: GatedStore, time: ManualTime) -> None:
    """A token is known again by what it says, and not by where it was."""
    tripped = open_circuit(NEW, EMAIL, time())
    InMemoryCircuitStore.change(store, "email", NEW, tripped)
    InMemoryCircuitStore.change(store, "email", tripped, half_open_circuit(tripped, EMAIL, time(), "another"))
    store.gate.set()
    client = CircuitStoreClient(store, timer=read_monotonic, patience_s=NEVER_S)
    assert not try_call(make_breaker(client, now=time), CountingDependency())


def test_threads_of_one_environment_make_one_probe(store: GatedStore, time: ManualTime) -> None:
    """Twenty threads find it due at the same moment."""
    store.gate.set()
    InMemoryCircuitStore.change(store, "email", NEW, open_circuit(NEW, EMAIL, time()))
    time.advance(EMAIL.open_s)
    environment = make_breaker(CircuitStoreClient(store, timer=read_monotonic, patience_s=NEVER_S), now=time)
    probing, go_on = Event(), Event()

    def probe() -> None:
        probing.set()
        assert go_on.wait(NEVER_S)

    dependency = CountingDependency(probe)
    first = Thread(target=try_call, args=(environment, dependency), daemon=True)
    first.start()
    assert probing.wait(NEVER_S)
    assert run_concurrently([lambda: try_call(environment, dependency)] * 20) == [False] * 20
    go_on.set()
    first.join(NEVER_S)
    assert dependency.calls == 1
    assert store.read("email").state == "closed"
