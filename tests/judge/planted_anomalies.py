"""Anomalies planted in correct histories: each planter changes as little as the fault that it stands for would."""

import random
from collections.abc import Callable
from dataclasses import replace

from judge.history.model import (
    AuditFact,
    ClockReading,
    HistoryCall,
    JobFact,
    KeyFact,
    LoggedCommit,
    MailFact,
    RecordedHistory,
)
from tests.judge.made_histories import EPOCH

Planter = Callable[[RecordedHistory, random.Random], None]
PLANTERS: dict[str, tuple[str, Planter]] = {}


def plants(kind: str) -> Callable[[Planter], Planter]:
    """Register a planter under its name, with the kind of anomaly that must be found."""

    def register(planter: Planter) -> Planter:
        PLANTERS[planter.__name__.removeprefix("plant_")] = (kind, planter)
        return planter

    return register


def list_writes(history: RecordedHistory, operation: str = "move") -> list[HistoryCall]:
    """Return the calls of an operation that were executed by themselves and answered."""
    return [c for c in history.calls if c.operation == operation and c.is_accepted and not c.replayed]


def change(history: RecordedHistory, call: HistoryCall, **changes: object) -> None:
    """Replace a call by one that differs."""
    history.calls[call.id] = replace(call, **changes)  # type: ignore[arg-type]


def add_read(history: RecordedHistory, write: HistoryCall, version: int, begin: float, account: str) -> None:
    """Add a read of the record of a write."""
    assert write.record is not None
    history.calls.append(
        HistoryCall(
            len(history.calls),
            "made",
            "look",
            "GET /claims/{id}",
            "b",
            begin,
            begin + 0.01,
            200,
            account=account,
            target=write.record,
            record=write.record,
            version=version,
        )
    )


def find_commit(history: RecordedHistory, call: HistoryCall) -> int:
    """Return the place of a call's commit in the log."""
    xid = next(audit.xid for audit in history.audits if audit.request == call.request)
    return next(place for place, commit in enumerate(history.commits) if commit.xid == xid)


def add_commit(history: RecordedHistory, at: float) -> int:
    """Add a commit at the end of the log; return its transaction."""
    history.commits.append(LoggedCommit(999_000 + len(history.commits), history.commits[-1].lsn + 100, at))
    return history.commits[-1].xid


def choose_pages(history: RecordedHistory, dice: random.Random) -> tuple[HistoryCall, HistoryCall]:
    """Return a page and the one that follows it, both with items."""
    pages = [c for c in history.calls if c.items]
    pairs = [(a, b) for a in pages for b in pages if b.cursor and b.account == a.account and b.cursor == a.next_cursor
             and a.end < b.begin]  # fmt: skip
    return dice.choice(pairs)


def choose_full_page(history: RecordedHistory, dice: random.Random) -> HistoryCall:
    """Return a page with three items."""
    return dice.choice([c for c in history.calls if c.items and len(c.items) == 3])


# ---- records --------------------------------------------------------------------------------------------------------
@plants("lost-update")
def plant_two_writes_of_one_version(history: RecordedHistory, dice: random.Random) -> None:
    call = dice.choice([c for c in list_writes(history) if (c.version or 0) >= 3])
    change(history, call, version=(call.version or 0) - 1, if_match=(call.if_match or 0) - 1)


@plants("change-of-old-version")
def plant_change_of_an_old_version(history: RecordedHistory, dice: random.Random) -> None:
    call = dice.choice([c for c in list_writes(history) if (c.if_match or 0) >= 2])
    change(history, call, if_match=(call.if_match or 0) - 1)


@plants("stale-read")
def plant_read_of_an_old_version(history: RecordedHistory, dice: random.Random) -> None:
    call = dice.choice(list_writes(history))
    add_read(history, call, (call.version or 0) - 1, call.end + 0.001, "stranger")


@plants("stale-read-of-own-write")
def plant_read_that_misses_an_own_write(history: RecordedHistory, dice: random.Random) -> None:
    call = dice.choice(list_writes(history))
    add_read(history, call, (call.version or 0) - 1, call.end + 0.001, call.account or "")


@plants("read-goes-back")
def plant_read_that_goes_back(history: RecordedHistory, dice: random.Random) -> None:
    call = dice.choice(list_writes(history))
    add_read(history, call, call.version or 0, call.begin, "stranger")
    add_read(history, call, (call.version or 0) - 1, call.end + 0.02, "stranger")


@plants("read-before-write")
def plant_read_of_the_future(history: RecordedHistory, dice: random.Random) -> None:
    call = dice.choice(list_writes(history))
    add_read(history, call, call.version or 0, call.begin - 0.02, "stranger")


@plants("version-from-nowhere")
def plant_read_of_what_never_committed(history: RecordedHistory, dice: random.Random) -> None:
    call = dice.choice(list_writes(history, "claim"))
    last = next(row.version for row in history.rows if row.record == call.record)
    add_read(history, call, last + 1, call.end + 0.01, "stranger")


@plants("wrong-refusal")
def plant_refusal_of_the_present_version(history: RecordedHistory, dice: random.Random) -> None:
    row = dice.choice(history.rows)
    end = max(call.end for call in history.calls)
    history.calls.append(
        HistoryCall(
            len(history.calls),
            "made",
            "move",
            "POST /claims/{id}/transitions",
            "b",
            end + 1,
            end + 1.1,
            412,
            account="other",
            key="refused",
            target=row.record,
            if_match=row.version,
            problem="stale-version",
            request="refused",
        )
    )


@plants("lost-update")
def plant_version_that_vanished(history: RecordedHistory, dice: random.Random) -> None:
    at = dice.choice([n for n, row in enumerate(history.rows) if row.version > 1])
    history.rows[at] = replace(history.rows[at], version=history.rows[at].version - 1)


@plants("version-from-nowhere")
def plant_version_that_nobody_made(history: RecordedHistory, dice: random.Random) -> None:
    at = dice.randrange(len(history.rows))
    history.rows[at] = replace(history.rows[at], version=history.rows[at].version + 1)


@plants("writes-out-of-order")
def plant_writes_in_another_order(history: RecordedHistory, dice: random.Random) -> None:
    writes = list_writes(history)
    first, last = dice.choice([(a, b) for a in writes for b in writes if a.record == b.record and a.end < b.begin])
    a, b = find_commit(history, first), find_commit(history, last)
    one, other = history.commits[a], history.commits[b]
    history.commits[a], history.commits[b] = replace(one, lsn=other.lsn), replace(other, lsn=one.lsn)


# ---- commits --------------------------------------------------------------------------------------------------------
@plants("acknowledged-not-committed")
def plant_acknowledged_write_without_commit(history: RecordedHistory, dice: random.Random) -> None:
    del history.commits[find_commit(history, dice.choice(list_writes(history)))]


@plants("acknowledged-not-committed")
def plant_acknowledged_write_without_effect(history: RecordedHistory, dice: random.Random) -> None:
    request = dice.choice(list_writes(history)).request
    history.audits[:] = [audit for audit in history.audits if audit.request != request]


@plants("committed-after-its-answer")
def plant_commit_after_the_answer(history: RecordedHistory, dice: random.Random) -> None:
    call = dice.choice(list_writes(history))
    at = find_commit(history, call)
    history.commits[at] = replace(history.commits[at], at=EPOCH + call.end + 0.004)


@plants("committed-before-its-call")
def plant_commit_before_the_call(history: RecordedHistory, dice: random.Random) -> None:
    call = dice.choice(list_writes(history))
    at = find_commit(history, call)
    history.commits[at] = replace(history.commits[at], at=EPOCH + call.begin - 0.004)


@plants("log-contradicts-time")
def plant_log_in_another_order(history: RecordedHistory, dice: random.Random) -> None:
    writes = list_writes(history, "claim")
    first = dice.choice(writes[: len(writes) // 3])
    last = dice.choice([c for c in writes if c.begin > first.end])
    a, b = find_commit(history, first), find_commit(history, last)
    one, other = history.commits[a], history.commits[b]
    history.commits[a], history.commits[b] = replace(one, lsn=other.lsn), replace(other, lsn=one.lsn)


@plants("refused-but-committed")
def plant_refused_write_that_committed(history: RecordedHistory, dice: random.Random) -> None:
    call = dice.choice([c for c in history.calls if c.status == 412])
    xid = add_commit(history, EPOCH + call.end)
    history.audits.append(AuditFact(call.request, "claim.transitioned", call.target or "", xid))


@plants("refused-but-committed")
def plant_key_of_a_refused_call(history: RecordedHistory, dice: random.Random) -> None:
    keys = {c.key for c in history.calls if not c.is_refused}
    call = dice.choice([c for c in history.calls if c.status == 412 and c.key not in keys])
    history.keys.append(KeyFact(call.key or "", add_commit(history, EPOCH + call.end)))


@plants("committed-twice")
def plant_call_that_committed_twice(history: RecordedHistory, dice: random.Random) -> None:
    call = dice.choice(list_writes(history))
    history.audits.append(AuditFact(call.request, "claim.transitioned", call.record or "", add_commit(history, EPOCH)))


@plants("torn-transaction")
def plant_effect_outside_its_transaction(history: RecordedHistory, dice: random.Random) -> None:
    request = dice.choice(list_writes(history)).request
    at = next(n for n, audit in enumerate(history.audits) if audit.request == request)
    history.audits[at] = replace(history.audits[at], xid=add_commit(history, EPOCH))


@plants("effect-without-call")
def plant_effect_that_nobody_asked_for(history: RecordedHistory, dice: random.Random) -> None:
    record = dice.choice(history.rows).record
    history.audits.append(AuditFact("unknown", "claim.transitioned", record, add_commit(history, EPOCH)))


@plants("clock-stepped")
def plant_step_of_the_clock(history: RecordedHistory, dice: random.Random) -> None:
    last = history.clock[-1]
    history.clock.append(ClockReading(last.after, last.database + dice.choice((-0.2, 0.2)), last.after + 0.001))


@plants("operation-without-promise")
def plant_write_that_nothing_promises(history: RecordedHistory, dice: random.Random) -> None:
    change(history, dice.choice(list_writes(history, "claim")), operation="delete", route="DELETE /claims/{id}")


# ---- keys -----------------------------------------------------------------------------------------------------------
@plants("key-lost")
def plant_lost_key(history: RecordedHistory, dice: random.Random) -> None:
    key = dice.choice(list_writes(history)).key
    history.keys[:] = [fact for fact in history.keys if fact.key != key]


@plants("key-used-twice")
def plant_key_of_two_transactions(history: RecordedHistory, dice: random.Random) -> None:
    history.keys.append(KeyFact(dice.choice(history.keys).key, add_commit(history, EPOCH)))


@plants("key-answered-differently")
def plant_repeat_with_another_answer(history: RecordedHistory, dice: random.Random) -> None:
    call = dice.choice(list_writes(history, "claim"))
    again = replace(call, id=len(history.calls), begin=call.end + 1, end=call.end + 1.01, replayed=True,
                    request="again", record="another")  # fmt: skip
    history.calls.append(again)


# ---- pages ----------------------------------------------------------------------------------------------------------
@plants("page-goes-back")
def plant_page_that_goes_back(history: RecordedHistory, dice: random.Random) -> None:
    before, page = choose_pages(history, dice)
    assert before.items
    assert page.items
    change(history, page, items=(before.items[-1], *page.items))


@plants("item-left-out")
def plant_skipped_item(history: RecordedHistory, dice: random.Random) -> None:
    page = choose_full_page(history, dice)
    assert page.items
    acknowledged = {c.record: c.end for c in list_writes(history, "claim")}
    at = next((n for n in (1, 0) if acknowledged.get(page.items[n][0], page.end) < page.begin), None)
    if at is None:
        plant_skipped_item(history, dice)
    else:
        change(history, page, items=tuple(each for n, each in enumerate(page.items) if n != at))


@plants("item-twice")
def plant_doubled_item(history: RecordedHistory, dice: random.Random) -> None:
    page = choose_full_page(history, dice)
    assert page.items
    change(history, page, items=(page.items[0], *page.items))


@plants("page-out-of-order")
def plant_page_in_another_order(history: RecordedHistory, dice: random.Random) -> None:
    page = choose_full_page(history, dice)
    assert page.items
    change(history, page, items=(page.items[1], page.items[0], page.items[2]))


@plants("cursor-from-nowhere")
def plant_cursor_that_no_page_gave(history: RecordedHistory, dice: random.Random) -> None:
    _, page = choose_pages(history, dice)
    change(history, page, cursor="forged")


# ---- limits, jobs and mails -----------------------------------------------------------------------------------------
@plants("limit-passed")
def plant_calls_beyond_a_limit(history: RecordedHistory, dice: random.Random) -> None:
    at, gained = 5.0, dice.randrange(3)  # seconds, in each of which one more is allowed
    for n in range(61 + gained):
        begin = at + dice.uniform(0, gained + 0.9)
        history.calls.append(
            HistoryCall(
                len(history.calls),
                "made",
                "move",
                "POST /claims/{id}/transitions",
                "b",
                begin,
                at + gained + 0.99,
                412,
                account="hasty",
                key=f"hasty{n}",
                target="none",
                if_match=1,
                problem="stale-version",
                request=f"hasty{n}",
            )
        )


@plants("job-missing")
def plant_lost_job(history: RecordedHistory, dice: random.Random) -> None:
    job = history.jobs.pop(dice.randrange(len(history.jobs)))
    history.mails.remove(MailFact(job.request, job.to or ""))


@plants("job-twice")
def plant_doubled_job(history: RecordedHistory, dice: random.Random) -> None:
    job = dice.choice([job for job in history.jobs if job.template != "claim-moved"])
    history.jobs.append(replace(job, id="again"))
    history.mails.append(MailFact(job.request, job.to or ""))


@plants("job-unasked")
def plant_job_of_a_refused_call(history: RecordedHistory, dice: random.Random) -> None:
    call = dice.choice([c for c in history.calls if c.status == 412])
    history.jobs.append(JobFact("unasked", "claim-moved", call.request, "done", "somebody"))
    history.mails.append(MailFact(call.request, "somebody"))


@plants("job-not-ended")
def plant_job_that_never_ends(history: RecordedHistory, dice: random.Random) -> None:
    at = dice.randrange(len(history.jobs))
    job = history.jobs[at]
    history.jobs[at] = replace(job, state=dice.choice(("pending", "queued", "running")))


@plants("mail-missing")
def plant_lost_mail(history: RecordedHistory, dice: random.Random) -> None:
    del history.mails[dice.randrange(len(history.mails))]


@plants("mail-twice")
def plant_mail_sent_twice(history: RecordedHistory, dice: random.Random) -> None:
    history.mails.append(dice.choice(history.mails))


@plants("mail-unasked")
def plant_mail_without_a_job(history: RecordedHistory, dice: random.Random) -> None:
    history.mails.append(MailFact(f"unknown{dice.randrange(99)}", "somebody"))
