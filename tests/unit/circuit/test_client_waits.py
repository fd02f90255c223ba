"""Waits for the store to the bound, and the thread that asks it."""

import threading
from collections.abc import Iterator
from threading import Event
from time import monotonic

import pytest

from shared.circuit.client import CircuitStoreClient
from shared.circuit.state import CircuitSnapshot
from shared.circuit.store import Answer, Request
from tests.breakers import ManualTime
from tests.fakes.circuits import InMemoryCircuitStore

NEVER_S, AT_ONCE_S = 20.0, 0.4
PATIENCE_S = 0.5


class StuckStore(InMemoryCircuitStore):
    """A store that does not answer before it is let go; it notes the threads by which it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = Event()
        self.threads: list[threading.Thread] = []

    def read(self, name: str) -> CircuitSnapshot:
        """See CircuitStore.read."""
        self.threads.append(threading.current_thread())
        assert self.gate.wait(NEVER_S)
        return super().read(name)


@pytest.fixture
def store() -> Iterator[StuckStore]:
    stuck = StuckStore()
    yield stuck
    stuck.gate.set()


def read() -> Request:
    """Return a request."""
    return Request("email", 0)


def end_exchange(_request: Request, _answer: Answer) -> None:
    """Nothing follows from an answer."""


def test_the_store_is_asked_by_a_thread_that_holds_no_process_up(store: StuckStore) -> None:
    """A daemon, whose name a dump of all threads shows."""
    store.gate.set()
    client = CircuitStoreClient(store, timer=monotonic, patience_s=NEVER_S)
    client.exchange(read, end_exchange, NEVER_S)
    [thread] = store.threads
    assert (thread.name, thread.daemon) == ("circuits", True)


def test_who_has_no_time_to_wait_does_not(store: StuckStore) -> None:
    """The exchange goes on without them."""
    client = CircuitStoreClient(store, timer=monotonic, patience_s=NEVER_S)
    began = monotonic()
    assert client.exchange(read, end_exchange, 0.0) < AT_ONCE_S
    assert client.exchange(read, end_exchange, -1.0) < AT_ONCE_S
    assert monotonic() - began < AT_ONCE_S


@pytest.mark.parametrize(("since_s", "is_waited"), [(PATIENCE_S, False), (PATIENCE_S - 0.001, True)])
def test_an_exchange_is_waited_for_until_it_has_outlasted_the_patience(
    store: StuckStore, since_s: float, is_waited: bool
) -> None:
    """The time counts from its beginning, whoever began it."""
    time = ManualTime()
    client = CircuitStoreClient(store, timer=time.read_seconds, patience_s=PATIENCE_S)
    client.exchange(read, end_exchange, 0.0)
    time.advance(since_s)
    began = monotonic()
    client.exchange(read, end_exchange, 2 * AT_ONCE_S)
    assert (monotonic() - began >= 2 * AT_ONCE_S) == is_waited
