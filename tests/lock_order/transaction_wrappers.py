"""Transactions that wrap those of the use cases and do something more."""

import random
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from shared.database.transaction import Pending, Row, Transaction
from shared.sql import Query

PAUSE = Query("SELECT pg_sleep(%(seconds)s)")


@dataclass
class _TransactionWrapper:
    """Passes everything on, `run_before` each statement."""

    tx: Transaction

    def run_before(self, query: Query) -> None:
        """Act before a statement is queued."""

    def add(self, query: Query, **params: object) -> None:
        self.run_before(query)
        self.tx.add(query, **params)

    def fetch_one(self, query: Query, **params: object) -> Pending[Row | None]:
        self.run_before(query)
        return self.tx.fetch_one(query, **params)

    def fetch_all(self, query: Query, **params: object) -> Pending[list[Row]]:
        self.run_before(query)
        return self.tx.fetch_all(query, **params)

    def fetch_answer(self, query: Query, **params: object) -> Pending[Row]:
        self.run_before(query)
        return self.tx.fetch_answer(query, **params)

    @property
    def jobs(self) -> AbstractSet[UUID]:
        return self.tx.jobs

    def run_after_commit(self, name: str, *jobs: UUID) -> None:
        self.tx.run_after_commit(name, *jobs)


@dataclass
class RecordingTransaction(_TransactionWrapper):
    """Notes which statements it was given."""

    noted: set[Query]

    def run_before(self, query: Query) -> None:
        """Note it."""
        self.noted.add(query)


@dataclass
class SlowTransaction(_TransactionWrapper):
    """Pauses in the database before each statement, so that others come in between."""

    uniform: Callable[[float, float], float] = random.uniform
    longest_s: float = 0.002

    def run_before(self, query: Query) -> None:
        """Pause."""
        self.tx.add(PAUSE, seconds=self.uniform(0, self.longest_s))


@dataclass
class ReversedTransaction(_TransactionWrapper):
    """Calls a function before the answer in the opposite order: what a use case must not do."""

    held_back: list[tuple[Query, dict[str, Any]]] = field(default_factory=list)

    def add(self, query: Query, **params: object) -> None:
        """Keep it back."""
        self.held_back.append((query, params))

    def run_before(self, query: Query) -> None:
        """Let go of what was kept back, the last first."""
        while self.held_back:
            kept, params = self.held_back.pop()
            self.tx.add(kept, **params)
