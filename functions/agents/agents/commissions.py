"""The use cases of staff with commissions; each queues its statements in an open transaction."""

from uuid import UUID

from agents.model import CommissionDecisionKind, CommissionQuery
from agents.months import compute_first_day
from shared.database.transaction import Pending, Row, Transaction
from shared.outbox.audit import Actor, record_audit
from shared.outbox.payload import PAYLOAD_SQL
from shared.sql import load_queries

SQL = load_queries("agents", parts=PAYLOAD_SQL)

# The audit action of each decision.
DECIDED: dict[CommissionDecisionKind, str] = {"approve": "commission.approved", "void": "commission.voided"}


def list_commissions(tx: Transaction, after: UUID, count: int, query: CommissionQuery) -> Pending[list[Row]]:
    """List commissions, newest first."""
    first_day = query.month and compute_first_day(query.month)
    filters = {"state": query.state, "agent": query.agent, "first_day": first_day}
    return tx.fetch_all(SQL["commission_records"], after=after, count=count, **filters)


def decide_commission(
    tx: Transaction, commission_id: UUID, decision: CommissionDecisionKind, *, reason: str, sub: str, actor: Actor
) -> Pending[Row]:
    """Approve or void a commission.

    Refusals: not-found, own-commission, commission-move-not-allowed; for an approval also commission-agent-not-active
    and commission-member-not-proven.
    """
    tx.add(SQL["require_decider"], sub=sub)
    tx.add(SQL["lock_agent_state"], id=commission_id)
    tx.add(SQL["lock_commission"], id=commission_id)
    tx.add(SQL["require_not_own"], id=commission_id, sub=sub)
    tx.add(SQL["require_commission_move"], id=commission_id, decision=decision)
    if decision == "approve":
        tx.add(SQL["require_agent_active"], id=commission_id)
        tx.add(SQL["require_member_proven"], id=commission_id)
    tx.add(SQL["decide_commission"], id=commission_id, decision=decision, reason=reason, sub=sub)
    record_audit(tx, actor, DECIDED[decision], commission_id)
    return tx.fetch_answer(SQL["commission_after"], id=commission_id)
