"""Audit entries, written in the transaction that they document."""

import json
from dataclasses import dataclass
from uuid import UUID

from shared.database.transaction import Pending, Row, Transaction
from shared.ids import make_uuid7
from shared.outbox.jobs import Table
from shared.sql import load_queries

SQL = load_queries("shared.outbox", "audit.sql")

NO_RECORD = UUID(int=0)  # the subject of an action that is about no record


@dataclass(frozen=True, slots=True)
class Actor:
    """The author of a change: an identity's `sub`, or None if anonymous; and the id of the request."""

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
    """Write the audit entry of an action, about the actor's own account if `subject_id` is None.

    `facts` contain fields and states, never personal data. With `if_written` the entry is written only if the
    transaction has changed the subject in that table.
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


def record_migrations(tx: Transaction, *, actor: str, request_id: str) -> Pending[Row | None]:
    """Write the audit entry of the applied migrations that no entry names yet."""
    ids = {"id": make_uuid7(), "subject": NO_RECORD}
    return tx.fetch_one(SQL["record_migrations"], **ids, actor=actor, request_id=request_id)
