"""A transaction whose statements are queued and leave together, in one flight.

In a pipeline on an autocommit connection all statements up to the Sync are one implicit transaction:
the first that fails undoes them all (PostgreSQL, "Pipelining", Extended Query). So nothing waits for
a BEGIN, a COMMIT or another statement's answer, and a decision in between is SQL: `require()`.
"""

from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

from shared.sql import Query

T = TypeVar("T")
U = TypeVar("U")
Row = dict[str, Any]


class Pending(Generic[T]):
    """A value that is known once the transaction has landed."""

    def __init__(self, resolve: Callable[[], T]) -> None:
        self._resolve = resolve

    def value(self) -> T:
        """The value; only after the flight."""
        return self._resolve()

    def map(self, change: Callable[[T], U]) -> "Pending[U]":
        """The same, changed by `change` once it is known."""
        return Pending(lambda: change(self.value()))


class Transaction(Protocol):
    """An open transaction, as use cases see it."""

    def add(self, query: Query, **params: object) -> None:
        """Queue a statement."""
        ...

    def one(self, query: Query, **params: object) -> Pending[Row | None]:
        """Queue a statement of which the first row, if any, will be wanted."""
        ...

    def all(self, query: Query, **params: object) -> Pending[list[Row]]:
        """Queue a statement of which all rows will be wanted."""
        ...

    def answer(self, query: Query, **params: object) -> Pending[Row]:
        """Queue the statement whose one value `facts` is the answer; a write keeps it under its key.

        Resolving it raises Refusal("not-found") where there was no row.
        """
        ...

    def signal(self, name: str) -> None:
        """Ask for something to be done right after the commit, by name."""
        ...
