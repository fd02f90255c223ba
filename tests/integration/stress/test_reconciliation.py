"""The reconciliation against a real database: its queries give what it takes, and what is wrong is found."""

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import psycopg
import pytest
from psycopg.rows import dict_row

from stress import scenario_end as reconciling
from stress.call_factory import CallFactory
from stress.load_generator import LoadGenerator, RunClock
from stress.model import Difference
from stress.profiles import CONTROL
from stress.reconciliation import LINKED
from stress.scenario_context import LocalScenarioContext
from stress.scenario_end import SQL, reconcile
from tests.databases import FreshDatabase, PostgresHandle
from tests.integration.stress.rows import RecordedSystem, make_id

DESK = "desk@interdomestik.test"


@pytest.fixture
def fresh_database(postgres: PostgresHandle) -> FreshDatabase:
    """Return a database for each test: the reconciliation looks at all of it."""
    return postgres.make_fresh_database()


@pytest.fixture
def system(fresh_database: FreshDatabase) -> RecordedSystem:
    """Return an agent, a member of theirs, and the member's claim; answers named all of them."""
    system = RecordedSystem(fresh_database)
    agent, _ = system.add_agent(scenario="setup")
    system.add_claim(*system.add_member(agent))
    return system


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """It looks often."""
    monkeypatch.setattr(reconciling, "POLL_S", 0.001)


class FastClock(RunClock):
    """Time that flies: 10 s at each look, so that what is not done soon will never be."""

    def __init__(self) -> None:
        self._looks = itertools.count()

    def read_now(self) -> float:
        return 10.0 * next(self._looks)


def query(system: RecordedSystem, name: str, **params: object) -> list[dict[str, Any]]:
    """Return a query's rows, as the harness asks for them."""
    conninfo = system.fresh_database.postgres.build_conninfo(dbname=system.fresh_database.name)
    with psycopg.connect(conninfo, autocommit=True, row_factory=dict_row) as connection:
        return connection.execute(SQL[name].encode(), params).fetchall()


class FakeTarget:
    """A target that answers for this system what a local cloud would."""

    api = ""  # as of all samples here

    def __init__(self, system: RecordedSystem) -> None:
        self._system = system

    async def query_rows(self, text: str, params: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        name = next(name for name, known in SQL.items() if known == text)
        return query(self._system, name, **(params or {}))

    async def count_queued(self) -> dict[str, int]:
        return {"QueueHigh": 0, **self._system.messages} if self._system.has_queues else {}

    async def read_inbox(self) -> tuple[Counter[str], list[dict[str, Any]]]:
        mails = self._system.mails
        return Counter(to for mail in mails for to in mail["to"]), [mail for mail in mails if DESK in mail["to"]]


def make_context(system: RecordedSystem, key: str = "claims") -> LocalScenarioContext:
    """Return the context of a scenario at its end."""
    progress = cast("Any", SimpleNamespace(note_step=lambda _: None))
    generator = LoadGenerator("http://127.0.0.1:9", system.ledger, FastClock(), lambda _: None).copy_for_scenario(key)
    nothing = cast("Any", None)
    return LocalScenarioContext(
        key=key,
        title=key,
        promise="All is there.",
        profile=CONTROL,
        generator=generator,
        call_factory=CallFactory(1),
        ledger=system.ledger,
        progress=progress,
        target=cast("Any", FakeTarget(system)),
        fixtures=nothing,
        monitor=nothing,
        faults=nothing,
        root=Path(),
        state=Path(),
    )


def list_differences(system: RecordedSystem, key: str = "claims") -> list[Difference]:
    """Return what the reconciliation of a scenario finds."""
    context = make_context(system, key)
    asyncio.run(reconcile(context))
    return context.reconciliation.differences


def find_kinds(system: RecordedSystem, key: str = "claims") -> set[str]:
    """Return the kinds of what it finds."""
    return {each.what for each in list_differences(system, key)}


def test_where_all_is_as_answered_nothing_is_found_and_all_was_looked_at(system: RecordedSystem) -> None:
    """Every kind of comparison is made."""
    context = make_context(system)
    asyncio.run(reconcile(context))
    assert context.reconciliation.differences == []
    assert context.reconciliation.compared == Counter({
        "accounts of an address": 1, "rows of a person": 1, "agent of a member": 1, "commissions of a member": 1,
        "commissions taken back, and entries of it": 1,
        "audit entries of a person": 1, "jobs of a person": 1, "mails to a person": 1,
        "accounts that no answer names": 1, "claims that were accepted but are missing": 1,
        "claims that no answer names": 1, "history of a claim": 1, "audit entries of a claim": 1,
        "jobs of a claim": 1, "notices of a claim to the desk": 1, "documents of a claim": 1,
        "rows of an Idempotency-Key": 3, "jobs that are not done": 1, "messages left in queues": 1,
        "an account left out on purpose is found": 1, "jobs done, if anybody was registered": 1,
        "queues that were looked at": 1,
    })  # fmt: skip


def test_the_query_of_people_gives_all_there_is_of_each(system: RecordedSystem) -> None:
    """The result has the shape that the reconciliation reads."""
    made = {row["role"]: row["email"] for row in system.run("SELECT role, email FROM accounts")}
    rows = {row["role"]: row for row in query(system, "people", emails=list(made.values()))}
    ids = {role: row.pop("id") for role, row in rows.items()}
    assert rows["member"] == {
        "email": made["member"], "role": "member", "members": 1, "agents": 0, "subscriptions": 1, "price": "35.00",
        "agent": ids["agent"], "commissions": ["new 7.00"], "voided": [0, 0],
        "audit": {"member.registered": 1, LINKED: 1}, "jobs": {"identity done": 1, "member-welcome done": 1},
    }  # fmt: skip
    assert rows["agent"] == {
        "email": made["agent"], "role": "agent", "members": 0, "agents": 1, "subscriptions": 0, "price": None,
        "agent": None, "commissions": [], "voided": [0, 0], "audit": {"agent.applied": 1},
        "jobs": {"agent-received done": 1},
    }  # fmt: skip
    assert query(system, "people", emails=[]) == []


def test_the_query_of_claims_gives_all_there_is_of_each(system: RecordedSystem) -> None:
    """The result has the shape that the reconciliation reads."""
    (known,) = system.run("SELECT c.id::text, c.number, c.member_id::text AS member, c.title, d.id::text AS document "
                          "FROM claims c JOIN documents d ON d.claim_id = c.id")  # fmt: skip
    document = known.pop("document")
    assert query(system, "claims", members=[known["member"]]) == [{
        **known, "state": "verification", "version": 2, "steps": 2, "broken": 0, "last_state": "verification",
        "audit": {"claim.submitted": 1, "claim.transitioned": 1},
        "jobs": {"claim-received done": 1, "staff-new-claim done": 1, "claim-moved done": 1},
        "documents": {document: "available 39"},
    }]  # fmt: skip
    assert query(system, "claims", members=[make_id()]) == []


@pytest.mark.parametrize(
    ("steps", "counts"),
    [
        ([], (0, 0, None)),
        ([(1, None, "submitted")], (1, 0, "submitted")),
        ([(1, None, "submitted"), (2, "submitted", "evaluation"), (3, "evaluation", "rejected")], (3, 0, "rejected")),
        ([(1, None, "submitted"), (3, "submitted", "evaluation")], (2, 1, "evaluation")),
        ([(2, None, "submitted"), (3, "submitted", "evaluation")], (2, 2, "evaluation")),
        ([(1, None, "submitted"), (2, "verification", "evaluation")], (2, 1, "evaluation")),
        ([(1, "submitted", "verification")], (1, 1, "verification")),
        ([(1, None, "submitted"), (2, None, "submitted")], (2, 1, "submitted")),
    ],
)
def test_a_transition_that_does_not_follow_from_the_last_is_counted(
    system: RecordedSystem, steps: list[tuple[int, str | None, str]], counts: tuple[int, int, str | None]
) -> None:
    """A gap in the versions, another state than the one before, a beginning in the middle."""
    (claim,) = system.run("SELECT id::text, member_id::text AS member FROM claims")
    system.run("ALTER TABLE claim_history DISABLE TRIGGER USER")
    system.run("ALTER TABLE claim_history DROP CONSTRAINT claim_history_check")
    system.run("DELETE FROM claim_history")
    for version, before, after in steps:
        system.add_transition(claim["id"], claim["member"], version, before, after)
    (row,) = query(system, "claims", members=[claim["member"]])
    assert (row["steps"], row["broken"], row["last_state"]) == counts


@pytest.mark.parametrize("state", ["pending", "queued", "running", "failed", "uncertain"])
def test_a_job_that_is_not_done_is_found(system: RecordedSystem, state: str) -> None:
    """It is found by its state, and as missing from its subject's done jobs."""
    system.run("UPDATE outbox SET state = %s WHERE payload->>'template' = 'member-welcome'", state)
    assert query(system, "open_jobs") == [{"state": state, "n": 1}]
    assert find_kinds(system) == {"jobs that are not done", "jobs of a person"}


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("people", "accounts of an address"),
        ("strangers", "an account left out on purpose is found"),
        ("claims", "claims that were accepted but are missing"),
        ("keys", "rows of an Idempotency-Key"),
        ("jobs_by_state", "jobs done, if anybody was registered"),
    ],
)
def test_a_query_that_gives_nothing_is_found(
    system: RecordedSystem, monkeypatch: pytest.MonkeyPatch, name: str, found: str
) -> None:
    """This holds for queries that should find nothing, too."""
    monkeypatch.setitem(SQL, name, f"SELECT * FROM ({SQL[name]}) everything WHERE false")
    assert found in find_kinds(system)


def test_an_inbox_and_queues_that_are_not_looked_at_are_found(system: RecordedSystem) -> None:
    """Each mail that was wanted is missing, and no queue was counted."""
    system.mails.clear()
    assert "mails to a person" in find_kinds(system)
    system.has_queues = False
    assert "queues that were looked at" in find_kinds(system)


def test_a_message_left_in_a_queue_is_found(system: RecordedSystem) -> None:
    """A dead letter is found too."""
    system.messages["DeadLetterHigh"] = 1
    assert find_kinds(system) == {"messages left in queues"}


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("DELETE FROM outbox WHERE payload->>'template' = 'member-welcome'", {"jobs of a person"}),
        ("ALTER TABLE commissions DISABLE TRIGGER USER; UPDATE commissions SET amount = 7.01",
         {"commissions of a member"}),
        ("DELETE FROM commissions", {"commissions of a member"}),
        ("UPDATE commissions SET state = 'void', decided_at = now(), decision_reason = 'Nobody canceled.'",
         {"commissions taken back, and entries of it"}),
        ("DELETE FROM agent_clients", {"agent of a member"}),
        ("DELETE FROM documents", {"documents of a claim"}),
        ("DELETE FROM commissions; DELETE FROM subscriptions", {"rows of a person"}),
        ("DELETE FROM idempotency_keys", {"rows of an Idempotency-Key"}),
        ("UPDATE claims SET state = 'evaluation'", {"history of a claim"}),
        ("ALTER TABLE audit DISABLE TRIGGER USER; DELETE FROM audit WHERE action = 'member.registered'",
         {"audit entries of a person"}),
        ("ALTER TABLE audit DISABLE TRIGGER USER; DELETE FROM audit WHERE action = 'claim.transitioned'",
         {"audit entries of a claim"}),
        ("UPDATE claims SET number = 'CLM-0'", {"notices of a claim to the desk"}),
    ],
)  # fmt: skip
def test_what_is_missing_or_wrong_in_the_database_is_found(
    system: RecordedSystem, statement: str, expected: set[str]
) -> None:
    """It reports nothing else."""
    for part in statement.split("; "):
        system.run(part)
    assert find_kinds(system) == expected


def test_a_mail_too_many_or_too_few_is_found(system: RecordedSystem) -> None:
    """The inbox decides, whatever the jobs say."""
    welcome = next(mail for mail in system.mails if mail["to"][0].startswith("besa"))
    system.mails.append(welcome)
    assert find_kinds(system) == {"mails to a person"}
    system.mails = [mail for mail in system.mails if mail is not welcome]
    assert find_kinds(system) == {"mails to a person"}


@pytest.mark.parametrize("role", ["member", "agent"])
def test_an_account_that_no_answer_named_is_found(system: RecordedSystem, role: str) -> None:
    """It is found by its id; staff are made otherwise."""
    system.add_account("staff", "another.staff@example.test")
    assert find_kinds(system) == set()
    stranger = system.add_account(role, "stranger@example.test")
    (difference,) = list_differences(system)
    assert (difference.what, difference.found) == ("accounts that no answer names", f"['{stranger}']")


def test_an_account_though_its_call_was_refused_is_found(system: RecordedSystem) -> None:
    """The scenario that made the call reports it, and every other one reports a stranger."""
    system.add_account("member", "refused@example.test")
    key = system.record_call("register", 409, scenario="members", body={"email": "refused@example.test"})
    mine = list_differences(system, "members")
    assert {(each.what, each.subject) for each in mine} == {
        ("accounts of an address", key), ("accounts that no answer names", "all")}  # fmt: skip
    assert find_kinds(system, "claims") == {"accounts that no answer names"}


def test_people_of_other_scenarios_who_were_touched_are_compared_again(system: RecordedSystem) -> None:
    """The agent was made in the setup; approved here, they are this scenario's too."""
    (agent,) = system.run("SELECT id::text FROM agents")
    system.record_call("approve", 200, scenario="agents", facts={"subject": agent["id"]})
    assert find_kinds(system, "agents") == {"audit entries of a person", "jobs of a person", "mails to a person"}


def test_an_account_of_a_call_without_an_answer_is_no_stranger(system: RecordedSystem) -> None:
    """It may exist or not; if it does, it has to be complete."""
    system.record_call("register", 0, body={"email": "maybe@example.test"})
    assert find_kinds(system) == set()
    system.add_account("member", "maybe@example.test")
    assert find_kinds(system) == {
        "rows of a person",
        "audit entries of a person",
        "jobs of a person",
        "mails to a person",
    }


def _insert_key_row(system: RecordedSystem, scope: str, key: str) -> None:
    system.run("INSERT INTO idempotency_keys VALUES (%s, %s, 'print')", scope, key)


@pytest.mark.parametrize(
    ("status", "rows", "clean"),
    [(200, 1, True), (200, 2, False), (412, 0, True), (412, 1, False), (0, 0, True), (0, 1, True), (503, 2, False)],
)
def test_a_key_has_one_row_where_its_call_was_done(system: RecordedSystem, status: int, rows: int, clean: bool) -> None:
    """None where it was refused; one or none where nobody knows."""
    (claim,) = system.run("SELECT id::text FROM claims")
    key = system.record_call("move", status, facts={"subject": claim["id"]})
    for nth in range(rows - (status == 200)):
        _insert_key_row(system, f"other-{nth}", key)
    assert ("rows of an Idempotency-Key" in find_kinds(system)) == (not clean)


def test_reconciliation_waits_until_all_jobs_are_done(system: RecordedSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then it looks: a job that takes its time is none that is missing."""
    system.run("UPDATE outbox SET state = 'running' WHERE payload->>'template' = 'member-welcome'")
    context, looks = make_context(system), 0

    rows: Callable[..., Any] = context.target.query_rows

    async def record_query(text: str, params: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        nonlocal looks
        looks += 1
        if looks == 3:
            system.run("UPDATE outbox SET state = 'done' WHERE state = 'running'")
        return cast("list[dict[str, Any]]", await rows(text, params))

    monkeypatch.setattr(context.target, "query_rows", record_query)
    asyncio.run(reconcile(context))
    assert context.reconciliation.differences == []
    assert looks > 3


def test_the_server_reports_its_deadlocks(system: RecordedSystem) -> None:
    """There are none so far."""
    assert query(system, "deadlocks") == [{"deadlocks": 0}]
