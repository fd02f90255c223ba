"""The use cases of payout runs and statements; each queues its statements in an open transaction."""

from datetime import date
from uuid import UUID

from agents.months import compute_first_day, is_over
from shared.database.transaction import Pending, Row, Transaction
from shared.errors import Refusal
from shared.ids import make_uuid7
from shared.outbox.audit import Actor
from shared.outbox.payload import PAYLOAD_SQL
from shared.sql import load_queries

SQL = load_queries("agents", parts=PAYLOAD_SQL)


def run_payout(tx: Transaction, month: str, *, payout_id: UUID, today: date, sub: str, actor: Actor) -> Pending[Row]:
    """Pay the approved commissions earned by the end of a month; a month with a run keeps it.

    Refusals: payout-too-early, forbidden.
    """
    if not is_over(month, today):
        raise Refusal("payout-too-early")
    first_day = compute_first_day(month)
    tx.add(SQL["require_decider"], sub=sub)
    tx.add(SQL["lock_paid_agents"], first_day=first_day)
    tx.add(SQL["pay_out"], id=payout_id, first_day=first_day, today=today, sub=sub)
    tx.add(SQL["record_payout"], id=payout_id, audit_id=make_uuid7(), sub=sub, request_id=actor.request_id)
    return tx.fetch_answer(SQL["payout_of_month"], first_day=first_day)


def list_payouts(tx: Transaction, after: UUID, count: int) -> Pending[list[Row]]:
    """List runs, newest first."""
    return tx.fetch_all(SQL["payouts"], after=after, count=count)


def read_payout(tx: Transaction, payout_id: UUID) -> Pending[Row]:
    """Return a run with its statements. Refusals: not-found."""
    return tx.fetch_answer(SQL["payout"], id=payout_id)


def list_own_statements(tx: Transaction, after: UUID, count: int, *, sub: str) -> Pending[list[Row]]:
    """List an agent's statements, newest first. Refusals: agent-not-active."""
    tx.add(SQL["require_approved_once"], sub=sub)
    return tx.fetch_all(SQL["own_statements"], sub=sub, after=after, count=count)
