"""The transactional outbox: jobs and audit entries that commit with the row they are about."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from uuid import UUID

from shared.database.transaction import Transaction
from shared.ids import uuid7
from shared.sql import load_queries

Priority = Literal["high", "normal", "low"]
Kind = Literal["mail", "identity"]
Table = Literal["members", "agents", "claims"]

NUDGE = "nudge"  # the signal that jobs are waiting for the relay

SQL = load_queries("shared.outbox", "outbox.sql")


@dataclass(frozen=True, slots=True)
class Job:
    """Something to be done after the commit, about one agent, member or claim."""

    kind: Kind
    priority: Priority
    subject_id: UUID
    payload: Mapping[str, object]
    id: UUID = field(default_factory=uuid7)


@dataclass(frozen=True, slots=True)
class Actor:
    """The author of a change: an identity's `sub`, or None for nobody known; and the request it is done in."""

    sub: str | None
    request_id: str


def mail(template: str, *, to: UUID | None, subject_id: UUID, priority: Priority = "normal", **facts: str) -> Job:
    """Return a mail to an account, or to the claims desk where `to` is None.

    `facts` are those of this event that its rows don't have; the database adds the others when the job is written.
    """
    recipient = "desk" if to is None else f"account:{to}"
    return Job("mail", priority, subject_id, {"template": template, "to": recipient, "facts": facts})


def identity(account_id: UUID, group: Literal["member", "agent"]) -> Job:
    """The creation of a person's sign-in."""
    return Job("identity", "high", account_id, {"account_id": str(account_id), "group": group})


def enqueue(tx: Transaction, *jobs: Job, if_written: Table | None = None) -> None:
    """Write jobs to the outbox, and have the relay told once they are committed.

    With `if_written` only where the transaction has written the jobs' subject in that table.
    """
    for job in jobs:
        tx.add(SQL["enqueue"], if_written=if_written, **_columns(job))
    tx.signal(NUDGE)


def enqueue_once_a_day(tx: Transaction, job: Job, *, address: str) -> None:
    """Write a mail to the outbox, unless its template went to the address within the last 24 hours.

    For mail to an address that somebody has only typed in: they may do so again as soon as it is free.
    """
    tx.add(SQL["enqueue_once_a_day"], address=address, template=job.payload["template"], **_columns(job))
    tx.signal(NUDGE)


def _columns(job: Job) -> dict[str, object]:
    payload = json.dumps(job.payload, ensure_ascii=False)
    return {
        "id": job.id,
        "kind": job.kind,
        "priority": job.priority,
        "subject_id": job.subject_id,
        "payload": payload,
    }


def record(
    tx: Transaction,
    actor: Actor,
    action: str,
    subject_id: UUID | None,
    *,
    if_written: Table | None = None,
    **facts: object,
) -> None:
    """Write an action's audit entry, on the actor's own account where `subject_id` is None.

    `facts` name fields and states, never people. With `if_written` only where the transaction has written the subject
    in that table.
    """
    tx.add(
        SQL["record"],
        id=uuid7(),
        action=action,
        subject_id=subject_id,
        actor=actor.sub or "anonymous",
        request_id=actor.request_id,
        facts=json.dumps(facts, default=str),
        if_written=if_written,
    )
