"""Transactions on a connection that a test answers for: what is sent, and what a use case that raises leaves."""

from typing import Any

import pytest
from psycopg import errors as pg

from shared.database import pipeline as module
from shared.database.transaction import Pending, Transaction
from shared.errors import Refusal
from shared.sql import Query
from tests.unit.database.running_database import FACTS, RunningDatabase


# ---- statements ------------------------------------------------------------------------------------------------------
def test_statements_are_sent_as_they_were_queued_and_their_rows_are_there_after_the_commit() -> None:
    """With their parameters; and the actions that are due are named."""
    running = RunningDatabase()
    running.connector.rows = {"one": [{"n": 1}, {"n": 2}], "all": [{"n": 3}]}

    def use_case(tx: Transaction) -> Pending[Any]:
        tx.add(Query("add"), a=1)
        one, rows = tx.fetch_one(Query("one"), b=2), tx.fetch_all(Query("all"), c=3)
        tx.run_after_commit("nudge")
        tx.run_after_commit("nudge")
        return Pending(lambda: (one.resolve(), rows.resolve()))

    committed = running.run(use_case)
    assert committed.value == ({"n": 1}, [{"n": 3}])
    assert committed.after_commit == frozenset({"nudge"})
    assert not committed.replayed
    assert running.connector.statements == [("add", {"a": 1}), ("one", {"b": 2}), ("all", {"c": 3})]


def test_an_answer_is_the_column_facts_and_no_row_is_not_found() -> None:
    """Of a read, which keeps no answer."""
    running = RunningDatabase()
    with pytest.raises(Refusal) as refused:
        running.run(lambda tx: tx.fetch_answer(FACTS))
    assert refused.value.name == "not-found"
    running.connector.rows = {FACTS: [{"facts": {"n": 1}}]}
    assert running.run(lambda tx: tx.fetch_answer(FACTS, id=1)).value == {"n": 1}
    assert running.connector.statements[-1] == (FACTS, {"id": 1})


@pytest.mark.parametrize("pipeline", [True, False])
def test_a_transaction_is_one_block_whose_wait_is_limited(pipeline: bool) -> None:
    """A pipeline, or statements one by one between BEGIN and COMMIT."""
    running = RunningDatabase(pipeline=pipeline)
    assert running.run().value == 7
    block = "pipeline" if pipeline else "transaction"
    assert running.connector.steps == [("borrow", 60.0), ("limit", 12.0), block, "return"]


def test_a_wait_is_never_longer_than_what_is_left() -> None:
    """A server that hangs costs no more than the request's own time."""
    running = RunningDatabase(left_s=5.0)
    running.run()
    assert running.connector.steps[:2] == [("borrow", 5.0), ("limit", 5.0)]


def test_a_process_can_die_before_and_after_the_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests end the process at these two named places."""
    running, passed = RunningDatabase(), []

    def note(name: str) -> None:
        passed.append((name, len(running.connector.ends)))

    running.connector.ends = [None]
    monkeypatch.setattr(module, "crash_point", note)
    running.run()
    assert passed == [("database.queued", 1), ("database.committed", 0)]


# ---- a use case that raises ------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("pipeline", "drops"), [(True, 1), (False, 0)])
def test_a_use_case_that_raises_commits_nothing(pipeline: bool, drops: int) -> None:
    """A pipeline's end would commit what stands before, so its connection is closed; a transaction rolls back."""

    def use_case(_tx: Transaction) -> Pending[int]:
        raise LookupError

    running = RunningDatabase(pipeline=pipeline)
    with pytest.raises(LookupError):
        running.run(use_case)
    assert running.connector.steps.count("drop") == drops
    assert "return" not in running.connector.steps


def test_a_use_case_that_meets_an_error_of_the_servers_keeps_its_connection() -> None:
    """The server has rolled it back already."""

    def use_case(_tx: Transaction) -> Pending[int]:
        raise pg.CheckViolation

    running = RunningDatabase()
    with pytest.raises(pg.CheckViolation):
        running.run(use_case)
    assert "drop" not in running.connector.steps


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_a_process_that_is_ended_in_the_middle_commits_nothing(kind: type[BaseException]) -> None:
    """Nothing is committed, whatever ends it."""

    def use_case(_tx: Transaction) -> Pending[int]:
        raise kind

    running = RunningDatabase()
    with pytest.raises(kind):
        running.run(use_case)
    assert "drop" in running.connector.steps
