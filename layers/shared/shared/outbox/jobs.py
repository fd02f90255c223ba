"""Jobs, written in the transaction of the row that they are about."""

from dataclasses import dataclass, field
from typing import Literal
from uuid import UUID

from shared.database.transaction import Transaction
from shared.ids import make_uuid7
from shared.outbox.payload import IdentityPayload, MailPayload, format_origin
from shared.sql import load_queries

Priority = Literal["high", "normal", "low"]
Kind = Literal["mail", "identity"]
Table = Literal["members", "agents", "claims"]

WAKE_RELAY = "nudge"  # the action after a commit: jobs are waiting for the relay

SQL = load_queries("shared.outbox", "jobs.sql")


@dataclass(frozen=True, slots=True)
class Job:
    """Work to be done after the commit, about one agent, member or claim."""

    kind: Kind
    priority: Priority
    subject_id: UUID
    payload: MailPayload | IdentityPayload
    id: UUID = field(default_factory=make_uuid7)


def make_mail_job(
    template: str, *, to: UUID | None, subject_id: UUID, priority: Priority = "normal", **facts: str
) -> Job:
    """Return the job of a mail to an account, or to the claims desk if `to` is None.

    `facts` are those of the event that its rows don't have; the database adds the others when the job is written.
    """
    return Job("mail", priority, subject_id, MailPayload.to_account(template, to, facts))


def make_identity_job(account_id: UUID, group: Literal["member", "agent"]) -> Job:
    """Return the job that creates a person's sign-in."""
    return Job("identity", "high", account_id, IdentityPayload(account_id, group))


def enqueue(tx: Transaction, *jobs: Job, if_written: Table | None = None) -> None:
    """Write jobs to the outbox, and wake the relay after the commit.

    With `if_written` only if the transaction has changed the jobs' subject in that table.
    """
    for job in jobs:
        tx.add(SQL["enqueue"], if_written=if_written, **_list_columns(job))
    tx.run_after_commit(WAKE_RELAY, *(job.id for job in jobs))


def enqueue_once_a_day(tx: Transaction, job: Job, *, address: str) -> None:
    """Write a mail to the outbox, unless its template was sent to the address within the last 24 hours.

    For mail to an address that somebody has only typed in, and can type in again as soon as it is free.
    """
    if not isinstance(job.payload, MailPayload):
        raise TypeError(f"a job of kind {job.kind} is no mail")
    tx.add(SQL["enqueue_once_a_day"], address=address, template=job.payload.template, **_list_columns(job))
    tx.run_after_commit(WAKE_RELAY, job.id)


def _list_columns(job: Job) -> dict[str, object]:
    return {
        "id": job.id,
        "kind": job.kind,
        "priority": job.priority,
        "subject_id": job.subject_id,
        "payload": job.payload.format_json(),
        "origin": format_origin(),
    }
