"""The effects of operators' commands on a circuit, field by field, and the state of an environment that can't write."""

from dataclasses import replace

import pytest

from shared.circuit.local_view import MOST_OUTCOMES, LocalView
from shared.circuit.state import NEW, CircuitSnapshot, FailureBucket, apply_command, half_open_circuit, open_circuit
from shared.circuit.store import Request, WriteResult
from tests.breakers import EMAIL, START

LATER = START + 7
OPEN = open_circuit(NEW, EMAIL, START)
HALF_OPEN = half_open_circuit(OPEN, EMAIL, START, "token")
SUSPECT = CircuitSnapshot(bucket=FailureBucket((START,)), revision=1)


@pytest.mark.parametrize("seen", [NEW, OPEN, HALF_OPEN, SUSPECT])
def test_a_circuit_that_is_held_begins_anew_at_the_command(seen: CircuitSnapshot) -> None:
    """Without failures and without a lease; an open one is due for a probe as soon as it is let go."""
    following = seen.generation + 1
    held_open = CircuitSnapshot("open", following, LATER, open_until=LATER, forced=True)
    held_closed = CircuitSnapshot("closed", following, LATER, forced=True)
    assert apply_command(seen, "open", EMAIL, LATER) == held_open
    assert apply_command(seen, "closed", EMAIL, LATER) == held_closed
    for held in (held_open, held_closed):
        assert apply_command(held, held.state, EMAIL, LATER + 1) is held  # type: ignore[arg-type]
        free = replace(held, generation=following + 1, since=LATER + 1, forced=False)
        assert apply_command(held, "auto", EMAIL, LATER + 1) == free


def test_an_environment_keeps_only_the_newest_outcomes() -> None:
    """This also holds after some of them were written."""
    view = LocalView(EMAIL, START, str)
    view.learn(Request("email", START), WriteResult(done=False, now=NEW), START)
    view.count(START, START, failed=True)
    request = view.request_write(START)
    assert request is not None
    assert request.to is not None
    view.learn(request, WriteResult(done=True, now=request.to), START)
    assert len(view._outcomes) == 0
    for n in range(MOST_OUTCOMES + 10):
        view.count(START + n, START + n, failed=False)
    assert len(view._outcomes) == MOST_OUTCOMES
    assert view._outcomes[-1].began == START + MOST_OUTCOMES + 9


def test_an_environment_that_never_reaches_its_store_keeps_no_more() -> None:
    """Its memory stays bounded, however long the store is away."""
    view = LocalView(EMAIL, START, str)
    for n in range(MOST_OUTCOMES + 10):
        view.count(START + n, START + n, failed=False)
    assert len(view._outcomes) == MOST_OUTCOMES
