"""The figures read from the database, and the status that follows from all findings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from health.lateness import COUNTED_AT_MOST, LOOK_BACK_S, is_late
from health.model import (
    ConnectionUsage,
    DatabaseCheck,
    DependencyChecks,
    HealthStatus,
    JobCounts,
    LastFailover,
    SchemaCheck,
    ServiceCheck,
)
from health.parallel_queries import QueryOutcome
from shared.aws.dynamodb_shared_state import CircuitStatus, LastWriter
from shared.database.schema_version import SchemaVersion, query_schema_version
from shared.database.transaction import Pending, Row, Transaction
from shared.sql import load_queries

SQL = load_queries("health")

# Slower answers announce trouble. Connecting to the database, signing in and querying normally take some 50 ms.
DATABASE_SLOW_S = 0.5
# A call to an AWS service normally takes some 100 ms, with a new connection.
SERVICE_SLOW_S = 1.0

# Beyond this share of the permitted connections the next burst of calls would have to wait for one.
NEARLY_USED_UP = 0.9

# A failover is visible in one check only; people and dashboards look later than that.
FAILOVER_SHOWN = timedelta(minutes=5)

NO_JOBS_KNOWN = JobCounts(pending=None, oldest_pending_s=None, failed=None, held=None, oldest_held_s=None)


@dataclass(frozen=True, slots=True)
class OutboxCounts:
    """The state of the outbox; `oldest_s` is how long the oldest unfinished job waits, by priority, 0 if there is none.

    `high_unsolved` are the failed and uncertain jobs of high priority. `held` are pending jobs that wait for a circuit,
    the oldest of which was written `oldest_held_s` ago. `sent` are the mails, by priority, that were sent before the
    oldest job: see lateness.is_late.
    """

    pending: int
    failed: int
    uncertain: int
    high_unsolved: int
    oldest_s: Mapping[str, float]
    sent: Mapping[str, int]
    held: int
    oldest_held_s: float

    @property
    def shown(self) -> JobCounts:
        """Return the counts as the report shows them."""
        oldest_s = max(self.oldest_s.values(), default=0.0)
        return JobCounts(
            pending=self.pending,
            oldest_pending_s=oldest_s,
            failed=self.failed + self.uncertain,
            held=self.held,
            oldest_held_s=self.oldest_held_s,
        )


@dataclass(frozen=True, slots=True)
class DatabaseAnswer:
    """The answer of the database."""

    writable: bool
    server: str
    used: int
    schema: SchemaVersion
    jobs: OutboxCounts


def query_database(tx: Transaction, shipped: Sequence[str]) -> Pending[DatabaseAnswer]:
    """Query which server answers, the schema's version, and the state of the jobs.

    `shipped` are the versions of this release's migrations.
    """
    server = tx.fetch_one(SQL["server"])
    schema = query_schema_version(tx, shipped)
    jobs = tx.fetch_one(SQL["jobs"], most=COUNTED_AT_MOST, look_back=timedelta(seconds=LOOK_BACK_S))
    return Pending(lambda: _make_database_answer(server.resolve() or {}, schema.resolve(), jobs.resolve() or {}))


def _make_database_answer(server: Row, schema: SchemaVersion, jobs: Row) -> DatabaseAnswer:
    return DatabaseAnswer(**server, schema=schema, jobs=OutboxCounts(**jobs))


def build_database_check(outcome: QueryOutcome, *, most: int, failover: LastFailover) -> DatabaseCheck:
    """Return the database's part of the report; `most` is the connection limit of all environments.

    A schema that is older than this release is as bad as no database: some statements of the release can't be run.
    """
    found: DatabaseAnswer | None = outcome.value
    writable = found is not None and found.writable
    usable = writable and found is not None and found.schema.is_current
    strained = outcome.latency_s > DATABASE_SLOW_S or is_nearly_used_up(found, most)
    return DatabaseCheck(
        status="unhealthy" if not usable else "degraded" if strained else "healthy",
        latency_ms=_convert_to_ms(outcome),
        role=None if found is None else "writer" if writable else "reader",
        server=found.server if found else None,
        schema_version=SchemaCheck(
            newest=found.schema.newest if found else None, missing=len(found.schema.missing) if found else None
        ),
        connections=ConnectionUsage(used=found.used if found else None, max=most),
        failover=failover,
    )


def is_nearly_used_up(found: DatabaseAnswer | None, most: int) -> bool:
    """Return whether few of the permitted connections are left."""
    return found is not None and found.used >= most * NEARLY_USED_UP


def build_service_check(outcome: QueryOutcome, circuit: CircuitStatus, *, late: bool = False) -> ServiceCheck:
    """Return a service's part of the report; `late` means that it answers, but its work is not done in time."""
    return ServiceCheck(
        status="unhealthy" if outcome.failed else "degraded" if late or _is_impaired(outcome, circuit) else "healthy",
        latency_ms=_convert_to_ms(outcome),
        circuit=circuit.state,
        since=circuit.since,
    )


def _is_impaired(outcome: QueryOutcome, circuit: CircuitStatus) -> bool:
    return circuit.state != "closed" or outcome.latency_s > SERVICE_SLOW_S


def combine_status(checks: DependencyChecks) -> HealthStatus:
    """Return the overall status: unhealthy without a usable database, degraded if any check is not healthy."""
    if checks.database.status == "unhealthy":
        return "unhealthy"
    found = {getattr(checks, name).status for name in DependencyChecks.model_fields}
    return "healthy" if found == {"healthy"} else "degraded"


def has_late_jobs(jobs: OutboxCounts, mail_rate: float) -> bool:
    """Return whether a job has waited longer than `mail_rate`, in mails per second, explains."""
    return any(is_late(priority, s, jobs.sent[priority], rate=mail_rate) for priority, s in jobs.oldest_s.items())


def has_late_or_stuck_jobs(jobs: OutboxCounts | None, mail_rate: float) -> bool:
    """Return whether jobs are late, or one of high priority waits for a person.

    Until such a job is repeated, somebody can't sign in, or has no welcome mail. Other failed jobs only count in their
    metric: a single mail that can't be delivered must not hide other problems.
    """
    return jobs is not None and (has_late_jobs(jobs, mail_rate) or jobs.high_unsolved > 0)


def find_last_failover(server: LastWriter | None, now: datetime) -> LastFailover:
    """Return the last change of the writer, marked as detected for a while."""
    at = server.changed_at if server else None
    return LastFailover(detected=at is not None and now - at < FAILOVER_SHOWN, at=at)


def _convert_to_ms(outcome: QueryOutcome) -> float:
    return round(outcome.latency_s * 1000, 1)
