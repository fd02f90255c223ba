"""A transaction that keeps what a use case queues, and gives the rows that a test prepared."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar
from uuid import UUID

from shared.database.transaction import Committed, Pending, Row, UseCase
from shared.deadline import Deadline
from shared.sql import Query

T = TypeVar("T")


@dataclass(frozen=True)
class QueuedStatement:
    """A statement that a use case has queued, with its parameters."""

    query: Query
    params: Mapping[str, object]


@dataclass
class ScriptedTransaction:
    """A Transaction without a database; `rows` are the rows of each query that has one."""

    rows: Mapping[Query, Row] = field(default_factory=dict)
    statements: list[QueuedStatement] = field(default_factory=list)
    after_commit: set[str] = field(default_factory=set)
    jobs: set[UUID] = field(default_factory=set)

    def add(self, query: Query, **params: object) -> None:
        """See Transaction.add."""
        self.statements.append(QueuedStatement(query, params))

    def fetch_one(self, query: Query, **params: object) -> Pending[Row | None]:
        """See Transaction.fetch_one."""
        self.add(query, **params)
        return Pending(lambda: self.rows.get(query))

    def fetch_all(self, query: Query, **params: object) -> Pending[list[Row]]:
        """See Transaction.fetch_all."""
        self.add(query, **params)
        return Pending(lambda: [self.rows[query]] if query in self.rows else [])

    def fetch_answer(self, query: Query, **params: object) -> Pending[Row]:
        """See Transaction.fetch_answer."""
        self.add(query, **params)
        return Pending(lambda: self.rows[query]["facts"])

    def run_after_commit(self, name: str, *jobs: UUID) -> None:
        """See Transaction.run_after_commit."""
        self.after_commit.add(name)
        self.jobs.update(jobs)


@dataclass
class ScriptedTransactionRunner:
    """A database that runs each use case on a transaction with these rows, and keeps the transactions.

    `fails` is raised by the next transactions, one each, None by those that succeed.
    """

    rows: dict[Query, Row] = field(default_factory=dict)
    fails: list[Exception | None] = field(default_factory=list)
    transactions: list[ScriptedTransaction] = field(default_factory=list)
    deadlines: list[Deadline] = field(default_factory=list)

    def run(self, use_case: UseCase[T], deadline: Deadline) -> Committed[T]:
        """See TransactionRunner.run."""
        self.deadlines.append(deadline)
        error = self.fails.pop(0) if self.fails else None
        if error is not None:
            raise error
        tx = ScriptedTransaction(self.rows)
        self.transactions.append(tx)
        return Committed(use_case(tx).resolve(), frozenset(tx.after_commit))

    @property
    def statements(self) -> list[QueuedStatement]:
        """Return the statements of all transactions."""
        return [statement for tx in self.transactions for statement in tx.statements]
