"""The database is lost and restored to a moment; what was acknowledged since is named, and made again once."""

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from shared.aws import clients
from tests.api_client import ApiReply
from tests.contract.dynamodb_clients import read_items
from tests.databases import FreshDatabase
from tests.measurements import record
from tests.restore.rehearsal import LedgerEntry, RehearsedService, run_service
from tests.restore.rehearsed_day import RehearsedDay
from tests.restore.servers import start_archived_server
from tests.services import EmulatorHandle

REPEATED = "Idempotency-Replayed"
SENT = "SELECT count(*) AS n FROM outbox WHERE kind = 'mail' AND state = 'done' AND created_at > %s"
EFFECTS = """
SELECT 'members' AS what, count(*)::int AS n FROM members
UNION ALL SELECT 'claim ' || title, count(*) FROM claims GROUP BY title
UNION ALL SELECT 'documents', count(*) FROM documents
UNION ALL SELECT 'history of ' || title, count(*) FROM claim_history h JOIN claims c ON c.id = h.claim_id GROUP BY title
UNION ALL SELECT 'renewals', sum(version - 1)::int FROM subscriptions
"""
# What the day's calls lead to, each made once.
ONCE = Counter(
    {
        "members": 8,
        "claim Kept claim": 1,
        "claim Lost claim": 1,
        "claim Claim of a newcomer": 1,
        "documents": 3,
        "history of Kept claim": 2,
        "history of Lost claim": 1,
        "history of Claim of a newcomer": 1,
        "renewals": 1,
    }
)


@dataclass(frozen=True, slots=True)
class RestoreRun:
    """A rehearsal that is over: answers of the command in turn, and what clients got who repeated their calls."""

    service: RehearsedService
    day: RehearsedDay
    missing: list[LedgerEntry]
    kept: list[LedgerEntry]
    unaware: ApiReply  # of a lost write, repeated before the command ran
    listed: dict[str, Any]
    applied: dict[str, Any]
    applied_again: dict[str, Any]
    repeats: dict[str, list[ApiReply]]  # of the lost writes, by the first answer's request
    refused_again: ApiReply
    kept_again: list[ApiReply]
    others: tuple[dict[str, Any], dict[str, Any]]  # the state table's other items, before and after the command
    mails_before: Counter[tuple[str, str]]
    restore_s: float

    @property
    def made_again(self) -> dict[str, list[ApiReply]]:
        """The repeats that made their write."""
        return {request: replies for request, replies in self.repeats.items() if replies[0].status < 300}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, emulator: EmulatorHandle) -> Iterator[RestoreRun]:
    """A day, a disaster, a restore, and all that follows."""
    server = start_archived_server(tmp_path_factory.mktemp("archived"))
    fresh_database = server.postgres.make_fresh_database()
    server.back_up()
    with pytest.MonkeyPatch.context() as patch, run_service(emulator, fresh_database, patch) as service:
        day = RehearsedDay(service)
        mails = service.count_mails()
        began = time.monotonic()
        server.archive_all()
        server.destroy()
        restored = server.restore(day.restored_to)
        try:
            service.redirect_to(FreshDatabase(restored, fresh_database.name), patch)
            yield rehearse(service, day, mails, time.monotonic() - began)
        finally:
            restored.stop()


def rehearse(
    service: RehearsedService, day: RehearsedDay, mails: Counter[tuple[str, str]], restore_s: float
) -> RestoreRun:
    """Reconcile as the runbook says; then every client repeats every call."""
    moment = {"restored_to": day.restored_to.isoformat()}
    missing = service.list_missing()
    kept = [entry for entry in service.ledger if entry not in missing and entry.reply.status < 300]
    unaware = service.send(missing[0].call)
    others = read_other_items(service)
    listed, _, applied, applied_again = (
        service.reconcile(**moment, apply=apply) for apply in (False, False, True, True)
    )
    others_after = read_other_items(service)
    refused_again = service.send(day.refused)
    repeats: dict[str, list[ApiReply]] = {}
    for entry in (entry for entry in missing if entry.call.key is not None):
        repeats[entry.request_id] = [service.send(entry.call) for _ in range(3)]
        service.do_jobs()
    kept_again = [service.send(entry.call) for entry in kept]
    service.do_jobs()
    return RestoreRun(
        service=service,
        day=day,
        missing=missing,
        kept=kept,
        unaware=unaware,
        listed=listed,
        applied=applied,
        applied_again=applied_again,
        repeats=repeats,
        refused_again=refused_again,
        kept_again=kept_again,
        others=(others, others_after),
        mails_before=mails,
        restore_s=restore_s,
    )


def read_other_items(service: RehearsedService) -> dict[str, Any]:
    """Return the items of the state table besides keys: limits, circuits, the mails' pace."""
    items = read_items(clients.get_dynamodb(), service.environment["STATE_TABLE"])
    return {pk: item for pk, item in items.items() if not pk.startswith("key#")}


def is_same_answer(reply: ApiReply, first: ApiReply) -> bool:
    """Return whether two answers are the same, but for a form that is signed anew each time."""
    return reply.status == first.status and _drop_form(reply.body) == _drop_form(first.body)


def _drop_form(body: str) -> str:
    return body.partition(',"upload":')[0]


def test_every_acknowledged_write_that_is_missing_is_named_and_no_other(run: RestoreRun) -> None:
    """By the database's own audit; also one whose transaction had begun before the moment."""
    expected = {e.request_id: e for e in run.missing if e.call.key is not None}
    listed = {write["request_id"]: write for write in run.listed["lost_writes"]}
    assert "begun-before" in {entry.call.key for entry in run.missing}
    assert set(listed) == set(expected)
    for request_id, entry in expected.items():
        write, answer = listed[request_id], entry.reply.json
        assert (write["operation"], write["status"]) == (entry.call.operation, entry.reply.status)
        assert (write["subject_id"], write["number"]) == (answer["id"], answer.get("number"))
        assert write["ids"] == list(entry.call.ids.values())
    assert (run.listed["earlier_writes"], run.listed["complete"]) == ([], True)
    times = [write["answered_at"] for write in run.listed["lost_writes"]]
    assert times == sorted(times)
    without_key = [entry for entry in run.missing if entry.call.key is None]
    assert len(without_key) == 1, "which only the audit that is gone, and the logs, knew of"
    record(
        "restore",
        acknowledged=len(run.missing) + len(run.kept),
        missing=len(run.missing),
        named=len(listed),
        without_key=len(without_key),
        wrong=len(set(listed) ^ set(expected)),
        restored_in_s=round(run.restore_s, 1),
    )


def test_until_then_a_repeat_gets_an_answer_about_what_is_not_there(run: RestoreRun) -> None:
    """So operators need the command that forgets the keys of lost writes."""
    assert run.unaware.headers[REPEATED] == "true"
    assert is_same_answer(run.unaware, run.missing[0].reply)


def test_a_lost_write_is_made_again_once_when_its_client_repeats_it(run: RestoreRun) -> None:
    """Three times sent, once made; a call about a record that was lost itself finds none."""
    for first, *later in run.made_again.values():
        assert REPEATED not in first.headers
        assert all(reply.headers[REPEATED] == "true" and is_same_answer(reply, first) for reply in later)
    unknown = {e.call.operation for e in run.missing if e.request_id in run.repeats.keys() - run.made_again.keys()}
    assert unknown == {
        "POST /claims/{claim_id}/documents",
        "POST /claims/{claim_id}/documents/{document_id}/completion",
    }
    assert all(replies[0].status == 404 for request, replies in run.repeats.items() if request not in run.made_again)
    found = Counter({row["what"]: row["n"] for row in run.service.database.query_rows(EFFECTS)})
    doubled = found - ONCE
    record(
        "restore_repeats",
        made=len(run.made_again),
        unknown=len(run.repeats) - len(run.made_again),
        doubled=doubled.total(),
    )
    assert (found, doubled) == (ONCE, {})


def test_what_was_not_lost_is_answered_as_before_and_not_done_again(run: RestoreRun) -> None:
    """Its keys keep their answers."""
    assert len(run.kept) > 5
    for entry, reply in zip(run.kept, run.kept_again, strict=True):
        assert reply.headers[REPEATED] == "true"
        assert is_same_answer(reply, entry.reply)


def test_a_refusal_that_the_restored_database_would_not_give_is_not_kept(run: RestoreRun) -> None:
    """The version that was gone is back."""
    assert (run.listed["refusals"], run.applied["refusals"]) == (1, 1)
    assert run.refused_again.status == 200


def test_the_command_changes_nothing_before_it_is_to_and_nothing_twice(run: RestoreRun) -> None:
    """A list can be looked at first; and whoever has not seen the answer runs it again."""
    volatile = {"known_since", "applied", "objects"}
    assert {k: v for k, v in run.applied.items() if k not in volatile} == {
        k: v for k, v in run.listed.items() if k not in volatile
    }
    assert (run.applied_again["lost_writes"], run.applied_again["refusals"]) == ([], 0)
    assert run.applied_again["possibly_sent"] == []


def test_what_heals_by_itself_is_left_alone(run: RestoreRun) -> None:
    """Limits and the mails' pace hold moments, which pass; no call that was repeated was refused by one."""
    before, after = run.others
    assert before == after
    assert {pk.split("#")[1] for pk in before if pk.startswith("limit#")} >= {"mail", "member-registration"}
    assert {replies[0].status for replies in run.repeats.values()} <= {200, 201, 404}


def test_the_list_is_kept_in_the_audit(run: RestoreRun) -> None:
    """The entry has nothing about people."""
    rows = run.service.database.query_rows("SELECT subject_id, actor, facts FROM audit WHERE action = 'write.lost'")
    kept = {row["facts"]["request_id"]: row for row in rows}
    assert len(rows) == len(kept)
    assert kept.keys() == {write["request_id"] for write in run.listed["lost_writes"]}
    assert {row["actor"] for row in rows} == {"operator"}
    assert "example.test" not in str(rows) + str(run.listed)


def test_a_mail_that_may_have_been_sent_is_left_to_a_person(run: RestoreRun) -> None:
    """It waited at the moment and was sent before the disaster; nothing is sent but what was written since."""
    database, waiting = run.service.database, run.day.waiting
    [found] = run.listed["possibly_sent"]
    assert (found["template"], found["subject_id"]) == ("member-welcome", waiting["id"])
    [job] = database.query_rows("SELECT state, last_error FROM outbox WHERE id = %s", found["job_id"])
    assert job == {"state": "uncertain", "last_error": "restored"}
    mails = run.service.count_mails()
    [written] = database.query_rows(SENT, run.day.restored_to)
    sent = (mails - run.mails_before).total()
    record("restore_mails", uncertain=len(run.listed["possibly_sent"]), sent=sent, sent_twice=sent - written["n"])
    assert sum(n for (to, _), n in mails.items() if to == waiting["email"]) == 1
    assert sent == written["n"] > 0


def test_messages_of_jobs_that_are_gone_are_dropped(run: RestoreRun) -> None:
    """The worker finds no job, has nothing to do, and returns no message to the queue."""
    [row] = run.service.database.query_rows("SELECT count(*) AS n FROM outbox WHERE state NOT IN ('done', 'uncertain')")
    assert row["n"] == 0


def test_no_number_that_was_told_is_given_to_somebody_else(run: RestoreRun) -> None:
    """The restored sequences would begin again where they were."""
    creations = [e for e in run.missing if e.call.resource in ("/members", "/claims")]
    told = {entry.reply.json["number"] for entry in creations}
    given = {run.repeats[entry.request_id][0].json["number"] for entry in creations}
    rows = run.service.database.query_rows("SELECT number FROM members UNION ALL SELECT number FROM claims")
    new = {row["number"] for row in rows} - {entry.reply.json.get("number") for entry in run.kept}
    record("restore_numbers", told=len(told), given=len(given), told_twice=len(told & new))
    assert told.isdisjoint(new)
    assert new == given


def test_sign_ins_without_an_account_are_named_and_found_by_the_repeat(run: RestoreRun) -> None:
    """The same person's second registration gets the sign-in that is there; so does an account whose link was lost."""
    linked = {row["identity_sub"] for row in run.service.database.query_rows("SELECT identity_sub FROM accounts")}
    named = {each["sub"] for each in run.listed["identities"]}
    assert len(named) == len(run.day.newcomers) + 1
    assert named <= linked
    assert run.service.reconcile(restored_to=run.day.restored_to.isoformat())["identities"] == []


def test_files_without_a_document_are_named_and_put_back_where_their_document_waits(run: RestoreRun) -> None:
    """A completion moves the file, so its repeat would find none."""
    named = {each["key"].split("/")[2]: each["upload_put_back"] for each in run.applied["objects"]}
    assert named == {document: document == run.day.announced["document_id"] for document in run.day.completed}
    assert not any(each["upload_put_back"] for each in run.listed["objects"])
    [document] = run.service.database.query_rows(
        "SELECT state FROM documents WHERE id = %s", run.day.announced["document_id"]
    )
    assert document["state"] == "available"
