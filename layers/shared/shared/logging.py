"""Logging for operators: ids, names of things, figures; never a mail address, name, phone number or text of a claim.

Lines and metrics have the form that Powertools for AWS Lambda gives them (tests/unit/shared/test_log_lines.py compares
them with its own). Importing it would take a tenth of a function's start, for two short formats (docs/decisions/0075).
"""

import json
import logging
import os
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Literal

SERVICE_VARIABLE = "POWERTOOLS_SERVICE_NAME"
UNNAMED_SERVICE = "service_undefined"
TRACE_VARIABLE = "_X_AMZN_TRACE_ID"  # X-Ray's, set by the runtime client for each invocation
RUNTIME_VARIABLE = "AWS_LAMBDA_RUNTIME_API"  # set where the runtime client runs the handler
# What every record has of its own; everything else was passed as `extra`.
_OWN_ATTRIBUTES = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


class JsonLineFormatter(logging.Formatter):
    """The format of a line: JSON, with the event's name, where it was logged, and its facts.

    An exception passed as `exc_info` is left out: it would print the values in it, and a failed SQL statement quotes
    personal data. `describe_failure` returns what may be said of one.
    """

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as a line. Facts that are None are left out; what JSON doesn't know is written as text."""
        facts = {name: fact for name, fact in vars(record).items() if name not in _OWN_ATTRIBUTES}
        at = datetime.fromtimestamp(record.created, UTC)
        line = {
            "level": record.levelname,
            "location": f"{record.funcName}:{record.lineno}",
            "message": record.getMessage(),
            "timestamp": at.isoformat(timespec="milliseconds"),
            "service": self._service,
            **facts,
            "xray_trace_id": read_xray_trace_id(),
        }
        known = {name: value for name, value in line.items() if value is not None}
        return json.dumps(known, default=str, separators=(",", ":"), ensure_ascii=False)


def read_xray_trace_id() -> str | None:
    """Return the id of X-Ray's trace of the present invocation, if there is one."""
    header = os.environ.get(TRACE_VARIABLE)
    return header.split(";")[0].replace("Root=", "") if header else None


def _make_logger(service: str) -> logging.Logger:
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonLineFormatter(service))
    made = logging.getLogger(service)
    made.setLevel(os.environ.get("LOG_LEVEL", "").upper() or logging.INFO)
    made.addHandler(handler)
    # The runtime client has a handler for all loggers, which would print each line once more, as text.
    made.propagate = RUNTIME_VARIABLE not in os.environ
    return made


logger = _make_logger(os.environ.get(SERVICE_VARIABLE) or UNNAMED_SERVICE)

Unit = Literal["Count", "Percent", "Seconds"]
Figure = tuple[str, Unit, float]  # a metric's name, its unit as CloudWatch calls it, and its value

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
    """Count a run of each scheduled function in its place, when a stack's schedules may not have begun yet.

    An hourly schedule first runs an hour after it was made, and no alarm may ring until then.
    """
    for metric in SCHEDULED_RUNS.values():
        count_event(metric)


def count_version_failure() -> None:
    """Add one to the failures of this function's version: a 5xx it answered, or a job it could not do.

    The alarms of a release watch the metric. It has the version among its dimensions, so that what the version before
    does neither ends a release nor hides in what the new one does.
    """
    version = os.environ.get("AWS_LAMBDA_FUNCTION_VERSION") or UNKNOWN_VERSION
    service = os.environ.get(SERVICE_VARIABLE) or UNKNOWN_SERVICE
    print_metrics(service, [(VERSION_FAILURES, "Count", 1.0)], version=version)


def count_event(metric: str) -> None:
    """Add one to a metric of all environments together."""
    print_metrics("fleet", [(metric, "Count", 1.0)])


def print_metrics(service: str, figures: Iterable[Figure], **more: str) -> None:
    """Print metrics in CloudWatch's embedded metric format, whose dimensions are the stack, `more` and `service`."""
    found = list(figures)
    dimensions = {"stack": os.environ.get(STACK_VARIABLE) or UNKNOWN_STACK, **more, "service": service}
    described = {
        "Namespace": NAMESPACE,
        "Dimensions": [list(dimensions)],
        "Metrics": [{"Name": name, "Unit": unit} for name, unit, _ in found],
    }
    about = {"Timestamp": int(datetime.now(UTC).timestamp() * 1000), "CloudWatchMetrics": [described]}
    line = {"_aws": about, **dimensions, **{name: [float(figure)] for name, _, figure in found}}
    print(json.dumps(line, separators=(",", ":")))  # noqa: T201 - CloudWatch reads the log
