"""Requests to the store of circuits, and the operators' commands when others write at the same moment."""

import pytest

from shared.circuit.state import NEW, CircuitSnapshot, open_circuit, replace_bucket
from shared.circuit.store import FORCE_ATTEMPTS, Request, StoreUnavailable, WriteResult, force_circuit, send
from tests.breakers import EMAIL, START
from tests.fakes.circuits import InMemoryCircuitStore

OPEN = open_circuit(NEW, EMAIL, START)


class ContendedStore(InMemoryCircuitStore):
    """A store in which another environment writes right before each of the first `conflicts` writes."""

    def __init__(self, conflicts: int) -> None:
        super().__init__()
        self.conflicts = conflicts

    def change(self, name: str, seen: CircuitSnapshot, to: CircuitSnapshot) -> WriteResult:
        """See CircuitStore.change."""
        if self.conflicts:
            self.conflicts -= 1
            now = self._circuits.get(name, NEW)
            self._circuits[name] = replace_bucket(now, now.bucket.add(START))
        return super().change(name, seen, to)


def test_a_request_reads_or_writes_and_gets_the_circuit_as_it_is() -> None:
    """A read writes nothing, and says so."""
    store = InMemoryCircuitStore()
    assert send(Request("email", START, NEW, OPEN), store) == WriteResult(done=True, now=OPEN)
    read = send(Request("email", START), store)
    assert read == WriteResult(done=False, now=OPEN)
    assert isinstance(read, WriteResult)
    assert read.done is False
    assert send(Request("email", START, NEW, OPEN), store) == WriteResult(done=False, now=OPEN)
    assert store.calls == ["change", "read", "change"]


def test_a_store_that_can_not_be_reached_is_an_answer() -> None:
    """With the reason's short name, which is the error's text too."""
    store = InMemoryCircuitStore()
    store.reachable = False
    answer = send(Request("email", START), store)
    assert isinstance(answer, StoreUnavailable)
    assert (answer.code, str(answer)) == ("Unreachable", "Unreachable")


@pytest.mark.parametrize("conflicts", [0, 1, FORCE_ATTEMPTS - 1])
def test_a_command_is_carried_out_on_what_others_have_written_meanwhile(conflicts: int) -> None:
    """However often that happens, up to nine times."""
    store = ContendedStore(conflicts)
    forced = force_circuit(store, EMAIL, "open", START)
    assert store.read("email") == forced
    assert (forced.state, forced.forced, forced.generation) == ("open", True, 1)


def test_a_command_that_always_loses_is_given_up() -> None:
    """The operator tries again."""
    store = ContendedStore(FORCE_ATTEMPTS)
    with pytest.raises(StoreUnavailable) as lost:
        force_circuit(store, EMAIL, "open", START)
    assert lost.value.code == "Contended"
    assert store.calls.count("change") == FORCE_ATTEMPTS
    assert store.read("email").state == "closed"


def test_a_command_that_changes_nothing_writes_nothing() -> None:
    """It answers with the circuit as it is."""
    store = InMemoryCircuitStore()
    assert force_circuit(store, EMAIL, "auto", START) == NEW
    assert store.calls == ["read"]
