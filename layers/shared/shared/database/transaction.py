"""A transaction whose statements are queued and sent together, in one round trip.

In a pipeline on an autocommit connection all statements up to the Sync are one implicit transaction: the first one that
fails undoes them all (PostgreSQL, "Pipelining", Extended Query). So nothing waits for a BEGIN, a COMMIT or another
statement's result, and a decision between statements is itself SQL: `require()`.
"""

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar
from uuid import UUID

from shared.admission.ports import KeyUse
from shared.deadline import Deadline
from shared.sql import Query

T = TypeVar("T")
U = TypeVar("U")
Row = dict[str, Any]


class Pending(Generic[T]):
    """A value that is known once the transaction has committed."""

    def __init__(self, resolve: Callable[[], T]) -> None:
        self._resolve = resolve

    def resolve(self) -> T:
        """Return the value; only after the commit."""
        return self._resolve()

    def map(self, change: Callable[[T], U]) -> "Pending[U]":
        """Return a pending value that `change` makes of this one once it is known."""
        return Pending(lambda: change(self.resolve()))


class Transaction(Protocol):
    """An open transaction, as use cases see it."""

    def add(self, query: Query, **params: object) -> None:
        """Queue a statement."""
        ...

    def fetch_one(self, query: Query, **params: object) -> Pending[Row | None]:
        """Queue a statement whose first row, if any, is needed."""
        ...

    def fetch_all(self, query: Query, **params: object) -> Pending[list[Row]]:
        """Queue a statement whose rows are needed."""
        ...

    def fetch_answer(self, query: Query, **params: object) -> Pending[Row]:
        """Queue the statement whose one column `facts` is the answer; a write stores it under its key.

        Resolving it raises Refusal("not-found") if there is no row.
        """
        ...

    @property
    def jobs(self) -> AbstractSet[UUID]:
        """Return the ids of the jobs that the transaction writes, as far as they are known before the commit."""
        ...

    def run_after_commit(self, name: str, *jobs: UUID) -> None:
        """Request an action, by name, that is run right after the commit; `jobs` are the new jobs that it is about."""
        ...


UseCase = Callable[[Transaction], Pending[T]]
# Queues statements that stop the transaction of a caller who may not have its answer.
Guard = Callable[[Transaction], None]


@dataclass(frozen=True, slots=True)
class Committed(Generic[T]):
    """A committed transaction: its value, and the names of the actions to run now."""

    value: T
    after_commit: frozenset[str]
    first_used_at: datetime | None = None  # when its key was first used, if the value is that use's

    @property
    def replayed(self) -> bool:
        """Return whether the value is that of an earlier use of the key, not of this run."""
        return self.first_used_at is not None


def require_nothing(_tx: Transaction) -> None:
    """Queue no statement: the guard of a transaction that is open to everyone."""


class TransactionRunner(Protocol):
    """A runner of use cases, each in a transaction of its own."""

    def run(self, use_case: UseCase[T], deadline: Deadline) -> Committed[T]:
        """Run a use case that may be repeated.

        Raise Refusal if rules reject the request, Unavailable if the database can't be reached before the deadline.
        """
        ...

    def run_once(
        self,
        use: KeyUse,
        use_case: UseCase[Row],
        deadline: Deadline,
        *,
        guard: Guard = require_nothing,
        holder: str | None = None,
    ) -> Committed[Row]:
        """Run a use case exactly once for its key; a second run returns the facts of the first one.

        The guard's statements precede both the work and the stored answer. `holder` is the token in the key's record,
        if the relay is to keep the answer there. Raise what `run` raises, and Refusal("idempotency-key-reused") if the
        key was used for another request.
        """
        ...

    def find_committed(
        self, use: KeyUse, deadline: Deadline, *, guard: Guard = require_nothing
    ) -> Committed[Row] | None:
        """Return the facts of the key's first run, None if none has committed; raise what `run_once` raises."""
        ...
