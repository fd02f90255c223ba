"""The alarms that were decided on: what each watches, from when on it rings, and whom it wakes.

docs/how-to/runbook.md has the reason of each figure; docs/decisions/0047 how alarms reach a person.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

# WakeSomebodyAlarm, LookTomorrowAlarm; and those that end a release and tell nobody (docs/decisions/0054)
Group = Literal["wake", "look", "release"]
MINUTE, FIVE_MINUTES, HOUR = 60, 300, 3600
STACK = {"stack": "Ref AWS::StackName"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """An alarm. `datapoints` are those that ring and those that are looked at, each of `period_s` seconds.

    A dimension's value is written as text: `Ref Name`, `GetAtt Name.Attribute`, or itself. `missing` is
    what silence means: `breaching` and `notBreaching` as they say, `ignore` keeps the state.
    """

    namespace: str
    metric: str
    dimensions: Mapping[str, str]
    unit: str
    statistic: str
    period_s: int
    datapoints: tuple[int, int]
    threshold: float
    missing: Literal["breaching", "notBreaching", "ignore"]
    above: bool = False  # rings over the threshold, not at it
    below: bool = False  # rings under the threshold
    group: Group = "look"


def _health(
    metric: str,
    threshold: float,
    datapoints: tuple[int, int],
    *,
    unit: str = "Count",
    missing: Literal["breaching", "ignore"] = "ignore",
    group: Group = "look",
) -> Watch:
    """Return an alarm on a figure of the minute's health report; one that the report leaves out changes nothing."""
    return Watch(
        namespace="Interdomestik",
        metric=metric,
        dimensions={**STACK, "service": "health"},
        unit=unit,
        statistic="Maximum",
        period_s=MINUTE,
        datapoints=datapoints,
        threshold=threshold,
        missing=missing,
        group=group,
    )


def _fleet(metric: str, threshold: float, datapoints: tuple[int, int], *, period_s: int = MINUTE) -> Watch:
    """Return an alarm on an event that any function counts: silence means that there were none."""
    return Watch(
        namespace="Interdomestik",
        metric=metric,
        dimensions={**STACK, "service": "fleet"},
        unit="Count",
        statistic="Sum",
        period_s=period_s,
        datapoints=datapoints,
        threshold=threshold,
        missing="notBreaching",
    )


def _schedule(metric: str, datapoints: tuple[int, int], *, period_s: int) -> Watch:
    """Return an alarm on the runs of a schedule: it rings when there are none."""
    return replace(_fleet(metric, 1, datapoints, period_s=period_s), below=True, missing="breaching")


def _function(
    name: str,
    metric: str,
    threshold: float,
    datapoints: tuple[int, int],
    *,
    unit: str = "Count",
    statistic: str = "Sum",
    period_s: int = FIVE_MINUTES,
    group: Group = "look",
) -> Watch:
    return Watch(
        namespace="AWS/Lambda",
        metric=metric,
        dimensions={"FunctionName": f"Ref {name}Function"},
        unit=unit,
        statistic=statistic,
        period_s=period_s,
        datapoints=datapoints,
        threshold=threshold,
        missing="notBreaching",
        group=group,
    )


def _live(name: str, metric: str, threshold: float, datapoints: tuple[int, int]) -> Watch:
    """Return an alarm on the calls of a function's alias that wakes somebody: those of a release's check are none."""
    watch = _function(name, metric, threshold, datapoints, period_s=MINUTE, group="wake")
    return replace(watch, dimensions={**watch.dimensions, "Resource": f"Sub ${{{name}Function}}:live"})


def _api(
    metric: str, threshold: float, datapoints: tuple[int, int], *, statistic: str, unit: str, above: bool = False
) -> Watch:
    return Watch(
        namespace="AWS/ApiGateway",
        metric=metric,
        dimensions={"ApiName": "Ref AWS::StackName", "Stage": "api"},
        unit=unit,
        statistic=statistic,
        period_s=MINUTE,
        datapoints=datapoints,
        threshold=threshold,
        missing="notBreaching",
        above=above,
        group="wake",
    )


def _queue(name: str, metric: str, threshold: float, datapoints: tuple[int, int], *, unit: str) -> Watch:
    return Watch(
        namespace="AWS/SQS",
        metric=metric,
        dimensions={"QueueName": f"GetAtt {name}.QueueName"},
        unit=unit,
        statistic="Maximum",
        period_s=MINUTE,
        datapoints=datapoints,
        threshold=threshold,
        missing="notBreaching",
    )


def _table(metric: str) -> Watch:
    return Watch(
        namespace="AWS/DynamoDB",
        metric=metric,
        dimensions={"TableName": "Ref StateTable"},
        unit="Count",
        statistic="Sum",
        period_s=MINUTE,
        datapoints=(3, 5),
        threshold=1,
        missing="notBreaching",
    )


def _proxy(metric: str, threshold: float, datapoints: tuple[int, int]) -> Watch:
    """Return an alarm on the stack's own RDS Proxy, which is there with DatabaseMode `create` alone."""
    return Watch(
        namespace="AWS/RDS",
        metric=metric,
        dimensions={"ProxyName": "GetAtt Database.Outputs.ProxyName"},
        unit="Count",
        statistic="Sum",  # of the servers behind the proxy, each of which writes its own
        period_s=MINUTE,
        datapoints=datapoints,
        threshold=threshold,
        missing="notBreaching",
    )


def _reputation(metric: str, threshold: float) -> Watch:
    return Watch(
        namespace="AWS/SES",
        metric=metric,
        dimensions={},
        unit="None",
        statistic="Maximum",
        period_s=HOUR,
        datapoints=(1, 1),
        threshold=threshold,
        missing="ignore",
    )


CIRCUITS = ("Email", "Identity", "Storage")
# Functions behind the API, whose errors and throttles a client sees at once.
API_FUNCTIONS = ("Agents", "Members", "Claims", "Pages", "Jobs")
BURST_SHARE = 0.8  # of a function's reserved concurrency: the next burst may be refused
BUSY = {**dict.fromkeys(("Agents", "Members", "Claims"), 152), **dict.fromkeys(("Pages", "Jobs", "Health"), 80)}
# Milliseconds of a function's time that its slowest hundredth may take, all below its timeout.
SLOW_MS = {
    **dict.fromkeys(("Agents", "Members", "Claims", "Jobs"), 10_000),
    **dict.fromkeys(("Pages", "Health"), 5_000),
    "Relay": 20_000,
    "Worker": 45_000,
}

# Functions that are released with a canary: those behind the API, and the worker.
RELEASED = ("Agents", "Members", "Claims", "Health", "Pages", "Jobs", "Worker")


def _released_errors(name: str) -> Watch:
    """Return the alarm on crashes of the version that is being released."""
    version = {"Resource": f"Sub ${{{name}Function}}:live", "ExecutedVersion": f"GetAtt {name}Function.Version.Version"}
    watch = _function(name, "Errors", 1, (1, 1), period_s=MINUTE, group="release")
    return replace(watch, dimensions={**watch.dimensions, **version})


def _released_failures(name: str) -> Watch:
    """Return the alarm on 5xx answers of the version that is being released, or on jobs that it could not do."""
    version = {"service": name.lower(), "version": f"GetAtt {name}Function.Version.Version"}
    watch = _fleet("VersionFailures", 1, (1, 1))
    return replace(watch, dimensions={**STACK, **version}, group="release")


ALARMS: Mapping[str, Watch] = {
    # ---- wake somebody
    "UnhealthyAlarm": _health("Unhealthy", 1, (2, 3), missing="breaching", group="wake"),
    "HealthErrorsAlarm": _live("Health", "Errors", 1, (5, 6)),
    "ServerErrorsAlarm": _api("5XXError", 0.01, (5, 6), statistic="Average", unit="Count", above=True),
    "LatencyAlarm": _api("Latency", 5_000, (5, 5), statistic="p99", unit="Milliseconds"),
    "JobsOldestPendingHighAlarm": _health("JobsOldestPendingSecondsHigh", 900, (3, 3), unit="Seconds", group="wake"),
    # ---- look tomorrow: what health says
    "DegradedAlarm": _health("Degraded", 1, (15, 15)),
    "FailoverAlarm": _health("FailoverDetected", 1, (1, 1)),
    "DatabaseConnectionsAlarm": _health("DatabaseConnectionsUsedShare", 90, (10, 10), unit="Percent"),
    "TransactionRetriesAlarm": _health("TransactionRetriesLastMinute", 60, (10, 10)),
    "JobsLateAlarm": _health("JobsLate", 1, (10, 10)),
    "JobsFailedAlarm": _health("JobsFailed", 1, (1, 1)),
    "JobsUncertainAlarm": _health("JobsUncertain", 1, (1, 1)),
    "JobsHighUnsolvedAlarm": _health("JobsHighUnsolved", 1, (1, 1)),
    "JobsOldestPendingNormalAlarm": _health("JobsOldestPendingSecondsNormal", 3_600, (3, 3), unit="Seconds"),
    "JobsOldestPendingLowAlarm": _health("JobsOldestPendingSecondsLow", 21_600, (3, 3), unit="Seconds"),
    **{f"CircuitOpen{name}Alarm": _health(f"CircuitOpen{name}", 1, (10, 10)) for name in CIRCUITS},
    # ---- what any function counts
    "CircuitsOpenedAlarm": _fleet("CircuitsOpened", 3, (1, 1), period_s=HOUR),
    "CircuitStoreUnavailableAlarm": _fleet("CircuitStoreUnavailable", 1, (3, 5)),
    "StateStoreUnavailableAlarm": _fleet("StateStoreUnavailable", 1, (3, 5)),
    "MailPaceUnavailableAlarm": _fleet("MailPaceUnavailable", 1, (3, 5)),
    "AnswersNotKeptAlarm": _fleet("AnswersNotKept", 1, (3, 5)),
    "ChoresFailedAlarm": _fleet("ChoresFailed", 1, (2, 2), period_s=HOUR),
    "RelayScheduleAlarm": _schedule("RelayScheduledRuns", (3, 3), period_s=FIVE_MINUTES),
    "HousekeepingScheduleAlarm": _schedule("HousekeepingRuns", (2, 2), period_s=HOUR),
    # ---- the functions
    **{f"{name}ErrorsAlarm": _function(name, "Errors", 1, (1, 1)) for name in (*API_FUNCTIONS, "Worker", "Admin")},
    "RelayErrorsAlarm": _function("Relay", "Errors", 5, (2, 2)),
    "HousekeepingErrorsAlarm": _function("Housekeeping", "Errors", 1, (1, 1), period_s=HOUR),
    **{
        f"{name}ThrottlesAlarm": _function(name, "Throttles", 1, (1, 1))
        for name in (*API_FUNCTIONS, "Health", "Worker", "Housekeeping", "Admin")
    },
    "RelayThrottlesAlarm": _function("Relay", "Throttles", 10, (3, 3)),
    **{
        f"{name}DurationAlarm": _function(
            name, "Duration", most, (5, 5), unit="Milliseconds", statistic="p99", period_s=MINUTE
        )
        for name, most in SLOW_MS.items()
    },
    "HousekeepingDurationAlarm": _function(
        "Housekeeping", "Duration", 240_000, (1, 1), unit="Milliseconds", statistic="p99", period_s=HOUR
    ),
    **{
        f"{name}ConcurrencyAlarm": _function(
            name, "ConcurrentExecutions", at_once, (3, 5), statistic="Maximum", period_s=MINUTE
        )
        for name, at_once in BUSY.items()
    },
    **{
        f"{name}RecursionAlarm": _function(name, "RecursiveInvocationsDropped", 1, (1, 1))
        for name in ("Relay", "Worker")
    },
    # ---- the queues
    **{
        f"{name}AgeAlarm": _queue(name, "ApproximateAgeOfOldestMessage", oldest_s, (5, 5), unit="Seconds")
        for name, oldest_s in {"QueueHigh": 900, "QueueNormal": 3_600, "QueueLow": 21_600, "NudgeQueue": 240}.items()
    },
    **{
        f"DeadLetter{name}Alarm": _queue(
            f"DeadLetter{name}", "ApproximateNumberOfMessagesVisible", 1, (1, 1), unit="Count"
        )
        for name in ("High", "Normal", "Low")
    },
    # ---- the state table and the mails' reputation
    "StateTableReadThrottlesAlarm": _table("ReadThrottleEvents"),
    "StateTableWriteThrottlesAlarm": _table("WriteThrottleEvents"),
    "MailBouncesAlarm": _reputation("Reputation.BounceRate", 0.05),
    "MailComplaintsAlarm": _reputation("Reputation.ComplaintRate", 0.001),
    # ---- the stack's own proxy
    "SessionPinsAlarm": _proxy("DatabaseConnectionsCurrentlySessionPinned", 2, (10, 10)),
    # ---- a release
    "PreTrafficErrorsAlarm": _function("PreTraffic", "Errors", 1, (1, 1), period_s=MINUTE, group="release"),
    "ReleaseInProgressAlarm": _function("PreTraffic", "Invocations", 1, (1, 45), period_s=MINUTE, group="release"),
    **{f"{name}ReleaseErrorsAlarm": _released_errors(name) for name in RELEASED},
    **{f"{name}ReleaseFailuresAlarm": _released_failures(name) for name in RELEASED},
}  # fmt: skip


# Alarms that ring when a schedule of the stack is silent, and the function that it runs.
SCHEDULES = {"RelayScheduleAlarm": "RelayFunction", "HousekeepingScheduleAlarm": "HousekeepingFunction"}

# Alarms that only a stack with a database of its own has.
ONLY_CREATED = frozenset({"SessionPinsAlarm"})


def properties(watch: Watch) -> dict[str, object]:
    """Return the alarm's properties in the template, except for its description; dimensions by name, as text."""
    key = "ExtendedStatistic" if watch.statistic.startswith("p") else "Statistic"
    return {
        "Namespace": watch.namespace,
        "MetricName": watch.metric,
        "Dimensions": dict(watch.dimensions),
        key: watch.statistic,
        "Period": watch.period_s,
        "EvaluationPeriods": watch.datapoints[1],
        "DatapointsToAlarm": watch.datapoints[0],
        "Threshold": watch.threshold,
        "ComparisonOperator": _describe_comparison(watch),
        "TreatMissingData": watch.missing,
    }


def _describe_comparison(watch: Watch) -> str:
    if watch.below:
        return "LessThanThreshold"
    return "GreaterThanThreshold" if watch.above else "GreaterThanOrEqualToThreshold"


def describe_rule(name: str) -> str:
    """Return when an alarm rings, as the runbook writes it: ``UnhealthyAlarm`: maximum of `Unhealthy` ≥ 1, …`."""
    watch = ALARMS[name]
    needed, of = watch.datapoints
    sign = {"GreaterThanThreshold": ">", "LessThanThreshold": "<"}.get(_describe_comparison(watch), "≥")
    statistic = watch.statistic if watch.statistic.startswith("p") else watch.statistic.lower()
    unit = {"Seconds": " s", "Milliseconds": " ms", "Percent": " %"}.get(watch.unit, "")
    figure = f"{statistic} of `{watch.metric}` {sign} {watch.threshold:,}{unit}"
    return f"`{name}`: {figure}, {needed} of {of} × {watch.period_s} s"
