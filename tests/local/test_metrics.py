"""Metrics in the functions' logs: how they are read, and that the emulator's alarms see them."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from local.emulator import REGION
from local.events.cloudwatch import MAX_DATA_PER_CALL, CloudWatch, MetricsRejected
from local.events.embedded_metrics import MetricDatum, read_metrics
from local.events.metric_publisher import MetricPublisher, split_batches
from local.stack import Schedule
from tests import services
from tests.local.gateways import make_function, make_stack, run_gateway, wait_until
from tests.services import EmulatorHandle, run_emulator
from tests.template.translation import load_template

AT_MS = 1_795_000_000_123
PERIOD_S = 2


def make_line(*, namespace: str = "Test", at_ms: int = AT_MS, **members: Any) -> bytes:
    """Return a line as the functions write it: every number a count, under the dimension `service`."""
    names = [{"Name": name, "Unit": "Count"} for name in members]
    directive = {"Namespace": namespace, "Dimensions": [["service"]], "Metrics": names}
    described = {"Timestamp": at_ms, "CloudWatchMetrics": [directive]}
    return json.dumps({"_aws": described, "service": "health", **members}).encode() + b"\n"


def make_described_line(*directives: Any, **members: Any) -> bytes:
    """Return a line of these directives."""
    return json.dumps({"_aws": {"Timestamp": AT_MS, "CloudWatchMetrics": list(directives)}, **members}).encode()


def make_datum(name: str = "A", *values: float, unit: str = "Count", **dimensions: str) -> MetricDatum:
    """Return the datum that is expected of a metric."""
    return MetricDatum("Test", name, unit, AT_MS, tuple(dimensions.items()), values)


def test_every_metric_of_a_line_is_read_under_its_unit_and_dimension() -> None:
    """Between lines that hold none; an array is all of its values."""
    text = b'START\n{"level": "INFO"}\n' + make_line(A=1, B=[2, 0.5]) + b"END\n"
    assert list(read_metrics(text)) == [
        make_datum("A", 1.0, service="health"),
        make_datum("B", 2.0, 0.5, service="health"),
    ]


@pytest.mark.parametrize(("values", "said"), [((2.0,), {"Value": 2.0}), ((2.0, 0.5), {"Values": [2.0, 0.5]})])
def test_a_metric_is_put_with_its_unit_and_the_time_of_its_line(
    values: tuple[float, ...], said: dict[str, Any]
) -> None:
    """The time is in seconds; two values of one line are put as two values."""
    assert make_datum("A", *values, service="health").to_json() == {
        "MetricName": "A",
        "Dimensions": [{"Name": "service", "Value": "health"}],
        "Timestamp": 1_795_000_000.123,
        "Unit": "Count",
        **said,
    }


def test_each_set_of_dimensions_makes_a_metric_of_its_own() -> None:
    """The empty set too; one that names what the line does not say makes none."""
    sets = [["function", "stage"], ["function"], [], ["unknown"], ["number"]]
    directive = {"Namespace": "Test", "Dimensions": sets, "Metrics": [{"Name": "A", "Unit": "Seconds"}]}
    found = read_metrics(make_described_line(directive, function="claims", stage="api", number=7, A=3))
    expected = [{"function": "claims", "stage": "api"}, {"function": "claims"}, {}]
    assert list(found) == [make_datum("A", 3.0, unit="Seconds", **dimensions) for dimensions in expected]


def test_every_directive_of_a_line_is_read() -> None:
    """Directives without dimensions or without a unit are read too."""
    directives = [{"Namespace": "Test", "Metrics": [{"Name": name}]} for name in ("A", "B")]
    assert list(read_metrics(make_described_line(*directives, A=1, B=2))) == [
        make_datum("A", 1.0, unit="None"),
        make_datum("B", 2.0, unit="None"),
    ]


@pytest.mark.parametrize("value", ["text", None, True, {"a": 1}, [], [1, "text"], float("nan"), [0] * 101])
def test_a_member_that_is_no_number_is_no_metric(value: Any) -> None:
    """The others of its line are."""
    assert list(read_metrics(make_line(A=value, B=1))) == [make_datum("B", 1.0, service="health")]


@pytest.mark.parametrize(
    "broken",
    [
        make_line(A=1)[:-20],
        b'"_aws"',
        b'["_aws"]',
        b'{"_aws": 7}',
        b'{"_aws": {"Timestamp": "soon", "CloudWatchMetrics": []}}',
        make_described_line({"Namespace": None, "Metrics": [{"Name": "A"}]}, A=1),
        make_described_line({"Namespace": "Test", "Metrics": [{"Name": 7}]}, A=1),
        make_described_line({"Namespace": "Test", "Metrics": ["A"]}, A=1),
        make_described_line(7),
        b'{"_aws": ' + b"[" * 100_000,
    ],
)
def test_a_line_that_can_not_be_read_is_passed_over(broken: bytes) -> None:
    """The next line is read."""
    assert list(read_metrics(broken + b"\n" + make_line(A=1))) == [make_datum("A", 1.0, service="health")]


def test_a_call_takes_one_namespace_and_no_more_than_it_may() -> None:
    """Metrics keep the order in which they were found."""
    other = MetricDatum("Other", "A", "Count", AT_MS, (), (1.0,))
    found = [make_datum("A", float(n)) for n in range(MAX_DATA_PER_CALL + 1)]
    made = list(split_batches([found[0], other, *found[1:]]))
    assert made == [("Other", [other]), ("Test", found[:MAX_DATA_PER_CALL]), ("Test", found[MAX_DATA_PER_CALL:])]


@contextmanager
def run_follower(path: Path, url: str) -> Iterator[None]:
    """Run a follower of one log, stopped when the block ends."""
    stop = threading.Event()
    thread = threading.Thread(target=MetricPublisher([path], CloudWatch(url, REGION), stop).run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def list_points(cloudwatch: CloudWatch, namespace: str, name: str = "Unhealthy") -> list[dict[str, Any]]:
    """Return the datapoints of a metric of the health function, of the last hour."""
    answer = cloudwatch.call(
        "GetMetricStatistics",
        Namespace=namespace,
        MetricName=name,
        Dimensions=[{"Name": "service", "Value": "health"}],
        StartTime=time.time() - 3600,
        EndTime=time.time() + 60,
        Period=3600,
        Statistics=["Sum", "SampleCount", "Maximum"],
    )
    return list(answer["Datapoints"])


def sum_points(cloudwatch: CloudWatch, namespace: str) -> float:
    """Return the sum of all that was put."""
    return sum(float(point["Sum"]) for point in list_points(cloudwatch, namespace))


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def read_now_ms() -> int:
    return int(time.time() * 1000)


def test_the_alarm_of_the_template_follows_the_log(emulator: EmulatorHandle, tmp_path: Path) -> None:
    """ALARM with the first unhealthy report, OK again with a healthy one when the other is older than its periods."""
    namespace, path = f"Test-{uuid4().hex}", tmp_path / "HealthFunction.log"
    cloudwatch = CloudWatch(emulator.url, REGION)
    cloudwatch.call("PutMetricAlarm", **build_unhealthy_alarm(namespace))

    def make_condition(state: str, value: float) -> Callable[[], bool]:
        def look() -> bool:
            append(path, make_line(namespace=namespace, at_ms=read_now_ms(), Unhealthy=value, Degraded=0.0))
            return read_state(cloudwatch, namespace) == state

        return look

    assert read_state(cloudwatch, namespace) == "INSUFFICIENT_DATA"
    with run_follower(path, emulator.url):
        for state, value in (("OK", 0.0), ("ALARM", 1.0), ("OK", 0.0)):
            wait_until(make_condition(state, value))


def build_unhealthy_alarm(namespace: str) -> dict[str, Any]:
    """Return the template's UnhealthyAlarm, of a namespace of its own and with a short period."""
    template = load_template()["Resources"]["UnhealthyAlarm"]["Properties"]
    actions: dict[str, Any] = {"AlarmActions": [], "OKActions": []}
    return {**template, **actions, "AlarmName": namespace, "Namespace": namespace, "Period": PERIOD_S}


def read_state(cloudwatch: CloudWatch, name: str) -> str:
    """Return an alarm's state."""
    [alarm] = cloudwatch.call("DescribeAlarms", AlarmNames=[name])["MetricAlarms"]
    return str(alarm["StateValue"])


def test_metrics_wait_for_an_emulator_that_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is killed and comes back, empty, on the same port: what was logged meanwhile arrives, each once."""
    port, path = services.find_free_port(), tmp_path / "log"
    monkeypatch.setattr(services, "find_free_port", lambda: port)
    with run_emulator(tmp_path) as first:
        cloudwatch = CloudWatch(first.url, REGION)
        with run_follower(path, first.url):
            append(path, make_line(at_ms=read_now_ms(), Unhealthy=1))
            wait_until(lambda: sum_points(cloudwatch, "Test") == 1)
            first.kill()
            append(path, make_line(at_ms=read_now_ms(), Unhealthy=10))
            wait_until(lambda: "metrics wait" in caplog.text)
            with run_emulator(tmp_path):
                append(path, make_line(at_ms=read_now_ms(), Unhealthy=[100, 1000]))
                wait_until(lambda: sum_points(cloudwatch, "Test") == 1110)
                [point] = list_points(cloudwatch, "Test")
    assert (point["SampleCount"], point["Maximum"]) == (3, 1000)


def test_a_refusal_holds_up_nothing(tmp_path: Path) -> None:
    """Metrics that CloudWatch refuses are given up; later ones are put."""
    taken: list[float] = []

    class Picky(CloudWatch):
        def put_metrics(self, namespace: str, data: Any) -> None:
            if namespace == "Bad":
                raise MetricsRejected("no")
            taken.extend(datum.values[0] for datum in data)

    stop, path = threading.Event(), tmp_path / "log"
    follower = threading.Thread(target=MetricPublisher([path], Picky("http://127.0.0.1:9", REGION), stop).run)
    append(path, make_line(namespace="Bad", A=1) + make_line(A=2))
    follower.start()
    try:
        wait_until(lambda: taken == [2.0])
    finally:
        stop.set()
        follower.join()


def test_what_a_function_prints_becomes_a_datapoint(emulator: EmulatorHandle, tmp_path: Path) -> None:
    """A scheduled handler prints to its log, and everything runs as the gateway starts it."""
    namespace = f"Test-{uuid4().hex}"
    functions = [make_function("measure", environment={"NAMESPACE": namespace})]
    schedules = [Schedule("measure", 3600, {"Unhealthy": 1})]
    description = make_stack(functions, [], schedules=schedules, endpoint_url=emulator.url)
    cloudwatch = CloudWatch(emulator.url, REGION)
    with run_gateway(description, tmp_path):
        [point] = wait_until(lambda: list_points(cloudwatch, namespace))
    assert (point["Sum"], point["SampleCount"], point["Unit"]) == (1, 1, "Count")
