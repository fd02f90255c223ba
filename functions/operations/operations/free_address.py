"""The command that frees an address: anyone can register with it, and its owner may need it.

It is possible until somebody has signed in with the address. The account is closed first, so that nobody can sign in
while its identity is deleted, and it releases the address last, so that nobody else can register with it meanwhile. If
the command dies at any point, the next run finds the account by its address and continues.
"""

from typing import Any, Literal

from operations.staff import OperatorContext, find_unlinked_identity, translate_refusals
from shared.database.transaction import Pending, Row, Transaction
from shared.fields import Email, RequestModel
from shared.ids import make_uuid7
from shared.outbox.audit import Actor
from shared.outbox.payload import PAYLOAD_SQL
from shared.sql import load_queries

SQL = load_queries("operations", "free_address.sql", parts=PAYLOAD_SQL)


class FreeAddress(RequestModel):
    """Free an address that nobody has proven to be theirs."""

    command: Literal["free-address"]
    email: Email


def free_address(command: FreeAddress, context: OperatorContext) -> dict[str, Any]:
    """Close the account that nobody has proven, delete its identity, and release its address.

    `account_id` is None if no account has the address (any more). Raise CommandError for an address that is proven or a
    staff member's.
    """
    with translate_refusals():
        context.database.run(lambda tx: _close_account(tx, command.email), context.deadline)
        sub = find_unlinked_identity(command.email, context)
        if sub is not None:
            context.identities.delete(sub)
        account = context.database.run(
            lambda tx: _give_up_address(tx, command.email, context.actor), context.deadline
        ).value
    return {"account_id": str(account["id"]) if account else None, "identity_deleted": sub is not None}


def _close_account(tx: Transaction, email: str) -> Pending[None]:
    tx.add(SQL["close_account"], email=email)
    tx.add(SQL["require_not_staff"], email=email)
    tx.add(SQL["require_not_proven"], email=email)
    return Pending(lambda: None)


def _give_up_address(tx: Transaction, email: str, actor: Actor) -> Pending[Row | None]:
    tx.add(SQL["lock_account"], email=email)
    tx.add(SQL["close_account"], email=email)
    tx.add(SQL["require_not_staff"], email=email)
    tx.add(SQL["require_not_proven"], email=email)
    tx.add(SQL["close_agent"], email=email)
    tx.add(SQL["next_version"], email=email)
    tx.add(SQL["end_membership"], email=email)
    tx.add(SQL["silence_reminder"], email=email)
    tx.add(SQL["void_commissions"], email=email, actor=actor.sub, request_id=actor.request_id)
    tx.add(SQL["end_jobs"], email=email)
    tx.add(SQL["record_freed"], email=email, audit_id=make_uuid7(), actor=actor.sub, request_id=actor.request_id)
    return tx.fetch_one(SQL["give_up_address"], email=email)
