"""The metrics that AWS writes of its services by itself, from the local cloud's logs, queues and stand-ins.

Once a minute and for the minute that is over, as on AWS; tests let fewer seconds stand for a minute.
"""

import http.client
import json
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from local.events.cloudwatch import CloudWatch, MetricsRejected
from local.events.dependency_metrics import summarize_mails, summarize_proxy, summarize_table
from local.events.log_tail import LogTail
from local.events.service_logs import FunctionReport, GatewayAnswer, read_answers, read_reports
from local.events.service_metric import ServiceMetric
from local.inbox.messages import PATH as MAILS
from local.inbox.messages import parse_messages
from local.runtime.variables import ACCOUNT
from local.stack import Stack

MINUTE_S = 60
POLL_S = 1.0
POLLS = 10  # in a minute, at least
TIMEOUT_S = 10.0
MOST_VALUES = 20  # of one metric in a minute: the times of many calls are put as so many groups, each by its longest
QUEUED = "/_ministack/sqs/messages"
STATUS = "/_local/status"
FAULTS = "/_local/faults"
PROXY_COUNTS = "/counts"
FIRST_CLIENT_ERROR = 400

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FunctionStatus:
    """The gateway's account of a function: counts of refused invocations, and those that run.

    `dropped` were refused because their chain was too long. `running_since` is when each running one began, in seconds
    since the epoch.
    """

    throttles: int = 0
    dropped: int = 0
    running_since: tuple[float, ...] = ()


def summarize_function(name: str, reports: Sequence[FunctionReport], status: FunctionStatus) -> Iterator[ServiceMetric]:
    """Yield the metrics of a function's minute; those of its invocations only if there were any.

    `status` has the refused invocations of that minute, and those that still run at its end.
    """
    dimensions = {"FunctionName": name}
    yield ServiceMetric("AWS/Lambda", "Throttles", dimensions, "Count", [(float(status.throttles), 1)])
    if status.dropped:
        yield ServiceMetric("AWS/Lambda", "RecursiveInvocationsDropped", dimensions, "Count", [(1.0, status.dropped)])
    if at_once := find_most_concurrent(reports, status.running_since):
        yield ServiceMetric("AWS/Lambda", "ConcurrentExecutions", dimensions, "Count", [(float(at_once), 1)])
    if not reports:
        return
    yield from summarize_invocations(name, reports)


def summarize_invocations(name: str, reports: Iterable[FunctionReport]) -> Iterator[ServiceMetric]:
    """Yield the metrics of invocations under each of their dimensions: function, alias or version, executed version."""
    found: dict[tuple[tuple[str, str], ...], list[FunctionReport]] = {}
    for report in reports:
        for dimensions in report.name_dimensions(name):
            found.setdefault(tuple(dimensions.items()), []).append(report)
    for key, each in found.items():
        dimensions, failed = dict(key), sum(report.has_failed for report in each)
        times = group_values([report.duration_s * 1000 for report in each])
        yield ServiceMetric("AWS/Lambda", "Invocations", dimensions, "Count", [(1.0, len(each))])
        yield ServiceMetric("AWS/Lambda", "Errors", dimensions, "Count", count_share(failed, len(each)))
        yield ServiceMetric("AWS/Lambda", "Duration", dimensions, "Milliseconds", times)


def summarize_api(name: str, stage: str, answers: Sequence[GatewayAnswer]) -> Iterator[ServiceMetric]:
    """Yield the metrics of an API's minute; none without a request."""
    if not answers:
        return
    dimensions, total = {"ApiName": name, "Stage": stage}, len(answers)
    server = sum(answer.is_server_error for answer in answers)
    client = sum(answer.status >= FIRST_CLIENT_ERROR for answer in answers) - server
    times = group_values([answer.latency_ms for answer in answers])
    yield ServiceMetric("AWS/ApiGateway", "Count", dimensions, "Count", [(1.0, total)])
    yield ServiceMetric("AWS/ApiGateway", "5XXError", dimensions, "Count", count_share(server, total))
    yield ServiceMetric("AWS/ApiGateway", "4XXError", dimensions, "Count", count_share(client, total))
    yield ServiceMetric("AWS/ApiGateway", "Latency", dimensions, "Milliseconds", times)


def summarize_queue(name: str, messages: Sequence[Mapping[str, Any]], now: float) -> Iterator[ServiceMetric]:
    """Yield the metrics of a queue from its messages, whose times are in seconds since the epoch."""
    dimensions = {"QueueName": name}
    visible = sum(bool(message["IsVisible"]) for message in messages)
    oldest_s = max((now - message["SentTimestamp"] for message in messages), default=0.0)
    for metric, unit, value in (
        ("ApproximateNumberOfMessagesVisible", "Count", float(visible)),
        ("ApproximateAgeOfOldestMessage", "Seconds", max(0.0, oldest_s)),
    ):
        yield ServiceMetric("AWS/SQS", metric, dimensions, unit, [(value, 1)])


def count_share(matching: int, total: int) -> list[tuple[float, int]]:
    """Return a 1 for each event that matches and a 0 for each other, so that the average is their share."""
    return [(value, count) for value, count in ((1.0, matching), (0.0, total - matching)) if count]


def group_values(values: Iterable[float]) -> list[tuple[float, int]]:
    """Return values in at most MOST_VALUES groups of about the same size, each as its largest value."""
    ordered = sorted(values)
    size = -(-len(ordered) // MOST_VALUES) or 1
    # From the largest down, so that the slowest calls are together.
    groups = [ordered[max(0, end - size) : end] for end in range(len(ordered), 0, -size)]
    return [(group[-1], len(group)) for group in groups]


def find_most_concurrent(reports: Iterable[FunctionReport], running_since: Iterable[float]) -> int:
    """Return how many invocations ran at the same time at most: those that ended in a period, and those that still run.

    No moment before the period counts: all that ran then and are given here also ran when the period began.
    """
    changes = [(since, 1) for since in running_since]
    for report in reports:
        changes += [(report.ended_at - report.duration_s, 1), (report.ended_at, -1)]
    running = most = 0
    for _, change in sorted(changes):
        running += change
        most = max(most, running)
    return most


def fetch_json(base: str, path: str) -> Any:
    """Return the JSON document at a path. Raise OSError if there is none."""
    try:
        return json.loads(fetch_document(base, path))
    except ValueError as error:
        raise OSError(f"no JSON at {base}{path}: {error!r}") from error


def fetch_document(base: str, path: str) -> bytes:
    """Return the document at a path. Raise OSError if there is none."""
    connection = http.client.HTTPConnection(urlsplit(base).netloc, timeout=TIMEOUT_S)
    try:
        connection.request("GET", path)
        return connection.getresponse().read()
    except http.client.HTTPException as error:
        raise OSError(f"no answer of {base}{path}: {error!r}") from error
    finally:
        connection.close()


class ServiceMetricsPublisher:
    """The publisher of these metrics from when it was made until `stop` is set; a minute that can't be put is lost."""

    def __init__(
        self,
        stack: Stack,
        name: str,
        gateway: str,
        logs: Path,
        cloudwatch: CloudWatch,
        stop: threading.Event,
        *,
        database_proxy: str = "",
        minute_s: float = MINUTE_S,
    ) -> None:
        """Take the stack and its name, the addresses of the gateway and of the proxy's control, the folder of logs.

        Without a proxy there are no metrics of one. `minute_s` are the seconds that stand for a minute.
        """
        self._database_proxy, self._minute_s = database_proxy, minute_s
        self._throttled: Counter[tuple[str, str]] = Counter()
        self._proxy_counts: dict[str, Any] = {}
        self._stack, self._name, self._gateway = stack, name, gateway
        self._cloudwatch, self._stop = cloudwatch, stop
        self._reports: dict[str, list[FunctionReport]] = {function.logical_id: [] for function in stack.functions}
        self._names = {function.logical_id: function.name for function in stack.functions}
        self._answers: list[GatewayAnswer] = []
        self._statuses: dict[str, FunctionStatus] = {}
        self._tails = [LogTail(logs / f"{name}.log", self._make_sink(found)) for name, found in self._reports.items()]
        self._tails.append(LogTail(logs / "access.log", lambda lines: self._answers.extend(read_answers(lines))))

    @staticmethod
    def _make_sink(found: list[FunctionReport]) -> Callable[[bytes], None]:
        return lambda lines: found.extend(read_reports(lines))

    def run(self, clock: Callable[[], float] = time.time) -> None:
        """Publish each minute that ends until `stop` is set."""
        minute = clock() // self._minute_s
        while not self._stop.wait(min(POLL_S, self._minute_s / POLLS)):
            self.read_logs()
            if (now := clock()) // self._minute_s > minute:
                minute = now // self._minute_s
                self.publish(minute * self._minute_s - 1)

    def read_logs(self) -> None:
        """Take what the logs have said since the last call."""
        for tail in self._tails:
            while tail.read_new():
                pass

    def publish(self, at: float) -> None:
        """Put the metrics of what was read since the last call, at a time in seconds since the epoch."""
        try:
            metrics = list(self._summarize(at))
            for namespace in sorted({metric.namespace for metric in metrics}):
                data = [metric.to_json(at) for metric in metrics if metric.namespace == namespace]
                self._cloudwatch.call("PutMetricData", Namespace=namespace, MetricData=data)
        except (OSError, MetricsRejected) as error:
            log.warning("the services' metrics of a minute are lost: %s", error)
        self._answers.clear()
        for reports in self._reports.values():
            reports.clear()

    def _summarize(self, at: float) -> Iterator[ServiceMetric]:
        statuses = self._read_statuses()
        for function, reports in self._reports.items():
            name = self._names[function] or self._stack.outputs.get(function, function)
            yield from summarize_function(name, reports, statuses.get(function, FunctionStatus()))
        yield from summarize_api(self._name, self._stack.stage, self._answers)
        yield from self._summarize_queues(at)
        yield from self._summarize_dependencies()

    def _summarize_dependencies(self) -> Iterator[ServiceMetric]:
        for table, throttled in self._read_throttled().items():
            yield from summarize_table(table, throttled)
        mails = reversed(parse_messages(fetch_document(self._stack.endpoint_url, MAILS)))
        yield from summarize_mails([address for mail in mails for address in mail.to])
        if self._database_proxy:
            before, self._proxy_counts = self._proxy_counts, fetch_json(self._database_proxy, PROXY_COUNTS)
            yield from summarize_proxy(self._proxy_counts, before)

    def _read_throttled(self) -> dict[str, dict[str, int]]:
        """Return how many requests of each table DynamoDB has throttled since the last call, by operation."""
        found = fetch_json(self._stack.endpoint_url, FAULTS)["throttled"]
        counts = Counter({(each["table"], each["operation"]): each["count"] for each in found})
        since, self._throttled = counts - self._throttled, counts
        tables: dict[str, dict[str, int]] = {}
        for (table, operation), count in since.items():
            tables.setdefault(table, {})[operation] = count
        return tables

    def _summarize_queues(self, at: float) -> Iterator[ServiceMetric]:
        queued = fetch_json(self._stack.endpoint_url, QUEUED)["messages"]
        found = {
            url.rpartition("/")[2]: messages
            for regions in queued.values()
            for queues in regions.values()
            for url, messages in queues.items()
        }
        for value in self._stack.outputs.values():
            if f"/{ACCOUNT}/" in value:  # a queue's URL
                name = value.rpartition("/")[2]
                yield from summarize_queue(name, found.get(name, []), at)

    def _read_statuses(self) -> dict[str, FunctionStatus]:
        """Return of each function what runs now, and how many invocations were refused since the last call.

        At the first call none were.
        """
        functions = fetch_json(self._gateway, STATUS)["functions"]
        found = {
            name: FunctionStatus(each["throttles"], each["recursions_dropped"], tuple(each["running_since"]))
            for name, each in functions.items()
        }
        before, self._statuses = self._statuses, found
        return {name: _count_since(before.get(name, now), now) for name, now in found.items()}


def _count_since(before: FunctionStatus, now: FunctionStatus) -> FunctionStatus:
    """Return a status whose counts are those since the one before; a gateway that was restarted counts from 0."""
    return replace(
        now, throttles=max(0, now.throttles - before.throttles), dropped=max(0, now.dropped - before.dropped)
    )
