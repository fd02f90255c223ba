"""What can be done with members: each use case queues its statements in an open transaction."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from uuid import UUID

from members.model import ContactChange, NewMember
from shared.ids import uuid7
from shared.outbox import Actor, enqueue, identity, mail, record
from shared.postgres.transaction import Pending, Row, Transaction
from shared.sql import load_queries

SQL = load_queries("members")

# What an agent earns where no rate of their own was agreed.
NEW_MEMBER_RATE = Decimal("0.20")
RENEWAL_RATE = Decimal("0.10")


@dataclass(frozen=True, slots=True)
class Whose:
    """Whose record is meant, and who means it: `id` None is the caller's own."""

    id: UUID | None
    sub: str
    staff: bool

    @property
    def params(self) -> dict[str, object]:
        """For the statements that name them."""
        return {"id": self.id, "sub": self.sub, "staff": self.staff}


def register(
    tx: Transaction, new: NewMember, *, member_id: UUID, agent_sub: str | None, today: date, actor: Actor
) -> Pending[Row]:
    """Write all that a new member is. Refuses: email-taken, referral-code-unknown, agent-not-active."""
    agent = {"agent_sub": agent_sub, "referral_code": new.referral_code}
    person = new.model_dump(include={"email", "full_name", "phone", "language", "terms_version"})
    tx.add(SQL["insert_account"], id=member_id, **person)
    if agent_sub is not None:
        tx.add(SQL["require_agent"], agent_sub=agent_sub)
    elif new.referral_code is not None:
        tx.add(SQL["require_referral"], referral_code=new.referral_code)
    tx.add(SQL["insert_member"], id=member_id, country=new.country, today=today, **agent)
    tx.add(SQL["insert_subscription"], id=uuid7(), member_id=member_id, plan=new.plan, today=today)
    tx.add(SQL["insert_agent_client"], member_id=member_id)
    tx.add(SQL["insert_commission"], id=uuid7(), member_id=member_id, kind="new", rate=NEW_MEMBER_RATE, today=today)
    enqueue(
        tx, identity(member_id, "member"), mail("member-welcome", to=member_id, subject_id=member_id, priority="high")
    )
    record(tx, actor, "member.registered", member_id, plan=new.plan)
    return tx.answer(SQL["registered"], id=member_id)


def read(tx: Transaction, whose: Whose) -> Pending[Row]:
    """A member. Refuses: not-found."""
    return tx.answer(SQL["member"], **whose.params)


def find(tx: Transaction, *, number: str | None, email: str | None, after: UUID, count: int) -> Pending[list[Row]]:
    """Members, newest first."""
    return tx.all(SQL["members"], number=number, email=email, after=after, count=count)


def change_contact(
    tx: Transaction, whose: Whose, change: ContactChange, *, versions: list[int] | None, actor: Actor
) -> Pending[Row]:
    """Change contact data. Refuses: not-found, stale-version."""
    mine = {"id": whose.id, "sub": whose.sub}
    tx.add(SQL["lock_account"], **whose.params)
    tx.add(SQL["require_version"], versions=versions, **mine)
    tx.add(SQL["change_contact"], **change.model_dump(), **mine)
    tx.add(SQL["next_version"], **mine)
    record(tx, actor, "member.contact_changed", whose.id, fields=sorted(change.model_fields_set))
    return tx.answer(SQL["member"], **whose.params)


def renew(tx: Transaction, member_id: UUID, whose: Whose, *, today: date, actor: Actor) -> Pending[Row]:
    """Extend the membership by a year. Refuses: not-found."""
    tx.add(SQL["lock_account"], **whose.params)
    tx.add(SQL["take_agent"], id=member_id)
    tx.add(SQL["next_version"], id=member_id, sub=whose.sub)
    tx.add(SQL["renew"], id=member_id, today=today)
    tx.add(SQL["insert_commission"], id=uuid7(), member_id=member_id, kind="renewal", rate=RENEWAL_RATE, today=today)
    enqueue(tx, mail("membership-renewed", to=member_id, subject_id=member_id))
    record(tx, actor, "membership.renewed", member_id)
    return tx.answer(SQL["member"], **whose.params)


def cancel(tx: Transaction, member_id: UUID, whose: Whose, *, actor: Actor) -> Pending[Row]:
    """End the membership with its period. Refuses: not-found, membership-ended."""
    tx.add(SQL["lock_account"], **whose.params)
    tx.add(SQL["require_running"], id=member_id)
    tx.add(SQL["next_version"], id=member_id, sub=whose.sub)
    tx.add(SQL["cancel"], id=member_id)
    enqueue(tx, mail("membership-cancelled", to=member_id, subject_id=member_id))
    record(tx, actor, "membership.cancelled", member_id)
    return tx.answer(SQL["member"], **whose.params)
