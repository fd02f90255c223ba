"""An environment's view of a circuit: requests and answers one by one, with anything in between."""

from itertools import count

from shared.circuit.local_view import CallPermit, LocalView
from shared.circuit.state import (
    NEW,
    CircuitSnapshot,
    FailureBucket,
    close_circuit,
    half_open_circuit,
    open_circuit,
    replace_bucket,
)
from shared.circuit.store import Request, StoreUnavailable, WriteResult, send
from shared.units import SECOND
from tests.breakers import EMAIL, START
from tests.fakes.circuits import InMemoryCircuitStore

LOST = StoreUnavailable("ReadTimeoutError")
OPEN = open_circuit(NEW, EMAIL, START - round(EMAIL.open_s * SECOND))


def make_view(seen: CircuitSnapshot) -> LocalView:
    """Return a view that has just read this; its tokens are numbered."""
    tokens = count(1)
    view = LocalView(EMAIL, START, lambda: f"token-{next(tokens)}")
    assert view.learn(require_due(view.request_refresh(START)), WriteResult(done=False, now=seen), START) is None
    return view


def require_due(request: Request | None) -> Request:
    """Return the request that must be due."""
    assert request is not None
    return request


def fail(view: LocalView, now: int) -> CallPermit:
    """Have a permitted call fail."""
    permit = view.permit(now)
    assert permit is not None
    view.count(now - 1, now, failed=True)
    return permit


def test_a_closed_circuit_is_read_once_and_then_believed() -> None:
    """It is believed for the refresh interval."""
    view = LocalView(EMAIL, START, str)
    assert view.request_refresh(START) == Request("email", START)
    assert view.permit(START) == CallPermit(None, START), "whoever can't wait for the answer calls"
    assert view.learn(Request("email", START), WriteResult(done=False, now=NEW), START + 5) is None
    until = START + round(EMAIL.refresh_s * SECOND)
    assert view.permit(START + 6) == CallPermit(0, START + 6, until)
    assert (view.request_refresh(until - 1), view.request_refresh(until)) == (None, Request("email", until))


def test_a_write_that_was_lost_to_another_is_made_anew_on_what_is_there() -> None:
    """It is repeated until it is made; then nothing follows, and the outcomes are written once."""
    view, store = make_view(NEW), InMemoryCircuitStore()
    fail(view, START)
    first = require_due(view.request_write(START))
    for n in (1, 2):
        seen = store.read("email")
        assert store.change("email", seen, replace_bucket(seen, seen.bucket.add(START - n))).done
    again = require_due(view.learn(first, send(first, store), START))
    assert view.learn(again, send(again, store), START) is None
    assert store.read("email").bucket == FailureBucket((START - 2, START - 1, START))
    assert view.request_write(START) is None


def test_outcomes_of_calls_that_ended_while_a_write_was_under_way_are_written_next() -> None:
    """They are neither written with it nor lost."""
    view, store = make_view(NEW), InMemoryCircuitStore()
    fail(view, START)
    first = require_due(view.request_write(START))
    fail(view, START + 1)
    second = require_due(view.learn(first, send(first, store), START + 1))
    assert view.learn(second, send(second, store), START + 1) is None
    assert store.read("email").bucket == FailureBucket((START, START + 1))


def test_a_lease_is_recognized_by_the_token_of_any_request_for_it() -> None:
    """The first one's answer was lost, the second was lost to it."""
    view, store = make_view(OPEN), InMemoryCircuitStore()
    store.change("email", NEW, OPEN)
    first = require_due(view.request_lease(START))
    assert send(first, store) == WriteResult(done=True, now=half_open_circuit(OPEN, EMAIL, START, "token-1"))
    assert (view.learn(first, LOST, START), view.permit(START)) == (None, None)
    second = require_due(view.request_lease(START))
    assert view.learn(second, send(second, store), START) is None
    permit = view.permit(START)
    assert (permit, view.permit(START)) == (CallPermit(2, START, probe=True), None)


def test_a_lease_that_has_run_out_permits_nothing() -> None:
    """Its probe is anybody's by then; this environment asks for it again."""
    view = make_view(OPEN)
    request = require_due(view.request_lease(START))
    late = START + round(EMAIL.probe_lease_s * SECOND)
    assert view.learn(request, WriteResult(done=True, now=read_outcome(request)), late) is None
    assert view.permit(late) is None
    assert view.request_refresh(late) == Request("email", late, read_outcome(request))


def read_outcome(request: Request) -> CircuitSnapshot:
    """Return what a write makes of the circuit."""
    assert request.to is not None
    return request.to


def test_what_comes_late_ends_what_was_decided_without_it() -> None:
    """The fifth failure opened the circuit here; then the store's answer comes, and the fleet's circuit counts."""
    seen = replace_bucket(NEW, FailureBucket((START,) * (EMAIL.failures - 1)))
    view = make_view(seen)
    permit = fail(view, START)
    request = require_due(view.request_report(permit, START, failed=True))
    assert view.settle(permit, START, failed=True) == view.local == open_circuit(seen, EMAIL, START)
    assert view.permit(START) is None
    others = close_circuit(open_circuit(seen, EMAIL, START), START + 1)
    assert view.learn(request, WriteResult(done=False, now=others), START + 2) is None
    assert view.circuit == view.seen == others
    assert not view.is_current(permit)
    assert view.permit(START + 2) is not None


def test_failures_from_before_the_circuit_was_known_count_where_it_was_closed_all_the_while() -> None:
    """They don't count in any other circuit."""
    for seen, written in ((NEW, True), (close_circuit(NEW, START), True), (close_circuit(NEW, START + 1), False)):
        view = LocalView(EMAIL, START, str)
        fail(view, START + 2)
        read = require_due(view.request_write(START + 2))
        following = view.learn(read, WriteResult(done=False, now=seen), START + 3)
        assert (read.to, following is not None) == (None, written)
