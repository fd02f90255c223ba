"""The store of circuits that all environments share, and the commands by which operators move one."""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Protocol

from shared.circuit.state import Command, Policy, Snapshot, commanded

# Each lost try means that another write was made in the same moment; operators meet one or two of them.
FORCE_TRIES = 10


class StoreUnavailable(Exception):
    """The store did not do what was asked, or did not say so; `code` is a short machine name."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True)
class Written:
    """The outcome of a write: whether it was made, and what the circuit is now, either way."""

    done: bool
    now: Snapshot


class CircuitStore(Protocol):
    """One table of circuits. Each method is one flight and raises StoreUnavailable."""

    def read(self, name: str) -> Snapshot:
        """The circuit as it is; NEW where it never was written."""
        ...

    def change(self, name: str, seen: Snapshot, to: Snapshot) -> Written:
        """Make the circuit `to`, unless its generation or its revision is no longer the one `seen`."""
        ...


# Flights to the store, one after the other: what is yielded is flown, and its outcome sent back.
Flight = Callable[[CircuitStore], Written]
Conversation = Generator[Flight, Written, None]


def hold(conversation: Conversation, store: CircuitStore) -> None:
    """Fly all of a conversation. Raises StoreUnavailable, of which the conversation was told first."""
    try:
        flight = next(conversation)
        while True:
            flight = conversation.send(_outcome(flight, conversation, store))
    except StopIteration:
        return


def _outcome(flight: Flight, conversation: Conversation, store: CircuitStore) -> Written:
    try:
        return flight(store)
    except Exception as error:
        # Whatever it was, the store did not do what was asked.
        code = error.code if isinstance(error, StoreUnavailable) else type(error).__name__
        conversation.throw(StoreUnavailable(code))
        raise AssertionError("a conversation ends with its store") from error


def force(store: CircuitStore, policy: Policy, command: Command, now: int) -> Snapshot:
    """Carry out an operators' command and return the circuit then. Raises StoreUnavailable."""
    seen = store.read(policy.name)
    for _ in range(FORCE_TRIES):
        to = commanded(seen, command, policy, now)
        if to == seen:
            return seen
        written = store.change(policy.name, seen, to)
        if written.done:
            return to
        seen = written.now
    raise StoreUnavailable("Contended")
