"""The machines breadth-first with faults of the circuits' table, and with three environments: millions of states."""

import pytest

from tests.exhaustive.admission_machine import RELAY, KeyMachine, use_few_retries
from tests.exhaustive.search import Search
from tests.exhaustive.searches import Name, open_search
from tests.measurements import record

# A state of three environments takes about 200 bytes: the largest search needs less than 2 GB.
MOST = 1_000_000


@pytest.mark.parametrize("name", ["breaker", "key", "kept-key", "stored-key", "limit", "job"])
def test_three_environments_keep_every_invariant_in_a_million_states(name: Name) -> None:
    """The million states are those nearest to the beginning."""
    with open_search(name, 3, most_faults=0) as search:
        result = search.run(most=MOST)
    assert result.counterexample is None, str(result.counterexample)
    assert result.states >= MOST
    record("machines.three", machine=name, environments=3, states=result.states, steps=result.steps, depth=result.depth)


def test_two_environments_of_a_breaker_whose_table_fails_once_keep_every_invariant() -> None:
    """Four million states, all of them: a late or lost answer at any step, and environments killed at any other."""
    with open_search("breaker", 2, most_faults=1) as search:
        result = search.run()
    assert result.counterexample is None, str(result.counterexample)
    assert result.closed
    record("machines.table_fails_once", environments=2, states=result.states, steps=result.steps, depth=result.depth)


def test_one_environment_of_a_breaker_keeps_every_invariant_however_often_its_table_fails() -> None:
    """The local circuit of an environment without a table, its way back to the fleet's included."""
    with open_search("breaker", 1) as search:
        result = search.run()
    assert result.counterexample is None, str(result.counterexample)
    assert result.closed
    record("machines.table_fails", environments=1, states=result.states, steps=result.steps, depth=result.depth)


def test_two_environments_of_calls_of_two_kinds_and_relays_keep_every_invariant_in_every_state() -> None:
    """A relay may read the answer of either, and find the other's record."""
    with use_few_retries():
        result = Search(KeyMachine(asks=(*KeyMachine.asks, RELAY)), 2).run()
    assert result.counterexample is None, str(result.counterexample)
    assert result.closed
    record("machines.all_asks", environments=2, states=result.states, steps=result.steps, depth=result.depth)
