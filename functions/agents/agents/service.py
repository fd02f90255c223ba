"""The use cases of agents; each queues its statements in an open transaction."""

from datetime import date, timedelta
from uuid import UUID

from agents.model import AgentApplication, AgentChange, AgentDecisionKind
from shared.access import AccessScope
from shared.database.transaction import Pending, Row, Transaction
from shared.ids import make_uuid7
from shared.outbox.audit import Actor, record_audit
from shared.outbox.jobs import WAKE_RELAY, Job, enqueue, make_identity_job, make_mail_job
from shared.outbox.payload import PAYLOAD_SQL, format_origin
from shared.sql import load_queries

SQL = load_queries("agents", parts=PAYLOAD_SQL)

# A rejected applicant may apply again after a month; until then the address is taken.
APPLY_AGAIN_AFTER = timedelta(days=30)

# The audit action of each decision.
DECIDED: dict[AgentDecisionKind, str] = {
    "approve": "agent.approved",
    "reject": "agent.rejected",
    "suspend": "agent.suspended",
    "reinstate": "agent.reinstated",
}


def apply_as_agent(
    tx: Transaction, new: AgentApplication, *, agent_id: UUID, referral_code: str, actor: Actor
) -> Pending[Row]:
    """Write an application; an applicant who was rejected long enough ago keeps account, id and code.

    Refusals: email-taken, referral-code-taken (repeat it with another code).
    """
    person = new.model_dump(include={"email", "full_name", "phone", "language", "terms_version"})
    tx.add(SQL["apply_again"], application_id=agent_id, city=new.city, after=APPLY_AGAIN_AFTER, **person)
    tx.add(SQL["insert_account"], application_id=agent_id, **person)
    tx.add(SQL["insert_agent"], application_id=agent_id, city=new.city, referral_code=referral_code)
    job_id = make_uuid7()
    tx.add(SQL["enqueue_received"], application_id=agent_id, job_id=job_id, origin=format_origin())
    tx.run_after_commit(WAKE_RELAY, job_id)
    tx.add(SQL["record_application"], application_id=agent_id, audit_id=make_uuid7(), request_id=actor.request_id)
    return tx.fetch_answer(SQL["application"], application_id=agent_id)


def read_agent(tx: Transaction, agent_id: UUID | None, scope: AccessScope) -> Pending[Row]:
    """Return an agent, or the caller if `agent_id` is None. Refusals: not-found."""
    return tx.fetch_answer(SQL["agent"], id=agent_id, **scope.params)


def list_agents(tx: Transaction, after: UUID, count: int, *, state: str | None) -> Pending[list[Row]]:
    """List agents, newest first."""
    return tx.fetch_all(SQL["agents"], state=state, after=after, count=count)


def decide_about_agent(
    tx: Transaction, agent_id: UUID, decision: AgentDecisionKind, *, reason: str, actor: Actor
) -> Pending[Row]:
    """Change an agent's state as decided, and write the mail about it. Refusals: not-found, decision-not-allowed."""
    tx.add(SQL["lock_decider"], sub=actor.sub)
    tx.add(SQL["lock_agent"], id=agent_id)
    tx.add(SQL["require_decision"], id=agent_id, decision=decision)
    tx.add(SQL["decide"], id=agent_id, decision=decision, reason=reason, sub=actor.sub)
    enqueue(tx, *_make_decision_jobs(decision, agent_id, reason))
    record_audit(tx, actor, DECIDED[decision], agent_id)
    return tx.fetch_answer(SQL["agent_after"], id=agent_id)


def _make_decision_jobs(decision: AgentDecisionKind, agent_id: UUID, reason: str) -> list[Job]:
    """Return the jobs of a decision: an approval creates the sign-in.

    A suspension sends no mail: a staff member tells the agent.
    """
    if decision == "approve":
        return [
            make_identity_job(agent_id, "agent"),
            make_mail_job("agent-approved", to=agent_id, subject_id=agent_id, reason=reason),
        ]
    if decision == "reject":
        return [make_mail_job("agent-rejected", to=agent_id, subject_id=agent_id, reason=reason)]
    return []


def change_terms(
    tx: Transaction, agent_id: UUID, change: AgentChange, *, versions: list[int] | None, actor: Actor
) -> Pending[Row]:
    """Change an agent's tier or commission rate; the same terms again change nothing.

    Refusals: not-found, stale-version.
    """
    rate_given = "commission_rate" in change.model_fields_set
    tx.add(SQL["lock_agent"], id=agent_id)
    tx.add(SQL["require_version"], id=agent_id, versions=versions)
    tx.add(SQL["change_terms"], id=agent_id, rate_given=rate_given, **change.model_dump())
    record_audit(
        tx, actor, "agent.terms_changed", agent_id, if_written="agents", **change.model_dump(exclude_unset=True)
    )
    return tx.fetch_answer(SQL["agent_after"], id=agent_id)


def list_clients(tx: Transaction, after: UUID, count: int, *, sub: str, today: date) -> Pending[list[Row]]:
    """List an active agent's clients, newest first. Refusals: agent-not-active."""
    tx.add(SQL["require_active"], sub=sub)
    return tx.fetch_all(SQL["clients"], sub=sub, today=today, after=after, count=count)


def list_commissions(tx: Transaction, after: UUID, count: int, *, sub: str) -> Pending[list[Row]]:
    """List an active agent's commissions, newest first. Refusals: agent-not-active."""
    tx.add(SQL["require_active"], sub=sub)
    return tx.fetch_all(SQL["commissions"], sub=sub, after=after, count=count)
