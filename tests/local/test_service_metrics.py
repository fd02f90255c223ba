"""The metrics that the local cloud writes in AWS's place have documented names and true figures."""

import json
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.events import service_metrics
from local.events.dependency_metrics import (
    PROXY_NAME,
    REPRESENTATIVE,
    summarize_mails,
    summarize_proxy,
    summarize_table,
)
from local.events.service_logs import FunctionReport, GatewayAnswer, read_answers, read_reports
from local.events.service_metric import ServiceMetric
from local.events.service_metrics import (
    MOST_VALUES,
    FunctionStatus,
    ServiceMetricsPublisher,
    count_share,
    find_most_concurrent,
    group_values,
    summarize_api,
    summarize_function,
    summarize_queue,
)
from local.runtime.logs import FunctionLog
from tests.local.gateways import make_function, make_stack
from tests.settings.aws_metrics import DOCUMENTED

NOW = 1_800_000_000.0
QUEUE = "http://127.0.0.1:1/000000000000/queue-high"
PROXY_COUNTS = {
    "clients": 7,
    "server_connections": 5,
    "borrowed": 3,
    "pinned": 2,
    "max_connections": 50,
    "borrows": 1,
    "borrow_wait_s": 0.5,
}


def make_report(*, ended: float = 0.0, took: float = 0.1, failed: bool = False) -> FunctionReport:
    """Return the report of an invocation that ended `ended` seconds after NOW."""
    return FunctionReport(NOW + ended, took, failed, "1")


def find_values(metrics: Sequence[ServiceMetric], name: str) -> list[tuple[float, int]]:
    """Return the values of a metric."""
    [found] = [metric for metric in metrics if metric.name == name and "Resource" not in metric.dimensions]
    return list(found.values)


def test_every_metric_is_one_that_aws_documents() -> None:
    """In its namespace, under its dimensions, in its unit: an alarm on AWS's sees the local ones as well."""
    message = {"IsVisible": True, "SentTimestamp": NOW}
    metrics = [
        *summarize_function("f", [make_report()], FunctionStatus(dropped=1)),
        *summarize_api("api", "stage", [GatewayAnswer(200, 1.0, NOW)]),
        *summarize_queue("q", [message], NOW),
        *summarize_table("t", {"PutItem": 1, "GetItem": 1}),
        *summarize_mails(["bounce@example.test", "complaint@example.test"]),
        *summarize_proxy({**PROXY_COUNTS, "borrows": 3}, PROXY_COUNTS),
    ]
    assert len(metrics) == 30
    for metric in metrics:
        documented = DOCUMENTED[metric.namespace, metric.name]
        assert metric.unit == documented.unit
        assert frozenset(metric.dimensions) in documented.dimensions


def test_a_functions_log_is_read_as_it_is_written(tmp_path: Path) -> None:
    """By the runtime's own writer, between lines of other kinds."""
    log = FunctionLog(tmp_path / "f.log")
    log.write(b'{"message": "hello"}\nSTART "platform.report"\n{"type": "platform.report", "record": 1}\n')
    log.record("report", requestId="1", status="success", durationMs=12.5, pid=1, version="1", qualifier="live")
    log.record("report", requestId="2", status="error", durationMs=1000.0, pid=1, version="2", qualifier="2")
    found = list(read_reports((tmp_path / "f.log").read_bytes()))
    assert [(report.duration_s, report.has_failed) for report in found] == [(0.0125, False), (1.0, True)]


def test_an_access_log_is_read_by_its_status_and_time() -> None:
    """The lines are text, as the deployed format writes them."""
    lines = (
        b'{"status": "503", "latency_ms": "12", "time_ms": "1800000000000"}\n'
        b'{"status": "200", "latency_ms": "-", "time_ms": "1800000000000"}\nno JSON\n'
    )
    assert list(read_answers(lines)) == [GatewayAnswer(503, 12.0, NOW)]


def test_a_function_is_counted_by_what_became_of_its_invocations() -> None:
    """Its errors, throttles and times; without an invocation there is nothing but the throttles."""
    reports = [make_report(took=0.1), make_report(took=0.3, failed=True)]
    metrics = list(summarize_function("f", reports, FunctionStatus(throttles=4)))
    assert find_values(metrics, "Invocations") == [(1.0, 2)]
    assert sum(value * count for value, count in find_values(metrics, "Errors")) == 1
    assert find_values(metrics, "Throttles") == [(4.0, 1)]
    assert max(value for value, _ in find_values(metrics, "Duration")) == pytest.approx(300)
    assert [metric.name for metric in summarize_function("f", [], FunctionStatus())] == ["Throttles"]


def test_an_invocation_counts_for_what_was_called_and_for_the_version_that_ran() -> None:
    """As AWS documents the dimensions: the alias, the version that it picked, or the version that was named."""
    reports = [
        FunctionReport(NOW, 0.1, False, version="1", qualifier="live"),
        FunctionReport(NOW, 0.1, True, version="2", qualifier="live"),
        FunctionReport(NOW, 0.1, True, version="2", qualifier="2"),  # a release's check
    ]
    errors = {
        tuple(metric.dimensions.values()): sum(value * count for value, count in metric.values)
        for metric in summarize_function("f", reports, FunctionStatus())
        if metric.name == "Errors"
    }
    assert errors == {("f",): 2, ("f", "f:live"): 1, ("f", "f:live", "1"): 0, ("f", "f:live", "2"): 1, ("f", "f:2"): 1}


def test_the_average_of_errors_is_their_share() -> None:
    """AWS documents it so of 5XXError."""
    answers = [GatewayAnswer(status, 1.0, NOW) for status in (200, 201, 404, 503)]
    metrics = list(summarize_api("api", "stage", answers))
    for name in ("5XXError", "4XXError"):
        values = find_values(metrics, name)
        assert sum(value * count for value, count in values) / sum(count for _, count in values) == 0.25
    assert list(summarize_api("api", "stage", [])) == []


def test_a_queue_is_as_old_as_its_oldest_message() -> None:
    """It counts even if a worker has it; messages that can be received are counted apart."""
    messages = [{"IsVisible": True, "SentTimestamp": NOW - 5}, {"IsVisible": False, "SentTimestamp": NOW - 60}]
    metrics = list(summarize_queue("q", messages, NOW))
    assert find_values(metrics, "ApproximateNumberOfMessagesVisible") == [(1.0, 1)]
    assert find_values(metrics, "ApproximateAgeOfOldestMessage") == [(60.0, 1)]
    assert find_values(list(summarize_queue("q", [], NOW)), "ApproximateAgeOfOldestMessage") == [(0.0, 1)]


def test_a_throttled_request_counts_as_a_read_or_a_write_of_its_table() -> None:
    """Its operation decides; without one there is no value."""
    metrics = list(summarize_table("t", {"GetItem": 2, "BatchGetItem": 1, "PutItem": 4}))
    assert find_values(metrics, "ReadThrottleEvents") == [(1.0, 3)]
    assert find_values(metrics, "WriteThrottleEvents") == [(1.0, 4)]
    requests = {m.dimensions["Operation"]: m.values for m in metrics if m.name == "ThrottledRequests"}
    assert requests == {"GetItem": [(1.0, 2)], "BatchGetItem": [(1.0, 1)], "PutItem": [(1.0, 4)]}
    assert [metric.name for metric in summarize_table("t", {"UpdateItem": 1})] == [
        "ThrottledRequests",
        "WriteThrottleEvents",
    ]


def test_the_reputation_is_the_share_of_the_latest_mails_that_bounced_or_were_complained_of() -> None:
    """An account without a bounce or a complaint has no value; later mails restore it."""
    good = [f"person.{n}@example.test" for n in range(19)]
    assert list(summarize_mails([])) == list(summarize_mails(good)) == []
    metrics = list(summarize_mails([*good, "Bounce+1@example.test"]))
    assert [(metric.name, metric.values) for metric in metrics] == [("Reputation.BounceRate", [(0.05, 1)])]
    assert find_values(list(summarize_mails(["complaint@example.test"])), "Reputation.ComplaintRate") == [(1.0, 1)]
    restored = ["bounce@example.test", *["person@example.test"] * REPRESENTATIVE]
    assert find_values(list(summarize_mails(restored)), "Reputation.BounceRate") == [(0.0, 1)]


def test_the_proxys_metrics_are_its_connections_and_the_wait_for_them() -> None:
    """The wait is that of the borrows since the period before, on average, in microseconds."""
    now = {**PROXY_COUNTS, "borrows": 5, "borrow_wait_s": 0.9}
    metrics = list(summarize_proxy(now, PROXY_COUNTS))
    assert {tuple(metric.dimensions.items()) for metric in metrics} == {(("ProxyName", PROXY_NAME),)}
    assert {metric.name: metric.values[0] for metric in metrics} == {
        "ClientConnections": (7.0, 1),
        "DatabaseConnections": (5.0, 1),
        "DatabaseConnectionsCurrentlyBorrowed": (3.0, 1),
        "DatabaseConnectionsCurrentlySessionPinned": (2.0, 1),
        "MaxDatabaseConnectionsAllowed": (50.0, 1),
        "DatabaseConnectionsBorrowLatency": (pytest.approx(100_000), 4),
    }
    assert len(list(summarize_proxy(now, {}))) == len(list(summarize_proxy(PROXY_COUNTS, now))) == 5


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=200))
def test_many_times_are_put_as_few_without_losing_a_call_or_the_slowest(values: list[float]) -> None:
    """Each group stands by its slowest, so a percentile is never too small."""
    groups = group_values(values)
    assert len(groups) <= MOST_VALUES
    assert sum(count for _, count in groups) == len(values)
    assert max(value for value, _ in groups) == max(values)


@given(st.integers(0, 50), st.integers(0, 50))
def test_a_share_has_a_value_for_each_event(matching: int, others: int) -> None:
    """A one for each that matches, a zero for each other, and none that stands for no event."""
    assert dict(count_share(matching, matching + others)) == {
        value: count for value, count in ((1.0, matching), (0.0, others)) if count
    }


@pytest.mark.parametrize(
    ("reports", "running_s", "most"),
    [
        ([], [], 0),
        ([make_report(ended=1, took=1)], [], 1),
        ([make_report(ended=1, took=1), make_report(ended=2, took=1)], [], 1),  # one after the other
        ([make_report(ended=2, took=2), make_report(ended=3, took=2), make_report(ended=9, took=1)], [], 2),
        ([], [-100, 1, 5], 3),  # none of them has ended
        ([make_report(ended=2, took=90)], [-100, 1, 5], 3),  # the third began after the one that has ended
        ([make_report(ended=2, took=90)], [2], 1),  # one after the other
    ],
)
def test_invocations_at_the_same_time_are_counted(
    reports: list[FunctionReport], running_s: list[float], most: int
) -> None:
    """Those that still run as well; those that followed each other are not."""
    assert find_most_concurrent(reports, [NOW + each for each in running_s]) == most


def test_invocations_that_run_are_concurrent_before_any_of_them_has_ended() -> None:
    """Nothing else is known of them yet."""
    metrics = list(summarize_function("f", [], FunctionStatus(running_since=(NOW, NOW + 1))))
    assert find_values(metrics, "ConcurrentExecutions") == [(2.0, 1)]
    assert {metric.name for metric in metrics} == {"Throttles", "ConcurrentExecutions"}


class RecordingCloudWatch:
    """A CloudWatch that keeps what is put."""

    def __init__(self) -> None:
        self.put: dict[str, list[dict[str, Any]]] = {}

    def call(self, _operation: str, **parameters: Any) -> dict[str, Any]:
        """Take one call."""
        self.put[parameters["Namespace"]] = parameters["MetricData"]
        return {}


def test_a_minute_is_put_once_with_what_the_logs_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Throttles as the difference of two looks; what was put is forgotten, and a lost minute is not put later."""
    throttles, dropped, throttled = iter([3, 5]), iter([0, 1]), iter([2, 2])
    running = iter([[], [NOW, NOW + 1, NOW + 2]])

    def fetch(_base: str, path: str) -> Any:
        if path == service_metrics.STATUS:
            counts = {"throttles": next(throttles), "recursions_dropped": next(dropped)}
            return {"functions": {"f": {**counts, "running_since": next(running)}}}
        if path == service_metrics.FAULTS:
            return {"throttled": [{"table": "t", "operation": "PutItem", "count": next(throttled)}]}
        return {"messages": {"0": {"r": {QUEUE: [{"IsVisible": True, "SentTimestamp": NOW - 30}]}}}}

    monkeypatch.setattr(service_metrics, "fetch_json", fetch)
    monkeypatch.setattr(service_metrics, "fetch_document", lambda _base, _path: b'{"messages": {}}')
    cloudwatch = RecordingCloudWatch()
    function = replace(make_function("f"), name="stack-f-1")  # which is in no output
    stack = make_stack([function], [], outputs={"High": QUEUE, "Url": "http://x/api"})
    publisher = ServiceMetricsPublisher(stack, "s", "http://g", tmp_path, cloudwatch, threading.Event())  # type: ignore[arg-type]
    log = FunctionLog(tmp_path / "f.log")
    log.record("report", requestId="1", status="error", durationMs=5.0, pid=1, version="1", qualifier="live")
    publisher.read_logs()
    publisher.publish(NOW)
    first = {datum["MetricName"]: datum for datum in cloudwatch.put["AWS/Lambda"] if len(datum["Dimensions"]) == 1}
    assert first["Errors"]["Dimensions"] == [{"Name": "FunctionName", "Value": "stack-f-1"}]
    assert (first["Errors"]["Values"], first["Errors"]["Timestamp"]) == ([1.0], NOW)
    [throttle_events] = [each for each in cloudwatch.put["AWS/DynamoDB"] if each["MetricName"] == "WriteThrottleEvents"]
    assert (throttle_events["Dimensions"], throttle_events["Counts"]) == ([{"Name": "TableName", "Value": "t"}], [2])
    del cloudwatch.put["AWS/DynamoDB"]
    [queue_name] = {datum["Dimensions"][0]["Value"] for datum in cloudwatch.put["AWS/SQS"]}
    assert queue_name == "queue-high"
    publisher.publish(NOW + 60)
    values = {datum["MetricName"]: datum["Values"] for datum in cloudwatch.put["AWS/Lambda"]}
    assert values == {"Throttles": [2.0], "RecursiveInvocationsDropped": [1.0], "ConcurrentExecutions": [3.0]}
    assert "AWS/DynamoDB" not in cloudwatch.put
    assert json.dumps(cloudwatch.put)
