"""The metrics that the alarms watch, in CloudWatch's embedded metric format, written by the schedule's runs.

Unhealthy, Degraded, FailoverDetected             1 or 0
JobsFailed, JobsUncertain                         jobs that wait for a person
JobsHighUnsolved                                  those of them that have high priority
JobsLate                                          1 while a job has waited longer than the mails' rate explains
JobsOldestPendingSeconds, …High, …Normal, …Low    since the oldest unfinished job was written
CircuitOpenEmail, …Identity, …Storage             1 while the circuit is open or half open
TransactionRetriesLastMinute                      of all environments together
DatabaseConnectionsUsedShare                      per cent of the connections that all environments may have

Events of any function are counted where they happen, see shared/logging.py.
"""

from collections.abc import Iterable, Iterator

from aws_lambda_powertools.metrics import MetricUnit

from health.deep_check import CheckResult
from health.model import Findings
from health.service import OutboxCounts
from shared.logging import make_metrics

SERVICE = "health"
FAILOVER = "FailoverDetected"
CIRCUITS = ("email", "identity", "storage")

Figure = tuple[str, MetricUnit, float]


def publish(checked: CheckResult) -> None:
    """Write the metrics of a check; unknown values are omitted, so that missing data is not taken for zero."""
    _write_metrics(list_metrics(checked))


def publish_failover() -> None:
    """Count a failover that a request has found; the schedule's run will not find it again."""
    _write_metrics([(FAILOVER, MetricUnit.Count, 1.0)])


def _write_metrics(figures: Iterable[Figure]) -> None:
    metrics = make_metrics(SERVICE)
    for name, unit, figure in figures:
        metrics.add_metric(name=name, unit=unit, value=figure)
    metrics.flush_metrics()


def list_metrics(checked: CheckResult) -> Iterator[Figure]:
    """Yield every known metric: its name, unit and value."""
    found = checked.findings
    yield "Unhealthy", MetricUnit.Count, float(found.status == "unhealthy")
    yield "Degraded", MetricUnit.Count, float(found.status == "degraded")
    yield FAILOVER, MetricUnit.Count, float(checked.failed_over)
    if checked.jobs:
        yield "JobsLate", MetricUnit.Count, float(bool(checked.has_late_jobs))
        yield from _list_job_metrics(checked.jobs)
    connections = found.checks.database.connections
    if connections.used is not None:
        yield "DatabaseConnectionsUsedShare", MetricUnit.Percent, 100 * connections.used / connections.max
    if found.transaction_retries.last_minute is not None:
        yield from _list_shared_metrics(found, found.transaction_retries.last_minute)


def _list_job_metrics(jobs: OutboxCounts) -> Iterator[Figure]:
    yield "JobsFailed", MetricUnit.Count, float(jobs.failed)
    yield "JobsUncertain", MetricUnit.Count, float(jobs.uncertain)
    yield "JobsHighUnsolved", MetricUnit.Count, float(jobs.high_unsolved)
    yield "JobsOldestPendingSeconds", MetricUnit.Seconds, max(jobs.oldest_s.values(), default=0.0)
    for priority, oldest_s in jobs.oldest_s.items():
        yield f"JobsOldestPendingSeconds{priority.title()}", MetricUnit.Seconds, oldest_s


def _list_shared_metrics(found: Findings, retries: int) -> Iterator[Figure]:
    """Yield the metrics of the state table: all known together, or all unknown."""
    yield "TransactionRetriesLastMinute", MetricUnit.Count, float(retries)
    for name in CIRCUITS:
        state = getattr(found.checks, name).circuit
        yield f"CircuitOpen{name.title()}", MetricUnit.Count, float(state != "closed")
