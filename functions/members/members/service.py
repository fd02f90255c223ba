"""The use cases of members; each queues its statements in an open transaction."""

import re
from datetime import date
from decimal import Decimal
from uuid import UUID

from members.model import ContactChange, MemberQuery, NewMember
from shared.access import AccessScope
from shared.database.transaction import Pending, Row, Transaction
from shared.ids import make_uuid7
from shared.outbox.audit import Actor, record_audit
from shared.outbox.jobs import enqueue, enqueue_once_a_day, make_identity_job, make_mail_job
from shared.sql import load_queries

SQL = load_queries("members")

# The rates that an agent earns unless another rate was agreed.
NEW_MEMBER_RATE = Decimal("0.20")
RENEWAL_RATE = Decimal("0.10")

# A cancellation at most this many days before or after a period's first day voids the commission of that period.
WITHDRAWAL_DAYS = 14

# The most words of a name that are looked for each by itself, in any order: the statement has a condition for each.
MOST_WORDS = 4
BETWEEN_WORDS = r"[\s,;./\u2010-\u2015-]+"


def register_member(
    tx: Transaction, new: NewMember, *, member_id: UUID, agent_sub: str | None, today: date, actor: Actor
) -> Pending[Row]:
    """Write a new member with everything that belongs to them.

    Refusals: email-taken, referral-code-unknown, agent-not-active.
    """
    agent = {"agent_sub": agent_sub, "referral_code": new.referral_code}
    person = new.model_dump(include={"email", "full_name", "phone", "language", "terms_version"})
    tx.add(SQL["insert_account"], id=member_id, **person)
    if agent_sub is not None:
        tx.add(SQL["require_agent"], agent_sub=agent_sub)
    elif new.referral_code is not None:
        tx.add(SQL["require_referral"], referral_code=new.referral_code)
    tx.add(SQL["insert_member"], id=member_id, country=new.country, today=today, **agent)
    tx.add(SQL["insert_subscription"], id=make_uuid7(), member_id=member_id, plan=new.plan, today=today)
    tx.add(SQL["insert_agent_client"], member_id=member_id)
    tx.add(
        SQL["insert_commission"], id=make_uuid7(), member_id=member_id, kind="new", rate=NEW_MEMBER_RATE, today=today
    )
    enqueue(tx, make_identity_job(member_id, "member"))
    welcome = make_mail_job("member-welcome", to=member_id, subject_id=member_id, priority="high")
    enqueue_once_a_day(tx, welcome, address=new.email)
    record_audit(tx, actor, "member.registered", member_id, plan=new.plan)
    return tx.fetch_answer(SQL["registered"], id=member_id, today=today)


def read_member(tx: Transaction, member_id: UUID | None, scope: AccessScope, *, today: date) -> Pending[Row]:
    """Return a member. Refusals: not-found."""
    return tx.fetch_answer(SQL["member"], id=member_id, today=today, **scope.params)


def list_members(tx: Transaction, after: UUID, count: int, *, query: MemberQuery, today: date) -> Pending[list[Row]]:
    """List the members that a query finds, newest first."""
    filters = {"number": query.number, "email": query.email, "today": today, "after": after, "count": count}
    if query.name is None and query.phone is None:
        return tx.fetch_all(SQL["members"], **filters)
    return tx.fetch_all(SQL["found_members"], **filters, **_split_name(query.name), phone=query.phone)


def _split_name(name: str | None) -> dict[str, str | None]:
    """Return the words of a name; the last one holds all that follow it."""
    words = [word for word in re.split(BETWEEN_WORDS, name or "") if word]
    parts = [*words[: MOST_WORDS - 1], " ".join(words[MOST_WORDS - 1 :]), *[""] * MOST_WORDS]
    return {f"word_{n}": parts[n - 1] or None for n in range(1, MOST_WORDS + 1)}


def change_contact(
    tx: Transaction,
    member_id: UUID | None,
    scope: AccessScope,
    change: ContactChange,
    *,
    versions: list[int] | None,
    today: date,
    actor: Actor,
) -> Pending[Row]:
    """Change contact data; the same data again changes nothing. Refusals: not-found, stale-version."""
    member = {"id": member_id, "sub": scope.sub}
    tx.add(SQL["lock_account"], id=member_id, **scope.params)
    tx.add(SQL["require_version"], versions=versions, **member)
    tx.add(SQL["next_version_of_contact"], **change.model_dump(), **member)
    tx.add(SQL["change_contact"], **change.model_dump(), **member)
    fields = sorted(change.model_fields_set)
    record_audit(tx, actor, "member.contact_changed", member_id, if_written="members", fields=fields)
    return read_member(tx, member_id, scope, today=today)


def renew_membership(
    tx: Transaction, member_id: UUID, scope: AccessScope, *, today: date, actor: Actor
) -> Pending[Row]:
    """Extend the membership by a year. Refusals: not-found, membership-paused, renewal-too-early."""
    tx.add(SQL["lock_account"], id=member_id, **scope.params)
    tx.add(SQL["lock_agent"], id=member_id)
    tx.add(SQL["next_version"], id=member_id)
    tx.add(SQL["require_not_paused"], id=member_id, today=today)
    tx.add(SQL["require_near_end"], id=member_id, today=today)
    tx.add(SQL["renew"], id=member_id, today=today)
    tx.add(
        SQL["insert_commission"], id=make_uuid7(), member_id=member_id, kind="renewal", rate=RENEWAL_RATE, today=today
    )
    tx.add(SQL["drop_reminders"], id=member_id)
    enqueue(tx, make_mail_job("membership-renewed", to=member_id, subject_id=member_id))
    record_audit(tx, actor, "membership.renewed", member_id)
    return read_member(tx, member_id, scope, today=today)


def cancel_membership(
    tx: Transaction, member_id: UUID, scope: AccessScope, *, today: date, actor: Actor
) -> Pending[Row]:
    """End the membership with its period; repeating it changes nothing. Refusals: not-found, membership-ended."""
    tx.add(SQL["lock_account"], id=member_id, **scope.params)
    tx.add(SQL["lock_member"], id=member_id)
    tx.add(SQL["require_not_expired"], id=member_id, today=today)
    tx.add(SQL["next_version_if_not_canceled"], id=member_id)
    tx.add(SQL["cancel"], id=member_id)
    withdrawal = {"today": today, "days": WITHDRAWAL_DAYS}
    tx.add(SQL["void_commissions"], id=member_id, actor=scope.sub, request_id=actor.request_id, **withdrawal)
    tx.add(SQL["drop_reminders"], id=member_id)
    enqueue(tx, make_mail_job("membership-cancelled", to=member_id, subject_id=member_id), if_written="members")
    record_audit(tx, actor, "membership.cancellation_requested", member_id, if_written="members")
    return read_member(tx, member_id, scope, today=today)


def pause_membership(
    tx: Transaction, member_id: UUID, scope: AccessScope, *, today: date, actor: Actor
) -> Pending[Row]:
    """Suspend the membership from today on; repeating it changes nothing.

    Refusals: not-found, membership-not-running, pause-days-used.
    """
    tx.add(SQL["lock_account"], id=member_id, **scope.params)
    tx.add(SQL["lock_member"], id=member_id)
    tx.add(SQL["require_pausable"], id=member_id, today=today)
    tx.add(SQL["next_version_if_paused_is"], id=member_id, today=today, paused=False)
    tx.add(SQL["pause"], id=member_id, today=today)
    tx.add(SQL["drop_reminders"], id=member_id)
    record_audit(tx, actor, "membership.paused", member_id, if_written="members")
    return read_member(tx, member_id, scope, today=today)


def resume_membership(
    tx: Transaction, member_id: UUID, scope: AccessScope, *, today: date, actor: Actor
) -> Pending[Row]:
    """Resume a paused membership and move its end by the days paused; repeating it changes nothing.

    Refusals: not-found, membership-ended.
    """
    tx.add(SQL["lock_account"], id=member_id, **scope.params)
    tx.add(SQL["lock_member"], id=member_id)
    tx.add(SQL["require_not_ended"], id=member_id, today=today)
    tx.add(SQL["next_version_if_paused_is"], id=member_id, today=today, paused=True)
    tx.add(SQL["resume"], id=member_id, today=today)
    record_audit(tx, actor, "membership.resumed", member_id, if_written="members")
    return read_member(tx, member_id, scope, today=today)
