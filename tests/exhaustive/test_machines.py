"""Every state of two environments, breadth-first: of the breaker, the key, the limit and a job, as they ship."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from tests.exhaustive.mutants import MUTANTS, Mutant
from tests.exhaustive.search import MORE_THAN_ONE, STUCK, TIME, Move, Search
from tests.exhaustive.searches import Name, open_search, read_legal_transitions
from tests.measurements import record

# Steps that each machine must have taken: a search in which nothing happens proves nothing.
MET: dict[Name, tuple[str, ...]] = {
    "breaker": (
        ": a probe begins",
        ": refused",
        "(half_open)",
        "(open)",
        "its stale write",
        "is killed right after its write",
    ),
    "key": (
        ": 200",
        ": request-in-progress",
        ": idempotency-key-reused",
        "is killed right after the transaction",
        "sends again",
        "commits the transaction: 200",
        "gets the answer to its write of the answer: 200",
        "can't send its write of the answer: 200",
        "is killed right after its write of the answer",
    ),
    "kept-key": (
        "begins: the relay",
        "gets the answer to its copy of the answer",
        "can't send its copy of the answer",
        "is told of a conflict by its copy of the answer",
        "is killed right after its copy of the answer",
        "is killed right after the transaction",
        "gets the answer to its write of the answer: 200",
    ),
    "stored-key": (": request-in-progress", "is killed right after the transaction", "its write of the answer: 200"),
    "limit": (": OverLimit", ": Admitted", "conflict", "its write of key and charge", "its charge", "a read"),
    "job": (
        "sends the mail",
        "has an admin replay the job",
        "is killed right after it has sent the mail",
        "loses SES's answer",
    ),
}


@pytest.mark.parametrize("name", MET)
def test_two_environments_keep_every_invariant_in_every_state(name: Name) -> None:
    """Nothing is left to expand, no invariant is broken, and each state has a way back to normal without a fault."""
    with open_search(name, 2, most_faults=0) as search:
        result = search.run()
    assert result.counterexample is None, str(result.counterexample)
    assert result.closed
    assert [what for what in MET[name] if not any(what in kind for kind in result.kinds)] == []
    record("machines.two", machine=name, environments=2, states=result.states, steps=result.steps, depth=result.depth)


def test_an_environment_that_loses_an_answer_keeps_every_invariant_in_every_state() -> None:
    """The circuits' table is late, or out of reach, or loses the answer to a write that was made."""
    with open_search("breaker", 1, most_faults=1) as search:
        result = search.run()
    assert result.counterexample is None, str(result.counterexample)
    assert result.closed
    for kind in ("waits no longer for the table", "loses its read", "which was made"):
        assert any(kind in each for each in result.kinds), kind
    record("machines.faults", environments=1, states=result.states, steps=result.steps, depth=result.depth)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: f"{mutant.machine}: {mutant.name}")
def test_each_fault_is_found_by_a_shortest_counterexample(mutant: Mutant) -> None:
    """The invariant that it breaks, and no fewer steps than it takes."""
    with mutant.use(), open_search(mutant.machine, mutant.size, most_faults=0) as search:
        found = search.run().counterexample
    assert found is not None
    assert (found.problem, len(found.steps)) == (mutant.problem, mutant.steps), str(found)
    record("machines.mutants", machine=mutant.machine, steps=len(found.steps))


def test_at_least_five_faults_of_each_machine_are_tried() -> None:
    """All machines together have at least twenty."""
    counts = {name: sum(mutant.machine.endswith(name) for mutant in MUTANTS) for name in MET if name != "stored-key"}
    assert min(counts.values()) >= 5
    assert sum(counts.values()) >= 20


def test_a_fault_is_gone_after_its_block() -> None:
    """Its search leaves the shipped code as it was."""
    mutant = MUTANTS[0]
    with mutant.use(), open_search(mutant.machine, mutant.size, most_faults=0) as search:
        assert search.run().counterexample is not None
    with open_search(mutant.machine, mutant.size, most_faults=0) as search:
        assert search.run(most=3000).counterexample is None


def test_the_page_of_state_machines_shows_transitions() -> None:
    """A page without its diagrams would forbid every transition, or allow none to be missed."""
    assert ("half_open", "closed") in read_legal_transitions("Circuit")
    assert ("running", "uncertain") in read_legal_transitions("Job")
    assert ("done", "pending") not in read_legal_transitions("Job")


# ---- the search itself, on a machine whose answer is known -----------------------------------------------------------
class Counter(NamedTuple):
    """An environment of the made-up machine: what it has read, None if nothing."""

    read: int | None = None


class LostUpdate:
    """Each environment reads a number and writes one more, up to `most`: the well-known lost update."""

    def __init__(self, *, most: int = 2, is_conditional: bool = False, has_way_back: bool = True) -> None:
        self.most = most
        self.is_conditional = is_conditional
        self.has_way_back = has_way_back

    def begin(self) -> tuple[tuple[int, int], Counter]:
        return (0, 0), Counter()

    def list_moves(self, environment: Counter, shared: tuple[int, int]) -> Iterator[Move]:
        value, made = shared
        if environment.read is None and made < self.most:
            yield Move("reads", Counter(value), shared)
        elif environment.read is not None and (environment.read == value or not self.is_conditional):
            after = (environment.read + 1, made + 1)
            yield Move("writes", Counter(), after, problem="an update is lost" if after[0] != after[1] else None)
        elif environment.read is not None:
            yield Move("finds another's write", Counter(), shared, fault=not self.has_way_back)

    def apply_shift(self, environment: Counter, shift: Any) -> Counter:
        return environment

    def pass_time(self, environment: Counter) -> Counter:
        return environment

    def pass_time_shared(self, shared: tuple[int, int]) -> tuple[int, int]:
        return shared

    def count_holders(self, environment: Counter, shared: tuple[int, int]) -> int:
        return 0

    def is_normal(self, environment: Counter, shared: tuple[int, int]) -> bool:
        return environment.read is None and shared[1] == self.most


def test_a_search_finds_the_shortest_way_to_a_lost_update() -> None:
    """Both environments read, then both write; each environment keeps its name in the trace."""
    found = Search(LostUpdate(), 2).run().counterexample
    assert found is not None
    assert found.problem == "an update is lost"
    assert found.steps == ("environment 1 reads", "environment 2 reads", "environment 2 writes", "environment 1 writes")
    assert str(found).splitlines()[1] == "  1. environment 1 reads"


def test_a_search_counts_every_state_once() -> None:
    """Environments that would behave alike are one state."""
    result = Search(LostUpdate(is_conditional=True), 2).run()
    assert (result.counterexample, result.closed) == (None, True)
    # Unordered pairs of environments by the number of writes: after one, they can't both have read before it.
    idle_or_reading = {0: 3, 1: 5, 2: 3}
    assert result.states == sum(idle_or_reading.values())
    assert result.kinds == {"reads", "writes", "finds another's write", TIME}


def test_a_state_without_a_way_back_is_found() -> None:
    """If only a fault leads out of it."""
    found = Search(LostUpdate(is_conditional=True, has_way_back=False), 2).run().counterexample
    assert found is not None
    assert found.problem == STUCK
    assert found.steps == ("environment 1 reads", "environment 2 reads"), "whoever writes, the other is stuck"


def test_two_holders_of_what_only_one_may_have_are_found() -> None:
    """The search ends in the first state in which both have it."""
    machine: Any = LostUpdate()
    holds: Callable[[Counter, Any], int] = lambda environment, _shared: int(environment.read is not None)  # noqa: E731
    machine.count_holders = holds
    found = Search(machine, 3).run().counterexample
    assert found is not None
    assert (found.problem, len(found.steps)) == (MORE_THAN_ONE, 2)


def test_a_search_that_was_ended_early_is_not_closed() -> None:
    """Such a search proves nothing about ways back to the beginning."""
    result = Search(LostUpdate(most=9, is_conditional=True, has_way_back=False), 3).run(most=20)
    assert (result.closed, result.counterexample) == (False, None)
    assert result.states >= 20
