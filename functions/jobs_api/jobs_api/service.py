"""The use cases of admins with jobs that are not done; each queues its statements in an open transaction."""

from uuid import UUID

from jobs_api.model import DismissalReason, ListedState
from shared.database.transaction import Pending, Row, Transaction
from shared.outbox.audit import Actor, record_audit
from shared.outbox.jobs import WAKE_RELAY
from shared.outbox.payload import PAYLOAD_SQL
from shared.sql import load_queries

SQL = load_queries("jobs_api", parts=load_queries("jobs_api", "parts.sql", parts=PAYLOAD_SQL))

# A queued job has not begun either: its message is on its way to a worker.
NOT_BEGUN = ("pending", "queued")


def list_jobs(tx: Transaction, after: UUID, count: int, *, state: ListedState) -> Pending[list[Row]]:
    """List the jobs in a state, newest first."""
    states = list(NOT_BEGUN) if state == "pending" else [state]
    return tx.fetch_all(SQL["jobs"], states=states, after=after, count=count)


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
