"""The operators' commands about people who work here.

A sign-in is linked to its account first and gets its group last, since the group is what grants something: an address
that leads to somebody else's sign-in or account is refused with its reason, and nothing was granted.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from jobs.guard import CommandError
from shared.aws.identity import Identities
from shared.errors import Refusal
from shared.ids import uuid7
from shared.postgres import Database, Pending, Row, Transaction
from shared.resilience.deadline import Deadline
from shared.sql import load_queries
from shared.text import Email, Input, Language, PersonName

SQL = load_queries("jobs", "staff.sql")

REASONS = {
    "account-of-another-role": "the address belongs to an account of another role",
    "identity-taken": "the sign-in with this address belongs to another account",
    "identity-not-linked": "the account has another sign-in",
}


class CreateStaff(Input):
    """Let a person work here."""

    command: Literal["create-staff"]
    email: Email
    full_name: PersonName
    role: Literal["staff", "admin"]
    language: Language


def create_staff(new: CreateStaff, *, database: Database, identities: Identities, deadline: Deadline) -> dict[str, Any]:
    """Make sure that the person has an account and can sign in.

    Raises CommandError for an address that is another role's or leads to another account's sign-in.
    """
    with _reasons_given():
        database.run(lambda tx: _require_free_address(tx, new), deadline)
        sub = identities.find_or_create(new.email)
        account = database.run(lambda tx: _write_account(tx, new, sub), deadline).value
    identities.add_to_group(sub, new.role)
    return {"account_id": account["id"], "sub": sub}


def _require_free_address(tx: Transaction, new: CreateStaff) -> Pending[None]:
    tx.add(SQL["require_free_address"], email=new.email, role=new.role)
    return Pending(lambda: None)


def _write_account(tx: Transaction, new: CreateStaff, sub: str) -> Pending[Row]:
    facts = new.model_dump(exclude={"command"})
    tx.add(SQL["insert_staff"], id=uuid7(), **facts)
    tx.add(SQL["link_staff"], email=new.email, role=new.role, sub=sub)
    tx.add(SQL["require_free_address"], email=new.email, role=new.role)
    tx.add(SQL["require_linked_staff"], email=new.email, sub=sub)
    return tx.answer(SQL["staff_account"], email=new.email)


@contextmanager
def _reasons_given() -> Iterator[None]:
    try:
        yield
    except Refusal as refusal:
        if refusal.name not in REASONS:
            raise
        raise CommandError(REASONS[refusal.name]) from None
