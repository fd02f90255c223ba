"""What can be done with agents: each use case queues its statements in an open transaction."""

from uuid import UUID

from agents.model import Application, Decision
from shared.outbox import Actor, enqueue, identity, mail, record
from shared.postgres.transaction import Pending, Row, Transaction
from shared.sql import load_queries

SQL = load_queries("agents")

# Suspending and reinstating are told by a person, not by a mail.
NOTICES: dict[Decision, str] = {"approve": "agent-approved", "reject": "agent-rejected"}


def apply(tx: Transaction, new: Application, *, agent_id: UUID, referral_code: str, actor: Actor) -> Pending[Row]:
    """Write an application. Refuses: email-taken, referral-code-taken (try again with another)."""
    person = new.model_dump(include={"email", "full_name", "phone", "language", "terms_version"})
    tx.add(SQL["insert_account"], id=agent_id, **person)
    tx.add(SQL["insert_agent"], id=agent_id, city=new.city, referral_code=referral_code)
    enqueue(tx, identity(agent_id, "agent"), mail("agent-received", to=agent_id, subject_id=agent_id))
    record(tx, actor, "agent.applied", agent_id)
    return tx.answer(SQL["agent_after"], id=agent_id)


def read(tx: Transaction, agent_id: UUID | None, *, sub: str, staff: bool) -> Pending[Row]:
    """An agent, or the caller where no id is given. Refuses: not-found."""
    return tx.answer(SQL["agent"], id=agent_id, sub=sub, staff=staff)


def find(tx: Transaction, *, state: str | None, after: UUID, count: int) -> Pending[list[Row]]:
    """Agents, newest first."""
    return tx.all(SQL["agents"], state=state, after=after, count=count)


def decide(tx: Transaction, agent_id: UUID, decision: Decision, *, reason: str, actor: Actor) -> Pending[Row]:
    """Move an agent as decided, and tell them. Refuses: not-found, decision-not-allowed."""
    tx.add(SQL["lock_agent"], id=agent_id)
    tx.add(SQL["require_decision"], id=agent_id, decision=decision)
    tx.add(SQL["decide"], id=agent_id, decision=decision)
    if decision in NOTICES:
        enqueue(tx, mail(NOTICES[decision], to=agent_id, subject_id=agent_id, reason=reason))
    record(tx, actor, f"agent.{decision}", agent_id, reason=reason)
    return tx.answer(SQL["agent_after"], id=agent_id)


def clients(tx: Transaction, *, sub: str, after: UUID, count: int) -> Pending[list[Row]]:
    """An active agent's clients, newest first. Refuses: agent-not-active."""
    tx.add(SQL["require_active"], sub=sub)
    return tx.all(SQL["clients"], sub=sub, after=after, count=count)


def commissions(tx: Transaction, *, sub: str, after: UUID, count: int) -> Pending[list[Row]]:
    """An active agent's commissions, newest first. Refuses: agent-not-active."""
    tx.add(SQL["require_active"], sub=sub)
    return tx.all(SQL["commissions"], sub=sub, after=after, count=count)
