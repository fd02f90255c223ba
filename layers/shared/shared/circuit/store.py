"""The store of the circuits that all environments share: requests to it, their answers, and the operators' commands."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from shared.circuit.state import NEW, CallOutcome, CircuitPolicy, CircuitSnapshot, Command, apply_command

# Each failed attempt means that another write was made at the same moment; an operator meets one or two.
FORCE_ATTEMPTS = 10


class StoreUnavailable(Exception):
    """The store did not do what was asked, or did not answer; `code` is a short machine-readable name."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True)
class WriteResult:
    """The result of a write: whether it was made, and the circuit as it is now in either case."""

    done: bool
    now: CircuitSnapshot


class CircuitStore(Protocol):
    """A table of circuits. Each method is one round trip and raises StoreUnavailable."""

    def read(self, name: str) -> CircuitSnapshot:
        """Return the circuit; NEW if it was never written."""
        ...

    def change(self, name: str, seen: CircuitSnapshot, to: CircuitSnapshot) -> WriteResult:
        """Replace the circuit by `to`, unless its generation or revision differs from `seen`."""
        ...


@dataclass(frozen=True, slots=True)
class Request:
    """One read of a circuit, or the write that makes it `to`; decided at the time `asked`, in epoch microseconds.

    The write is based on the circuit that was `seen`, and counts the `outcomes`.
    """

    name: str
    asked: int
    seen: CircuitSnapshot = NEW
    to: CircuitSnapshot | None = None
    outcomes: Sequence[CallOutcome] = ()


Answer = WriteResult | StoreUnavailable


def send(request: Request, store: CircuitStore) -> Answer:
    """Return the store's answer to a request, which is StoreUnavailable if it raises that."""
    try:
        if request.to is None:
            return WriteResult(done=False, now=store.read(request.name))
        return store.change(request.name, request.seen, request.to)
    except StoreUnavailable as error:
        return error


def force_circuit(store: CircuitStore, policy: CircuitPolicy, command: Command, now: int) -> CircuitSnapshot:
    """Carry out an operators' command and return the circuit afterwards. Raise StoreUnavailable."""
    seen = store.read(policy.name)
    for _ in range(FORCE_ATTEMPTS):
        to = apply_command(seen, command, policy, now)
        if to == seen:
            return seen
        written = store.change(policy.name, seen, to)
        if written.done:
            return to
        seen = written.now
    raise StoreUnavailable("Contended")
