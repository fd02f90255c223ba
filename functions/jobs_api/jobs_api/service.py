"""The use cases of admins with failed and uncertain jobs; each queues its statements in an open transaction."""

from uuid import UUID

from jobs_api.model import DismissalReason, TroubledState
from shared.database.transaction import Pending, Row, Transaction
from shared.outbox.audit import Actor, record_audit
from shared.outbox.jobs import WAKE_RELAY
from shared.outbox.payload import PAYLOAD_SQL
from shared.sql import load_queries

SQL = load_queries("jobs_api", parts=PAYLOAD_SQL)


def list_jobs(tx: Transaction, after: UUID, count: int, *, state: TroubledState) -> Pending[list[Row]]:
    """List jobs in one of these states, newest first."""
    return tx.fetch_all(SQL["jobs"], state=state, after=after, count=count)


def replay_job(tx: Transaction, job_id: UUID, *, actor: Actor) -> Pending[Row]:
    """Repeat the job, with its attempts counted anew. Refusals: not-found, job-not-failed."""
    tx.add(SQL["require_job"], id=job_id)
    tx.add(SQL["require_failed"], id=job_id)
    tx.add(SQL["replay"], id=job_id)
    record_audit(tx, actor, "job.replayed", job_id)
    tx.run_after_commit(WAKE_RELAY)
    return tx.fetch_answer(SQL["job"], id=job_id)


def dismiss_job(tx: Transaction, job_id: UUID, reason: DismissalReason, *, actor: Actor) -> Pending[Row]:
    """Dismiss the job for good. Refusals: not-found, job-not-failed."""
    tx.add(SQL["require_job"], id=job_id)
    tx.add(SQL["require_failed"], id=job_id)
    tx.add(SQL["dismiss"], id=job_id, reason=reason)
    record_audit(tx, actor, "job.dismissed", job_id, reason=reason)
    return tx.fetch_answer(SQL["job"], id=job_id)
