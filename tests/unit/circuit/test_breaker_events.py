"""A breaker's reports, and how much of a call's patience is left after each wait for the store."""

from collections.abc import Mapping

import pytest

from shared.circuit.breaker import SOON_S, CircuitBreaker, CircuitOpen
from shared.circuit.client import First, Learn
from shared.circuit.state import NEW, open_circuit
from shared.units import SECOND
from tests.breakers import EMAIL, DependencyDown, ManualTime, make_breaker, raise_down
from tests.fakes.circuits import DirectClient, InMemoryCircuitStore

PATIENCE_S = 0.5


class SlowClient(DirectClient):
    """A client whose every exchange takes a given time; `within` has how long each was allowed to take."""

    patience_s = PATIENCE_S

    def __init__(self, store: InMemoryCircuitStore, waits_s: float = 0.125) -> None:
        super().__init__(store)
        self.waits_s = waits_s
        self.within: list[float] = []

    def exchange(self, first: First, learn: Learn, within_s: float) -> float:
        """See StoreClient.exchange."""
        self.within.append(within_s)
        super().exchange(first, learn, within_s)
        return self.waits_s


class ObservedBreaker:
    """A breaker on a store of its own, with what it has reported."""

    def __init__(self) -> None:
        self.time, self.store = ManualTime(), InMemoryCircuitStore()
        self.client = SlowClient(self.store)
        self.events: list[tuple[str, Mapping[str, object]]] = []
        self.breaker: CircuitBreaker = make_breaker(
            self.client,
            now=self.time,
            timer=self.time.read_seconds,
            observer=lambda event, facts: self.events.append((event, facts)),
        )

    def fail(self, times: int) -> None:
        """Make failing calls."""
        for _ in range(times):
            with pytest.raises(DependencyDown):
                self.breaker.call(raise_down)


@pytest.fixture
def observed() -> ObservedBreaker:
    return ObservedBreaker()


def make_moved(name: str, generation: int, *, local: bool) -> tuple[str, Mapping[str, object]]:
    """Return the event of a circuit that was moved."""
    return name, {"circuit": "email", "generation": generation, "local": local}


def test_a_full_turn_is_reported_by_who_makes_it(observed: ObservedBreaker) -> None:
    """Opened, probed and closed in the store."""
    observed.fail(EMAIL.failures)
    observed.time.advance(EMAIL.open_s)
    assert observed.breaker.call(lambda: 7) == 7
    assert observed.events == [
        make_moved("circuit_opened", 1, local=False),
        make_moved("circuit_half_opened", 2, local=False),
        make_moved("circuit_closed", 3, local=False),
    ]


def test_a_turn_without_the_store_is_reported_as_local(observed: ObservedBreaker) -> None:
    """The event says as well that the store can't be reached, and why."""
    observed.store.reachable = False
    observed.fail(EMAIL.failures)
    observed.time.advance(EMAIL.open_s)
    assert observed.breaker.call(lambda: 7) == 7
    missed = ("circuit_store_unavailable", {"circuit": "email", "error": "Unreachable"})
    assert [event for event in observed.events if event != missed] == [
        make_moved("circuit_opened", 1, local=True),
        make_moved("circuit_half_opened", 2, local=True),
        make_moved("circuit_closed", 3, local=True),
    ]
    assert missed in observed.events


def test_a_call_of_an_older_circuit_is_reported_and_changes_nothing(observed: ObservedBreaker) -> None:
    """The event has the generation that permitted the call."""
    permit = observed.breaker.allow()
    observed.fail(EMAIL.failures)
    observed.events.clear()
    before = observed.store.read("email")
    observed.breaker.record(permit, failed=True, seconds=0.0)
    assert observed.events == [("circuit_result_ignored", {"circuit": "email", "generation": 0})]
    assert observed.store.read("email") == before


def test_a_circuit_that_others_moved_is_not_reported_again(observed: ObservedBreaker) -> None:
    """The environment that moved it has reported it."""
    observed.store.change("email", NEW, open_circuit(NEW, EMAIL, observed.time()))
    with pytest.raises(CircuitOpen):
        observed.breaker.allow()
    assert observed.events == []


def test_an_open_circuit_is_named_and_is_tried_again_no_sooner_than_in_a_second(observed: ObservedBreaker) -> None:
    """Less is left until the probe is due, but another may make it."""
    observed.store.change("email", NEW, open_circuit(NEW, EMAIL, observed.time()))
    observed.time.advance(EMAIL.open_s - 0.25)
    with pytest.raises(CircuitOpen, match=r"^email$") as refused:
        observed.breaker.allow()
    assert refused.value.retry_after_s == SOON_S == 1.0
    assert observed.breaker.measure_wait_s() == 0.25


def test_a_call_waits_for_the_store_no_longer_than_its_patience_all_in_all(observed: ObservedBreaker) -> None:
    """Before the call for what is known and for a lease, after it for the write."""
    observed.store.change("email", NEW, open_circuit(NEW, EMAIL, observed.time()))
    observed.time.advance(EMAIL.open_s)
    permit = observed.breaker.allow()
    assert observed.client.within == [0.5, 0.375]
    assert permit.waited_s == 0.25
    observed.breaker.record(permit, failed=False, seconds=0.0)
    assert observed.client.within == [0.5, 0.375, 0.25]


def test_a_call_that_asks_nothing_has_all_of_its_patience_left(observed: ObservedBreaker) -> None:
    """A permit is good for all calls of its second, and the one that had to wait for it has waited alone."""
    assert observed.breaker.allow().waited_s == 0.125
    permit = observed.breaker.allow()
    assert permit.waited_s == 0.0
    assert observed.breaker.allow() is permit
    assert observed.client.within == [0.5]
    observed.breaker.record(permit, failed=True, seconds=0.0)
    assert observed.client.within == [0.5, 0.5]


def test_a_permit_is_good_from_its_beginning_to_its_end(observed: ObservedBreaker) -> None:
    """It is not good a microsecond before, where a clock was set back, nor at its end."""
    observed.breaker.allow()
    permit = observed.breaker.allow()
    observed.time.micros = permit.until - 1
    assert observed.breaker.allow() is permit
    observed.time.micros = permit.began
    assert observed.breaker.allow() is permit
    observed.time.micros = permit.began - 1
    assert observed.breaker.allow() is not permit
    observed.time.micros = permit.until
    assert observed.breaker.allow().began == permit.until
    assert observed.store.calls.count("read") == 3


def test_a_wait_is_measured_without_taking_the_lease(observed: ObservedBreaker) -> None:
    """The store is asked with all of the patience."""
    observed.store.change("email", NEW, open_circuit(NEW, EMAIL, observed.time()))
    observed.time.advance(EMAIL.open_s)
    assert observed.breaker.measure_wait_s() == 0.0
    assert observed.client.within == [PATIENCE_S]
    assert observed.store.read("email").state == "open"


def test_a_failing_call_is_counted_from_its_beginning_to_its_end(observed: ObservedBreaker) -> None:
    """Its time is measured by the timer."""

    def fail_later() -> None:
        observed.time.advance(2.0)
        raise DependencyDown

    with pytest.raises(DependencyDown):
        observed.breaker.call(fail_later)
    assert observed.store.read("email").bucket.failures == (observed.time(),)
    [outcome] = observed.breaker._view._outcomes or [None]
    assert outcome is None, "it was written"


def test_a_recorded_call_began_its_seconds_before_its_end(observed: ObservedBreaker) -> None:
    """Successes of other calls are weighed against that beginning."""
    observed.store.reachable = False
    permit = observed.breaker.allow()
    observed.breaker.record(permit, failed=True, seconds=1.5)
    [outcome] = observed.breaker._view._outcomes
    assert outcome == (observed.time() - 3 * SECOND // 2, observed.time(), True)
