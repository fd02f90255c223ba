"""What the alarms watch, in CloudWatch's embedded metric format."""

from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

from health.check import Checked

NAMESPACE = "Interdomestik"
SERVICE = "health"


def publish(checked: Checked) -> None:
    """Write the metrics of a check; what it could not find out is left out, so that silence is not taken for zero."""
    found = checked.findings
    figures: dict[str, float | None] = {
        "Unhealthy": found.status == "unhealthy",
        "Degraded": found.status == "degraded",
        "FailoverDetected": checked.failed_over,
        "JobsFailed": found.jobs.failed,
    }
    metrics = EphemeralMetrics(namespace=NAMESPACE, service=SERVICE)
    for name, figure in figures.items():
        if figure is not None:
            metrics.add_metric(name=name, unit=MetricUnit.Count, value=float(figure))
    if found.jobs.oldest_pending_s is not None:
        metrics.add_metric("JobsOldestPendingSeconds", unit=MetricUnit.Seconds, value=found.jobs.oldest_pending_s)
    connections = found.checks.database.connections
    if connections.used is not None:
        share = 100 * connections.used / connections.max
        metrics.add_metric("DatabaseConnectionsUsedShare", unit=MetricUnit.Percent, value=share)
    metrics.flush_metrics()
