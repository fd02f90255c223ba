"""The attempts of a transaction, their end, and the answer of a key that was used."""

from collections.abc import Callable, Mapping
from typing import cast

import psycopg
import pytest
from psycopg import errors as pg

from shared.database.connection import ConnectionHolder
from shared.database.pipeline import SQL, Database
from shared.database.transaction import Row, Transaction, UseCase
from shared.deadline import Deadline
from shared.errors import DeadlineExceeded, Refusal, Unavailable
from shared.sql import Query
from tests.unit.database.database_errors import make_error
from tests.unit.database.running_database import (
    FACTS,
    FIRST_USED,
    KEY_EXISTS,
    LOST,
    USE,
    RunningDatabase,
    ScriptedConnector,
    answer_nothing,
    do_nothing,
)


def make_event(error: str, sqlstate: str | None, attempt: int) -> Mapping[str, object]:
    """Return the facts of an attempt that failed."""
    return {"sqlstate": sqlstate, "error": error, "attempt": attempt}


# ---- attempts --------------------------------------------------------------------------------------------------------
def test_a_conflict_is_attempted_again_after_a_growing_wait() -> None:
    """On the same connection, without the budget of retries: two that met at a row are no outage."""
    running = RunningDatabase(pg.DeadlockDetected(), pg.DeadlockDetected(), pg.SerializationFailure(), None)
    assert running.run().value == 7
    assert running.slept == [1.0, 2.0, 4.0]
    assert "drop" not in running.connector.steps
    assert running.events == [
        ("transaction_retried", make_event("DeadlockDetected", "40P01", 1)),
        ("transaction_retried", make_event("DeadlockDetected", "40P01", 2)),
        ("transaction_retried", make_event("SerializationFailure", "40001", 3)),
    ]
    assert running.budget.spend()


def test_attempts_end_after_the_last_retry() -> None:
    """The request is told that the database can't be reached."""
    running = RunningDatabase(*[pg.DeadlockDetected()] * 9)
    with pytest.raises(Unavailable) as given_up:
        running.run()
    assert given_up.value.what == "database"
    assert isinstance(given_up.value.__cause__, pg.DeadlockDetected)
    assert (running.count_attempts(), len(running.events)) == (4, 3)


def test_a_lost_connection_is_replaced_and_pays_for_its_retry() -> None:
    """There may be an outage: the second loss finds no budget."""
    running = RunningDatabase(LOST, LOST)
    with pytest.raises(Unavailable) as given_up:
        running.run()
    assert given_up.value.what == "database"
    assert given_up.value.__cause__ is LOST
    assert running.connector.steps.count("drop") == 2
    assert running.slept == [1.0]
    assert running.events == [
        ("transaction_retried", make_event("OperationalError", None, 1)),
        ("retry_budget_spent", make_event("OperationalError", None, 2)),
    ]


def test_ten_transactions_that_succeed_pay_for_a_retry() -> None:
    """Transactions that fail pay for nothing."""
    running = RunningDatabase(LOST, *[None] * 10, LOST, None)
    for _ in range(11):
        running.run()
    assert running.slept == [1.0, 1.0]


@pytest.mark.parametrize(
    ("error", "left_s", "is_retried"),
    [
        (pg.DeadlockDetected(), 1.001, True),
        (pg.DeadlockDetected(), 1.0, False),
        (LOST, 3.001, True),
        (LOST, 3.0, False),
    ],
)
def test_nothing_is_attempted_again_that_would_not_end_in_time(
    error: psycopg.Error, left_s: float, is_retried: bool
) -> None:
    """The wait counts, and for a lost connection what libpq needs for another one."""
    running = RunningDatabase(error, left_s=left_s)
    if is_retried:
        running.run()
    else:
        with pytest.raises(Unavailable):
            running.run()
    assert running.count_attempts() == 1 + is_retried


def test_a_deadline_that_has_passed_begins_nothing() -> None:
    """Not even the first attempt."""
    running = RunningDatabase(left_s=0.0)
    with pytest.raises(DeadlineExceeded) as late:
        running.run()
    assert (late.value.what, running.connector.steps) == ("database", [])


@pytest.mark.parametrize(("error", "drops"), [(pg.CheckViolation(), 0), (psycopg.InterfaceError("closed"), 1)])
def test_an_error_that_no_repetition_mends_is_raised(error: psycopg.Error, drops: int) -> None:
    """The connection is dropped if it is lost."""
    running = RunningDatabase(error)
    with pytest.raises(type(error)) as raised:
        running.run()
    assert raised.value is error
    assert (running.connector.steps.count("drop"), running.events) == (drops, [])


@pytest.mark.parametrize(
    ("error", "answer"),
    [
        (make_error(pg.UniqueViolation, constraint_name="accounts_email_key"), Refusal),
        (pg.QueryCanceled(), Unavailable),
    ],
)
def test_an_error_that_is_an_answer_is_raised_as_that(error: psycopg.Error, answer: type[Exception]) -> None:
    """It doesn't carry the database's words, which may quote a row."""
    running = RunningDatabase(error)
    with pytest.raises(answer) as raised:
        running.run()
    assert raised.value.__suppress_context__
    assert raised.value.__cause__ is None
    assert running.count_attempts() == 1


# ---- once for a key --------------------------------------------------------------------------------------------------
def make_writing(facts: Mapping[str, object]) -> Callable[[RunningDatabase], UseCase[Row]]:
    """Return what makes a use case whose answer is these facts."""

    def make(running: RunningDatabase) -> UseCase[Row]:
        keep = SQL["keep_answer"].replace("{facts}", FACTS)
        running.connector.rows[keep] = [{"facts": facts}]
        return lambda tx: tx.fetch_answer(FACTS, id=1)

    return make


def add_guard(tx: Transaction) -> None:
    """Queue the statement of a guard."""
    tx.add(Query("guard"))


def test_a_write_takes_its_key_before_it_does_anything_and_keeps_its_answer() -> None:
    """The guard's statements come in between."""
    running = RunningDatabase()
    use_case = make_writing({"n": 1})(running)
    committed = running.database.run_once(USE, use_case, running.deadline, guard=add_guard)
    assert (committed.value, committed.replayed) == ({"n": 1}, False)
    take, guard, keep = running.connector.statements
    row = {"scope": "scope", "key": "key", "fingerprint": "fingerprint", "holder": None}
    assert take == (SQL["take_key"], row), "a call without a record has no answer to be copied"
    assert guard == ("guard", {})
    assert keep[1] == {"id": 1, "key_scope": "scope", "key_key": "key"}


def make_stored(fingerprint: str = "fingerprint") -> list[Row]:
    """Return the row of a key that was used before."""
    return [{"fingerprint": fingerprint, "answer": {"n": 1}, "created_at": FIRST_USED}]


def test_a_key_that_was_used_answers_with_what_it_had_then() -> None:
    """After the guard, since the caller may not have the answer any more."""
    running = RunningDatabase(KEY_EXISTS)
    running.connector.rows[SQL["find_answer"]] = make_stored()
    committed = running.database.run_once(USE, answer_nothing, running.deadline, guard=add_guard)
    assert (committed.value, committed.first_used_at, committed.replayed) == ({"n": 1}, FIRST_USED, True)
    assert committed.after_commit == frozenset(), "what its first use was to do was done then"
    assert running.connector.statements[2:] == [
        ("guard", {}),
        (SQL["find_answer"], {"scope": "scope", "key": "key"}),
    ]


def test_a_key_that_was_used_for_something_else_is_refused() -> None:
    """It is known by its fingerprint."""
    running = RunningDatabase(KEY_EXISTS)
    running.connector.rows[SQL["find_answer"]] = make_stored("other")
    with pytest.raises(Refusal) as refused:
        running.database.run_once(USE, answer_nothing, running.deadline)
    assert refused.value.name == "idempotency-key-reused"


def test_a_key_that_is_gone_meanwhile_is_an_outage() -> None:
    """The client sends the request again."""
    running = RunningDatabase(KEY_EXISTS)
    with pytest.raises(Unavailable) as gone:
        running.database.run_once(USE, answer_nothing, running.deadline)
    assert gone.value.what == "database"


def test_a_database_retries_by_default_and_reports_to_nobody() -> None:
    """In a pipeline, three times, and with a budget of its own."""
    connector, slept = ScriptedConnector([pg.DeadlockDetected()] * 3), list[float]()
    database = Database(cast("ConnectionHolder", connector), sleep=slept.append)
    assert database.run(do_nothing, Deadline(60.0, lambda: 0.0)).value == 7
    assert connector.steps.count("pipeline") == 4
    assert len(slept) == 3
    assert all(0.0 <= wait <= most for wait, most in zip(slept, (0.1, 0.2, 0.4), strict=True))
