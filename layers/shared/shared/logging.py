"""Logging for operators: ids, names of things, figures; never a mail address, name, phone number or text of a claim."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from aws_lambda_powertools.logging import Logger

if TYPE_CHECKING:
    from aws_lambda_powertools.metrics import EphemeralMetrics

# `exc_info` would print the values in an exception: a failed SQL statement quotes personal data.
logger = Logger(use_rfc3339=True, utc=True)

NAMESPACE = "Interdomestik"
# The environment variable that names the stack. Without its dimension all stacks of an account and region would write
# to the same metrics: staging's reports would end the alarm on prod's silence.
STACK_VARIABLE = "STACK_NAME"
UNKNOWN_STACK = "unknown"
UNKNOWN_SERVICE = "unknown"
UNKNOWN_VERSION = "unknown"
VERSION_FAILURES = "VersionFailures"

# Events of any function, and the metric that counts each, in the namespace above with the dimension service = fleet.
COUNTED = {
    "circuit_opened": "CircuitsOpened",
    "circuit_closed": "CircuitsClosed",
    "circuit_store_unavailable": "CircuitStoreUnavailable",  # an environment's circuits continue by themselves
    "state_store_unavailable": "StateStoreUnavailable",  # a call ran without limits
    "mail_pacing_unavailable": "MailPaceUnavailable",  # mails are sent without the shared rate limit
    "answers_not_kept": "AnswersNotKept",  # a run of the relay left answers in the database
    "housekeeping_task_failed": "ChoresFailed",
}
# Functions that a schedule invokes, and the metric that counts the runs it begins, with the dimensions of the events
# above. An alarm rings when the metric is silent. Health is not among them: its report is such a sign already.
SCHEDULED_RUNS = {"relay": "RelayScheduledRuns", "housekeeping": "HousekeepingRuns"}


def describe_failure(error: BaseException) -> dict[str, object]:
    """Return what may be logged of an exception: its class and the code that it passed through, not its message."""
    frames: list[str] = []
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        frames.append(f"{code.co_filename.rsplit('/', 2)[-1]}:{trace.tb_lineno}:{code.co_name}")
        trace = trace.tb_next
    return {"error": type(error).__name__, "frames": frames[-8:]}


def observe(event: str, facts: Mapping[str, object]) -> None:
    """Log an event emitted by a mechanism, and count it if an alarm watches such events."""
    logger.warning(event, extra=dict(facts))
    if event in COUNTED:
        count_event(COUNTED[event])


def count_scheduled_run(function: str) -> None:
    """Count a run that a function's schedule has begun, whatever becomes of it: errors have an alarm of their own."""
    count_event(SCHEDULED_RUNS[function])


def count_first_runs() -> None:
    """Count a run for each scheduled function, when a stack's schedules may not have begun yet.

    An hourly schedule first runs an hour after it was made, and no alarm may ring until then.
    """
    for metric in SCHEDULED_RUNS.values():
        count_event(metric)


def count_version_failure() -> None:
    """Add one to the failures of this function's version: a 5xx it answered, or a job it could not do.

    The alarms of a release watch the metric. It has the version among its dimensions, so that what the version before
    does neither ends a release nor hides in what the new one does.
    """
    from aws_lambda_powertools.metrics import MetricUnit

    metrics = make_metrics(os.environ.get("POWERTOOLS_SERVICE_NAME") or UNKNOWN_SERVICE)
    metrics.add_dimension(name="version", value=os.environ.get("AWS_LAMBDA_FUNCTION_VERSION") or UNKNOWN_VERSION)
    metrics.add_metric(name=VERSION_FAILURES, unit=MetricUnit.Count, value=1)
    metrics.flush_metrics()


def make_metrics(service: str) -> "EphemeralMetrics":
    """Return an empty set of metrics, whose dimensions are the stack and `service`."""
    from aws_lambda_powertools.metrics import EphemeralMetrics

    metrics = EphemeralMetrics(namespace=NAMESPACE, service=service)
    metrics.add_dimension(name="stack", value=os.environ.get(STACK_VARIABLE) or UNKNOWN_STACK)
    return metrics


def count_event(metric: str) -> None:
    """Add one to a metric of all environments together, in CloudWatch's embedded metric format."""
    from aws_lambda_powertools.metrics import MetricUnit

    metrics = make_metrics("fleet")
    metrics.add_metric(name=metric, unit=MetricUnit.Count, value=1)
    metrics.flush_metrics()
