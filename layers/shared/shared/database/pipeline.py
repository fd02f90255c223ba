"""Whole transactions on the environment's connection, retried if that is safe, within the deadline."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from typing import Any, TypeVar, cast
from uuid import UUID

import psycopg

from shared.admission.ports import KeyUse
from shared.crash_points import crash_point
from shared.database.connection import LEAST_CONNECT_S, Connection, ConnectionHolder, Observer, ignore
from shared.database.errors import KeyConflict, convert_to_answer, is_connection_lost, is_retryable
from shared.database.transaction import Committed, Guard, Pending, Row, Transaction, UseCase, require_nothing
from shared.deadline import Deadline
from shared.errors import DeadlineExceeded, Refusal, Unavailable
from shared.retry.backoff import Backoff
from shared.retry.budget import RetryBudget
from shared.sql import Query, load_queries

T = TypeVar("T")
# Events of a Database, and their fields:
#   transaction_retried {sqlstate, error, attempt}  the whole transaction is attempted again, for the attempt-th time
#   retry_budget_spent {sqlstate, error, attempt}   it is not attempted again: too few calls succeed to pay for a retry
# `error` is the class of psycopg's error: a lost connection and one that could not be opened have no SQLSTATE.

SQL = load_queries("shared.database", "keys.sql")

# The server ends a statement after 10 s (migrations/0004_roles.sql): what takes longer will get no answer.
ROUND_TRIP_S = 12.0


class OpenTransaction:
    """A transaction under way on a connection, in a pipeline or between BEGIN and COMMIT; see Transaction."""

    def __init__(self, connection: Connection, use: KeyUse | None) -> None:
        self._connection = connection
        self._use = use
        self.after_commit: set[str] = set()
        self.jobs: set[UUID] = set()

    def _queue_statement(self, query: Query, params: dict[str, object]) -> psycopg.Cursor[Row]:
        return self._connection.execute(cast("Any", query), params)

    def add(self, query: Query, **params: object) -> None:
        """Queue a statement."""
        self._queue_statement(query, params)

    def fetch_one(self, query: Query, **params: object) -> Pending[Row | None]:
        """Queue a statement whose first row is needed."""
        cursor = self._queue_statement(query, params)
        return Pending(cursor.fetchone)

    def fetch_all(self, query: Query, **params: object) -> Pending[list[Row]]:
        """Queue a statement whose rows are needed."""
        cursor = self._queue_statement(query, params)
        return Pending(cursor.fetchall)

    def fetch_answer(self, query: Query, **params: object) -> Pending[Row]:
        """Queue the statement that selects the answer, and store the answer under the transaction's key."""
        if self._use is not None:
            params |= {"key_scope": self._use.scope, "key_key": self._use.key}
            query = Query(SQL["keep_answer"].replace("{facts}", query))
        return self.fetch_one(query, **params).map(_read_facts)

    def run_after_commit(self, name: str, *jobs: UUID) -> None:
        """Request an action after the commit."""
        self.after_commit.add(name)
        self.jobs.update(jobs)


class Database:
    """The database, which runs use cases, each in a transaction of its own."""

    def __init__(
        self,
        connector: ConnectionHolder,
        *,
        backoff: Backoff | None = None,
        budget: RetryBudget | None = None,
        pipeline: bool = True,
        observer: Observer = ignore,
        sleep: Callable[[float], None] = time.sleep,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        """`pipeline`: whether a transaction's statements are sent together; else each waits for the one before."""
        self._connector = connector
        self._pipeline = pipeline
        self._backoff = backoff or Backoff()
        self._budget = budget or RetryBudget()
        self._observer = observer
        self._sleep = sleep
        self._uniform = uniform

    def run(self, use_case: UseCase[T], deadline: Deadline, *, use: KeyUse | None = None) -> Committed[T]:
        """Run a use case that may be repeated: a read, or a write that recognises its own first attempt.

        Raise Refusal if rules or constraints reject the request, Unavailable if the database can't be reached in time.
        """
        attempt = 0
        while True:
            if deadline.has_passed:
                raise DeadlineExceeded("database")
            try:
                committed = self._run_pipeline(use_case, use, deadline)
            except psycopg.Error as error:
                self._wait_or_give_up(error, attempt, deadline)
            else:
                self._budget.earn()
                return committed
            attempt += 1

    def run_once(
        self,
        use: KeyUse,
        use_case: UseCase[Row],
        deadline: Deadline,
        *,
        guard: Guard = require_nothing,
        holder: str | None = None,
    ) -> Committed[Row]:
        """Run a use case exactly once for its key: a second run returns the facts of the first one.

        The guard's statements precede both the work and the stored answer. `holder` is the token in the key's record,
        if the relay is to keep the answer there. Raise what `run` raises, and Refusal("idempotency-key-reused") if the
        key was used for another request.
        """

        def run_with_key(tx: Transaction) -> Pending[Row]:
            tx.add(SQL["take_key"], scope=use.scope, key=use.key, fingerprint=use.fingerprint, holder=holder)
            guard(tx)
            return use_case(tx)

        try:
            return self.run(run_with_key, deadline, use=use)
        except KeyConflict:
            found = self.find_committed(use, deadline, guard=guard)
            if found is None:
                raise Unavailable("database") from None
            return found

    def find_committed(
        self, use: KeyUse, deadline: Deadline, *, guard: Guard = require_nothing
    ) -> Committed[Row] | None:
        """Return the facts of the key's first run, None if none has committed; raise what `run_once` raises.

        It doesn't wait for a run that is under way.
        """

        def find(tx: Transaction) -> Pending[tuple[Row, datetime] | None]:
            guard(tx)
            return find_answer(tx, use)

        found = self.run(find, deadline)
        if found.value is None:
            return None
        facts, first_used_at = found.value
        return Committed(facts, found.after_commit, first_used_at)

    def _run_pipeline(self, use_case: UseCase[T], use: KeyUse | None, deadline: Deadline) -> Committed[T]:
        connection = self._connector.borrow(deadline.seconds_left)
        tx = OpenTransaction(connection, use)
        block: AbstractContextManager[object] = connection.pipeline() if self._pipeline else connection.transaction()
        with _translate_errors():
            with self._connector.limit_waiting(min(ROUND_TRIP_S, deadline.seconds_left)), block:
                pending = self._queue_statements(use_case, tx)
                crash_point("database.queued")
            crash_point("database.committed")
            value = pending.resolve()
        self._connector.return_connection()
        return Committed(value, frozenset(tx.after_commit))

    def _queue_statements(self, use_case: UseCase[T], tx: Transaction) -> Pending[T]:
        """Let a use case queue its statements; raise what it raises, with nothing of it committed.

        If it raises in the middle, the end of the pipeline would still send the Sync, and so commit the statements that
        stand before. The connection is closed first, so that the server rolls them back. An error of the server's own
        has done that already.
        """
        try:
            return use_case(tx)
        except BaseException as error:
            if self._pipeline and getattr(error, "sqlstate", None) is None:
                self._connector.drop()
            raise

    def _wait_or_give_up(self, error: psycopg.Error, attempt: int, deadline: Deadline) -> None:
        lost = is_connection_lost(error)
        if lost:
            self._connector.drop()
        if not is_retryable(error):
            raise error
        delay = self._backoff.compute_delay(attempt, self._uniform)
        needed = delay + (LEAST_CONNECT_S if lost else 0.0)
        if attempt >= self._backoff.retries or needed >= deadline.seconds_left:
            raise Unavailable("database") from error
        fields = {"sqlstate": error.sqlstate, "error": type(error).__name__, "attempt": attempt + 1}
        # Deadlocks don't use the retry budget; lost connections do, since they may be part of an outage.
        if lost and not self._budget.spend():
            self._observer("retry_budget_spent", fields)
            raise Unavailable("database") from error
        self._observer("transaction_retried", fields)
        self._sleep(delay)


def _read_facts(row: Row | None) -> Row:
    if row is None:
        raise Refusal("not-found")
    return cast("Row", row["facts"])


def find_answer(tx: Transaction, use: KeyUse) -> Pending[tuple[Row, datetime] | None]:
    """Return the facts with which the key's first use was answered, and when that was; None if there was none."""
    return tx.fetch_one(SQL["find_answer"], scope=use.scope, key=use.key).map(lambda row: _check_fingerprint(row, use))


def _check_fingerprint(row: Row | None, use: KeyUse) -> tuple[Row, datetime] | None:
    if row is None:
        return None
    if row["fingerprint"] != use.fingerprint:
        raise Refusal("idempotency-key-reused")
    return row["answer"], row["created_at"]


@contextmanager
def _translate_errors() -> Iterator[None]:
    try:
        yield
    except psycopg.Error as error:
        answer = convert_to_answer(error)
        if answer is not None:
            raise answer from None
        raise
