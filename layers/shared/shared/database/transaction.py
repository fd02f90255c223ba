"""A transaction whose statements are queued and leave together, in one flight.

In a pipeline on an autocommit connection all statements up to the Sync are one implicit transaction:
the first that fails undoes them all (PostgreSQL, "Pipelining", Extended Query). So nothing waits for
a BEGIN, a COMMIT or another statement's answer, and a decision in between is SQL: `require()`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from shared.admission.ports import KeyUse
from shared.deadline import Deadline
from shared.sql import Query

T = TypeVar("T")
U = TypeVar("U")
Row = dict[str, Any]


class Pending(Generic[T]):
    """A value that is known once the transaction has landed."""

    def __init__(self, resolve: Callable[[], T]) -> None:
        self._resolve = resolve

    def resolve(self) -> T:
        """The value; only after the flight."""
        return self._resolve()

    def map(self, change: Callable[[T], U]) -> "Pending[U]":
        """The same, changed by `change` once it is known."""
        return Pending(lambda: change(self.resolve()))


class Transaction(Protocol):
    """An open transaction, as use cases see it."""

    def add(self, query: Query, **params: object) -> None:
        """Queue a statement."""
        ...

    def fetch_one(self, query: Query, **params: object) -> Pending[Row | None]:
        """Queue a statement of which the first row, if any, will be wanted."""
        ...

    def fetch_all(self, query: Query, **params: object) -> Pending[list[Row]]:
        """Queue a statement of which all rows will be wanted."""
        ...

    def fetch_answer(self, query: Query, **params: object) -> Pending[Row]:
        """Queue the statement whose one value `facts` is the answer; a write keeps it under its key.

        Resolving it raises Refusal("not-found") where there was no row.
        """
        ...

    def run_after_commit(self, name: str) -> None:
        """Ask for something to be done right after the commit, by name."""
        ...


UseCase = Callable[[Transaction], Pending[T]]
# Queues statements that stop the transaction for a caller who may not have its answer.
Guard = Callable[[Transaction], None]


@dataclass(frozen=True, slots=True)
class Committed(Generic[T]):
    """A committed transaction: its value, and the signals that it asked to have sent afterwards."""

    value: T
    after_commit: frozenset[str]
    replayed: bool = False  # found under its key instead of done


def require_nothing(_tx: Transaction) -> None:
    """Queue no statement: the guard of a transaction that is open to everyone."""


class TransactionRunner(Protocol):
    """Runs use cases, each in a transaction of its own."""

    def run(self, use_case: UseCase[T], deadline: Deadline) -> Committed[T]:
        """Run a use case that may be run again.

        Raise Refusal for what the rules turn down, Unavailable where the database can't be had before the deadline.
        """
        ...

    def run_once(
        self, use: KeyUse, use_case: UseCase[Row], deadline: Deadline, *, guard: Guard = require_nothing
    ) -> Committed[Row]:
        """Run a use case exactly once for its key; a second run returns the first one's facts.

        The guard's statements stand before the work and before such an answer alike. Raise what `run` raises, and
        Refusal("idempotency-key-reused") where the key stood for something else.
        """
        ...
