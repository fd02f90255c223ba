"""Sent one by one, a use case's statements do what they do together; only the round trips are more."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

import psycopg
import pytest

from shared.admission.ports import KeyUse
from shared.database.transaction import Pending, Row, Transaction
from shared.errors import Refusal
from shared.outbox.audit import Actor, record_audit
from shared.sql import Query
from tests.api_client import ApiReply
from tests.databases import FreshDatabase, PostgresHandle, make_deadline
from tests.integration.proxy.test_round_trips import USE_CASES, VARIANTS, Prepared, UseCaseRunner
from tests.integration.shared.test_database import FACTS, SUBJECT, make_writing, use

TABLES = (
    "accounts", "agents", "agent_clients", "members", "subscriptions", "commissions", "claims", "claim_history",
    "documents", "outbox", "audit", "idempotency_keys",
)  # fmt: skip
MODES = (True, False)


@dataclass(frozen=True)
class Done:
    """The outcome of a use case: its status, the fields of its answer and headers, and how many rows were added."""

    status: int
    answer: Any
    headers: frozenset[str]
    rows: dict[str, int]


def reduce_to_kinds(value: Any) -> Any:
    """Return what is the same in two answers about two people: names and kinds of values."""
    if isinstance(value, dict):
        return {key: reduce_to_kinds(each) for key, each in value.items()}
    return [reduce_to_kinds(each) for each in value] if isinstance(value, list) else type(value).__name__


def run_use_case(fresh_database: FreshDatabase, prepare: Callable[[UseCaseRunner], Prepared]) -> tuple[Done, int, int]:
    """Return what a use case does, its round trips and its transactions."""
    client, write = prepare(UseCaseRunner(fresh_database))
    client.container.database.run(
        lambda tx: tx.fetch_all(Query("SELECT 1")), make_deadline()
    )  # connected, and just used
    counts, rows = fresh_database.postgres.proxy.counts, {table: fresh_database.count(table) for table in TABLES}
    before = deepcopy(counts)
    reply: ApiReply = write()
    round_trips, commits = counts.round_trips - before.round_trips, counts.transactions - before.transactions
    assert (counts.pins - before.pins).total() == (counts.changed_settings - before.changed_settings).total() == 0
    assert fresh_database.postgres.proxy.read_session_state() == []
    more = {table: fresh_database.count(table) - count for table, count in rows.items()}
    answer = reduce_to_kinds(reply.json) if reply.body else None
    return Done(reply.status, answer, frozenset(reply.headers), more), round_trips, commits


@pytest.mark.parametrize("operation", [*USE_CASES, *VARIANTS], ids=" ".join)
def test_a_use_case_does_the_same_one_by_one(postgres: PostgresHandle, operation: tuple[str, ...]) -> None:
    """Status, answer, headers and rows; as many transactions, in more round trips, and no session is pinned either."""
    prepare, transactions = (VARIANTS | USE_CASES)[operation]
    together, round_trips, commits = run_use_case(replace(postgres.make_fresh_database(), is_pipelined=True), prepare)
    singly, more_round_trips, also_commits = run_use_case(
        replace(postgres.make_fresh_database(), is_pipelined=False), prepare
    )
    assert singly == together
    assert (round_trips, commits, also_commits) == (transactions, transactions, transactions)
    assert more_round_trips >= 3 * transactions  # BEGIN, a statement or more, COMMIT


@pytest.mark.parametrize("is_pipelined", MODES, ids=("together", "one-by-one"))
def test_a_refusal_undoes_all_and_a_repeat_is_answered_once(fresh_database: FreshDatabase, is_pipelined: bool) -> None:
    """The key with the rest, so that a repeat is a new try; and then the first one's facts."""
    database = replace(fresh_database, is_pipelined=is_pipelined).make_database()
    action = f"one-by-one.{is_pipelined}"

    def queue_refused(tx: Transaction) -> Pending[Row]:
        record_audit(tx, Actor(None, "r"), action, SUBJECT)
        tx.add(Query("SELECT require(false, 'stale-version')"))
        return tx.fetch_answer(FACTS, action=action)

    with pytest.raises(Refusal) as caught:
        database.run_once(use(action), queue_refused, make_deadline())
    assert caught.value.name == "stale-version"
    first, again = (database.run_once(use(action), make_writing(action), make_deadline()) for _ in range(2))
    assert (first.value, again.value, again.replayed) == ({"n": 1}, {"n": 1}, True)
    with pytest.raises(Refusal) as caught:
        database.run_once(KeyUse("scope", action, "another request"), make_writing(action), make_deadline())
    assert caught.value.name == "idempotency-key-reused"


@pytest.mark.parametrize("is_pipelined", MODES, ids=("together", "one-by-one"))
def test_a_statement_that_fails_leaves_a_connection_that_goes_on(
    fresh_database: FreshDatabase, is_pipelined: bool
) -> None:
    """Nothing of the transaction stands, and the next one is on the same session."""
    database = replace(fresh_database, is_pipelined=is_pipelined).make_database()

    def queue_failing(tx: Transaction) -> Pending[list[Row]]:
        record_audit(tx, Actor(None, "r"), "fails", SUBJECT)
        tx.add(Query("SELECT 1 / 0"))
        return tx.fetch_all(Query("SELECT 1"))

    session = Query("SELECT 1 AS one")
    with pytest.raises(psycopg.errors.DivisionByZero):
        database.run(queue_failing, make_deadline())
    assert database.run(lambda tx: tx.fetch_one(session), make_deadline()).value == {"one": 1}
    assert fresh_database.query_rows("SELECT count(*) AS n FROM audit WHERE action = 'fails'") == [{"n": 0}]
