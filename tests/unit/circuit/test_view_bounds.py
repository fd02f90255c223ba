"""An environment's view of a circuit at its bounds: which calls are of it, and what is kept of their ends."""

import pytest

from shared.circuit.local_view import CallPermit, LocalView
from shared.circuit.state import NEW, CircuitSnapshot, close_circuit, half_open_circuit, open_circuit
from shared.circuit.store import Request, StoreUnavailable, WriteResult
from shared.units import SECOND
from tests.breakers import EMAIL, START, DependencyDown, ManualTime, make_breaker, raise_down
from tests.fakes.circuits import DirectClient, InMemoryCircuitStore

LOST = StoreUnavailable("ReadTimeoutError")
OPEN = open_circuit(NEW, EMAIL, START - round(EMAIL.open_s * SECOND))
BLIND = round(EMAIL.blind_s * SECOND)


def make_view(seen: CircuitSnapshot) -> LocalView:
    """Return a view that has just read this."""
    view = LocalView(EMAIL, START, lambda: "token")
    view.learn(Request("email", START), WriteResult(done=False, now=seen), START)
    return view


def take_lease(view: LocalView) -> CallPermit:
    """Return the permit of the fleet's probe."""
    request = view.request_lease(START)
    assert request is not None
    assert request.to is not None
    view.learn(request, WriteResult(done=True, now=request.to), START)
    permit = view.permit(START)
    assert permit is not None
    return permit


def make_blind(view: LocalView) -> CallPermit:
    """Take the store away for long enough; return the permit of this environment's own probe."""
    view.learn(Request("email", START), LOST, START)
    permit = view.permit(START + BLIND)
    assert permit is not None
    assert permit.local
    return permit


@pytest.mark.parametrize(("since", "is_current"), [(START, True), (START + 1, False)])
def test_a_call_of_an_unknown_circuit_is_of_one_that_was_closed_when_it_began(since: int, is_current: bool) -> None:
    """A call that began at the very moment of the closing counts too."""
    view = LocalView(EMAIL, START, str)
    permit = view.permit(START)
    assert permit is not None
    assert permit.generation is None
    view.learn(Request("email", START), WriteResult(done=False, now=close_circuit(NEW, since)), START + 2)
    assert view.is_current(permit) == is_current


def test_a_success_is_counted_a_microsecond_after_the_last_failure() -> None:
    """It counts so even if its own clock had it end before; the next failure may follow at once."""
    view = make_view(NEW)
    view.count(START, START + 10, failed=True)
    view.count(START, START + 3, failed=False)
    view.count(START, START + 10, failed=False)
    view.count(START, START + 12, failed=False)
    assert [each.ended - START for each in view._outcomes] == [10, 11, 11, 12]


def test_the_end_of_a_probe_of_ones_own_is_not_written() -> None:
    """The fleet has not permitted it."""
    view = make_view(OPEN)
    permit = make_blind(view)
    assert view.is_current(permit)
    assert view.request_report(permit, START + BLIND, failed=False) is None
    assert view.request_report(permit, START + BLIND, failed=True) is None


def test_the_end_of_a_probe_whose_lease_was_taken_over_is_not_written() -> None:
    """The circuit is another's by then."""
    view = make_view(OPEN)
    permit = take_lease(view)
    others = half_open_circuit(view.seen, EMAIL, START + 1, "another")
    view.learn(Request("email", START), WriteResult(done=False, now=others), START + 1)
    assert view.request_report(permit, START + 2, failed=False) is None


@pytest.mark.parametrize("failed", [True, False])
def test_the_end_of_the_fleets_probe_is_written_as_of_its_time(failed: bool) -> None:
    """It opens the circuit for the full time, or closes it."""
    view = make_view(OPEN)
    permit = take_lease(view)
    request = view.request_report(permit, START + 9, failed=failed)
    assert request is not None
    expected = open_circuit(view.seen, EMAIL, START + 9) if failed else close_circuit(view.seen, START + 9)
    assert request.to == expected
    assert expected.since == START + 9


@pytest.mark.parametrize("failed", [True, False])
def test_a_circuit_that_is_closed_here_begins_without_outcomes(failed: bool) -> None:
    """One that opens keeps them, to be written when the store is back."""
    view = make_view(OPEN)
    permit = make_blind(view)
    view.count(START, START, failed=True)
    moved = view.settle(permit, START + BLIND, failed=failed)
    assert moved is not None
    assert moved.state == ("open" if failed else "closed")
    assert len(view._outcomes) == (1 if failed else 0)


def test_the_end_of_a_call_of_an_older_circuit_is_not_counted_with_a_later_one() -> None:
    """A probe's end is not counted either: a probe decides by itself."""
    time, store = ManualTime(), InMemoryCircuitStore()
    breaker = make_breaker(DirectClient(store), now=time, timer=time.read_seconds)
    old = breaker.allow()
    for _ in range(EMAIL.failures):
        with pytest.raises(DependencyDown):
            breaker.call(raise_down)
    time.advance(EMAIL.open_s)
    probe = breaker.allow()
    assert probe.probe
    store.reachable = False
    breaker.record(probe, failed=False, seconds=0.0)
    assert len(breaker._view._outcomes) == 0
    breaker.record(old, failed=True, seconds=0.0)
    assert len(breaker._view._outcomes) == 0


def test_a_lease_is_asked_for_once_and_only_of_a_circuit_that_is_known() -> None:
    """A state that was read a second ago may have moved; the environment need not ask for a lease that it holds."""
    view = make_view(OPEN)
    request = view.request_lease(START)
    assert request is not None
    assert request.to is not None
    stale = START + round(EMAIL.refresh_s * SECOND)
    assert view.request_lease(stale - 1) is not None
    assert view.request_lease(stale) is None
    view.learn(request, WriteResult(done=True, now=request.to), START)
    assert view.request_lease(START) is None
    late = START + round(EMAIL.probe_lease_s * SECOND)
    view.learn(Request("email", late), WriteResult(done=False, now=request.to), late)
    assert view.request_lease(late) is not None


def test_a_call_need_not_wait_if_the_circuit_is_closed_or_the_probe_is_its_own() -> None:
    """Others wait for the probe's end."""
    assert make_view(NEW).measure_wait_s(START) == 0.0
    view = make_view(OPEN)
    request = view.request_lease(START)
    assert request is not None
    assert request.to is not None
    view.learn(request, WriteResult(done=True, now=request.to), START)
    assert view.measure_wait_s(START) == 0.0
    assert view.permit(START) is not None
    assert view.measure_wait_s(START) == 5.0


def test_calls_of_a_circuit_that_was_closed_here_are_of_it() -> None:
    """Their outcomes count while the store is away, and no longer once it has answered."""
    view = make_view(OPEN)
    now = START + BLIND
    assert view.settle(make_blind(view), now, failed=False) is not None
    permit = view.permit(now)
    assert permit is not None
    assert (permit.local, view.is_current(permit)) == (True, True)
    view.learn(Request("email", now), WriteResult(done=False, now=NEW), now)
    assert not view.is_current(permit)


def test_a_call_of_an_unknown_circuit_is_of_none_that_is_open() -> None:
    """This holds however long the circuit has been open."""
    view = LocalView(EMAIL, START, str)
    permit = view.permit(START)
    assert permit is not None
    view.learn(Request("email", START), WriteResult(done=False, now=OPEN), START)
    assert not view.is_current(permit)


def test_a_probe_of_ones_own_begins_now() -> None:
    """It is good for one call."""
    view = make_view(OPEN)
    assert make_blind(view) == CallPermit(OPEN.generation + 1, START + BLIND, probe=True, local=True)


def test_successes_are_kept_while_no_failure_is_known() -> None:
    """They are weighed against the failures of others, should this environment meet one."""
    view = make_view(NEW)
    view.count(START, START, failed=False)
    stale = START + round(EMAIL.refresh_s * SECOND)
    request = view.request_refresh(stale)
    assert request is not None
    assert len(request.outcomes) == 1
    assert view.learn(request, WriteResult(done=False, now=NEW), stale) is None
    assert len(view._outcomes) == 1
