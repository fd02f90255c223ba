"""The operators' commands about staff.

A sign-in is linked to its account first and gets its group last, since the group grants access: an address that leads
to somebody else's sign-in or account is refused with a reason, and nothing was granted. A role is removed from the
account first: every call checks it, so access ends before Cognito is called.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from operations.errors import CommandError
from shared.aws.cognito import ManagedIdentityProvider
from shared.database.pipeline import Database
from shared.database.transaction import Pending, Row, Transaction
from shared.deadline import Deadline
from shared.errors import Refusal
from shared.fields import Email, Language, PersonName, RequestModel
from shared.ids import make_uuid7
from shared.outbox.audit import Actor, record_audit
from shared.sql import load_queries

SQL = load_queries("operations", "staff.sql")

ROLES = ("staff", "admin")
FORMER = "former"
OPERATOR = "operator"

REASONS = {
    "account-of-another-role": "the address belongs to an account of another role",
    "identity-taken": "the sign-in with this address belongs to another account",
    "identity-not-linked": "the account has another sign-in",
    "account-of-staff": "the address belongs to somebody who works here: remove-staff comes first",
    "address-proven": "the address is proven: its owner has signed in",
}


class CreateStaff(RequestModel):
    """Make a person a member of staff, also one who was before."""

    command: Literal["create-staff"]
    email: Email
    full_name: PersonName
    role: Literal["staff", "admin"]
    language: Language


class RemoveStaff(RequestModel):
    """End a person's membership of staff."""

    command: Literal["remove-staff"]
    email: Email


@dataclass(frozen=True, slots=True)
class OperatorContext:
    """The parts that the commands about people use; `request_id` is the invocation's, for the audit."""

    database: Database
    identities: ManagedIdentityProvider
    deadline: Deadline
    request_id: str

    @property
    def actor(self) -> Actor:
        """Return the operator as the audit's actor."""
        return Actor(OPERATOR, self.request_id)


def create_staff(new: CreateStaff, context: OperatorContext) -> dict[str, Any]:
    """Make sure that the person has an account of that role and can sign in.

    Raise CommandError for an address of another role, or one that leads to another account's sign-in.
    """
    with translate_refusals():
        known = context.database.run(lambda tx: _find_account(tx, new), context.deadline).value
        sub = context.identities.find_or_create(new.email)
        account = context.database.run(
            lambda tx: _write_account(tx, new, sub, known, context.actor), context.deadline
        ).value
    context.identities.enable(sub)
    context.identities.add_to_group(sub, new.role)
    return {"account_id": account["id"], "sub": sub}


def remove_staff(command: RemoveStaff, context: OperatorContext) -> dict[str, Any]:
    """Remove the person's role, groups and sessions; return how many open claims are still assigned to them.

    Raise CommandError if nobody with that address is or was a member of staff.
    """
    account = context.database.run(lambda tx: _end_role(tx, command, context.actor), context.deadline).value
    if account is None:
        raise CommandError("nobody with this address works here")
    sub = account["identity_sub"] or find_unlinked_identity(command.email, context)
    if sub is not None:
        context.identities.end_access(sub, ROLES)
    return {"account_id": str(account["id"]), "sub": sub, "open_claims": account["open_claims"]}


def find_unlinked_identity(email: str, context: OperatorContext) -> str | None:
    """Return the identity that signs in with an address, if no account is linked to it."""
    sub = context.identities.find(email)
    if sub is None:
        return None
    holder = context.database.run(lambda tx: tx.fetch_one(SQL["identity_holder"], sub=sub), context.deadline).value
    return sub if holder is None else None


def _find_account(tx: Transaction, new: CreateStaff) -> Pending[Row | None]:
    tx.add(SQL["require_free_address"], email=new.email, role=new.role)
    return tx.fetch_one(SQL["account_of_address"], email=new.email)


def _write_account(tx: Transaction, new: CreateStaff, sub: str, known: Row | None, actor: Actor) -> Pending[Row]:
    facts = new.model_dump(exclude={"command"})
    account_id = known["id"] if known else make_uuid7()
    tx.add(SQL["insert_staff"], id=account_id, **facts)
    tx.add(SQL["reinstate_staff"], email=new.email, role=new.role, sub=sub)
    tx.add(SQL["link_staff"], email=new.email, role=new.role, sub=sub)
    tx.add(SQL["require_free_address"], email=new.email, role=new.role)
    tx.add(SQL["require_linked_staff"], email=new.email, sub=sub)
    if known is None or known["role"] == FORMER:
        record_audit(tx, actor, "staff.created", account_id, role=new.role)
    return tx.fetch_answer(SQL["staff_account"], email=new.email)


def _end_role(tx: Transaction, command: RemoveStaff, actor: Actor) -> Pending[Row | None]:
    tx.add(SQL["end_role"], email=command.email, audit_id=make_uuid7(), actor=actor.sub, request_id=actor.request_id)
    return tx.fetch_one(SQL["former_account"], email=command.email)


@contextmanager
def translate_refusals() -> Iterator[None]:
    """Raise CommandError with a message instead of a refusal that has one."""
    try:
        yield
    except Refusal as refusal:
        if refusal.name not in REASONS:
            raise
        raise CommandError(REASONS[refusal.name]) from None
