"""Audit entries, written in the transaction of what they record."""

import json
from dataclasses import dataclass
from uuid import UUID

from shared.database.transaction import Transaction
from shared.ids import make_uuid7
from shared.outbox.jobs import Table
from shared.sql import load_queries

SQL = load_queries("shared.outbox", "audit.sql")


@dataclass(frozen=True, slots=True)
class Actor:
    """The author of a change: an identity's `sub`, or None for nobody known; and the request it is done in."""

    sub: str | None
    request_id: str


def record_audit(
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
        id=make_uuid7(),
        action=action,
        subject_id=subject_id,
        actor=actor.sub or "anonymous",
        request_id=actor.request_id,
        facts=json.dumps(facts, default=str),
        if_written=if_written,
    )
