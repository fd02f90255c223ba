"""Queues and schedules, from the emulator through the gateway to a real handler."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import boto3
import pytest

from local.events.event_payloads import list_failed_ids
from local.stack import QueueSource, Schedule
from tests import services
from tests.local.gateways import RunningGateway, make_function, make_stack, run_gateway, wait_until
from tests.services import EmulatorHandle, run_emulator

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

CREDENTIALS: dict[str, Any] = {
    "region_name": "eu-central-1",
    "aws_access_key_id": "local",
    "aws_secret_access_key": "local",
}
VISIBILITY_S = 1


@dataclass
class WatchedQueue:
    """A queue, and the file that its function notes batches in."""

    sqs: "SQSClient"
    url: str
    note: Path

    def send(self, *bodies: dict[str, Any]) -> None:
        """Sends messages, ten at a time."""
        entries: list[Any] = [
            {"Id": str(n), "MessageBody": json.dumps({"note": str(self.note), **body})} for n, body in enumerate(bodies)
        ]
        for start in range(0, len(entries), 10):
            self.sqs.send_message_batch(QueueUrl=self.url, Entries=entries[start : start + 10])

    def read_batches(self) -> list[list[dict[str, Any]]]:
        """Return the batches that the function saw."""
        lines = self.note.read_text().splitlines() if self.note.exists() else []
        return [json.loads(line)["records"] for line in lines]

    def count_seen(self, name: str) -> int:
        """Return how often the function saw the message of that name."""
        return sum(json.loads(record["body"])["name"] == name for batch in self.read_batches() for record in batch)

    def count_left(self) -> int:
        """Messages still in the queue, visible or not."""
        names: list[Any] = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        attributes = self.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=names)["Attributes"]
        return sum(int(value) for value in attributes.values())


@pytest.fixture
def queue(emulator: EmulatorHandle, tmp_path: Path) -> WatchedQueue:
    """Return a queue of its own."""
    return create_queue(emulator, tmp_path)


def create_queue(emulator: EmulatorHandle, home: Path, *, name: str | None = None) -> WatchedQueue:
    """Return a queue with a short visibility timeout."""
    sqs = boto3.client("sqs", endpoint_url=emulator.url, **CREDENTIALS)
    attributes: dict[Any, str] = {"VisibilityTimeout": str(VISIBILITY_S)}
    url = sqs.create_queue(QueueName=name or f"queue-{uuid4().hex[:8]}", Attributes=attributes)["QueueUrl"]
    return WatchedQueue(sqs, url, home / "note")


Start = Callable[..., RunningGateway]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a gateway on a queue."""
    opened = []

    def run(queue: WatchedQueue, endpoint: str, **changes: Any) -> RunningGateway:
        shape = {"batch_size": 10, "batch_window_s": 0.0, "max_concurrency": 2, "partial_failures": True}
        source = QueueSource(function="batch", queue_url=queue.url, **{**shape, **changes})
        context = run_gateway(
            make_stack([make_function("batch")], [], queue_sources=[source], endpoint_url=endpoint), tmp_path
        )
        opened.append(context)
        return context.__enter__()

    yield run
    for context in opened:
        context.__exit__(None, None, None)


def test_messages_reach_the_function_in_lambdas_shape_and_are_deleted(
    queue: WatchedQueue, emulator: EmulatorHandle, start: Start
) -> None:
    """Every message once, with the fields of an SQS event; the queue is empty afterwards."""
    queue.send(*({"name": str(n)} for n in range(25)))
    start(queue, emulator.url)
    wait_until(lambda: queue.count_left() == 0)
    assert [queue.count_seen(str(n)) for n in range(25)] == [1] * 25
    record = queue.read_batches()[0][0]
    assert record["eventSource"] == "aws:sqs"
    assert record["eventSourceARN"].endswith(queue.url.rpartition("/")[2])
    assert record["attributes"]["ApproximateReceiveCount"] == "1"
    assert {"messageId", "receiptHandle", "body", "messageAttributes", "md5OfBody", "awsRegion"} <= record.keys()
    assert max(len(batch) for batch in queue.read_batches()) <= 10


def test_only_the_failed_messages_of_a_batch_come_back(
    queue: WatchedQueue, emulator: EmulatorHandle, start: Start
) -> None:
    """ReportBatchItemFailures: the good one is deleted, the bad one returns after its visibility timeout."""
    queue.send({"name": "good"}, {"name": "bad", "fail": True})
    start(queue, emulator.url)
    wait_until(lambda: queue.count_seen("bad") >= 2)
    assert queue.count_seen("good") == 1
    assert queue.count_left() == 1


def test_a_crash_leaves_the_whole_batch_in_the_queue(
    queue: WatchedQueue, emulator: EmulatorHandle, start: Start
) -> None:
    """Nothing is deleted when the function raised."""
    queue.send({"name": "a", "crash": True}, {"name": "b"})
    start(queue, emulator.url)
    wait_until(lambda: queue.count_seen("a") >= 2)
    assert queue.count_left() >= 1


@pytest.mark.parametrize(
    ("payload", "failed"),
    [
        (b"null", set()),
        (b"{}", set()),
        (b'{"batchItemFailures": null}', set()),
        (b'{"batchItemFailures": []}', set()),
        (b'{"batchItemFailures": [{"itemIdentifier": "a"}]}', {"a"}),
        (b'{"batchItemFailures": [{"itemIdentifier": ""}]}', {"a", "b"}),
        (b'{"batchItemFailures": [{"itemIdentifier": null}]}', {"a", "b"}),
        (b'{"batchItemFailures": [{"identifier": "a"}]}', {"a", "b"}),
        (b'{"batchItemFailures": [{"itemIdentifier": "z"}]}', {"a", "b"}),
        (b'{"batchItemFailures": [{"itemIdentifier": ["a"]}]}', {"a", "b"}),
        (b'{"batchItemFailures": 7}', {"a", "b"}),
        (b'"text"', {"a", "b"}),
        (b"not json", {"a", "b"}),
    ],
)
def test_partial_failures_are_read_as_lambda_reads_them(payload: bytes, failed: set[str]) -> None:
    """Nothing said is a success; something wrong said is a failure of the whole batch."""
    assert list_failed_ids(payload, {"a", "b"}) == failed


def test_polling_survives_the_emulator(tmp_path: Path, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """The emulator is killed and comes back, empty, on the same port: messages sent to it then arrive."""
    port = services.find_free_port()
    monkeypatch.setattr(services, "find_free_port", lambda: port)
    with run_emulator(tmp_path) as first:
        queue = create_queue(first, tmp_path)
        gateway = start(queue, first.url)
        events = gateway.call("GET", "/_local/status").read_json()["events_pid"]
        queue.send({"name": "before"})
        wait_until(lambda: queue.count_seen("before"))
    wait_until(lambda: gateway.log("events").count(queue.url.rpartition("/")[2]) >= 2)
    with run_emulator(tmp_path) as second:
        create_queue(second, tmp_path, name=queue.url.rpartition("/")[2])
        queue.send({"name": "after"})
        wait_until(lambda: queue.count_seen("after"))
    assert gateway.call("GET", "/_local/status").read_json()["events_pid"] == events


def measure_cpu_s(pid: int) -> float:
    """Return the processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(ticks) for ticks in fields[11:13]) / os.sysconf("SC_CLK_TCK")


def test_idle_polling_costs_next_to_nothing(queue: WatchedQueue, emulator: EmulatorHandle, start: Start) -> None:
    """An empty queue polled for three seconds costs less than a tenth of a core."""
    gateway = start(queue, emulator.url)
    pid = gateway.call("GET", "/_local/status").read_json()["events_pid"]
    queue.send({"name": "awake"})
    wait_until(lambda: queue.count_seen("awake"))
    before = measure_cpu_s(pid)
    time.sleep(3)  # the measured interval
    assert measure_cpu_s(pid) - before < 0.3


def test_a_poller_that_dies_is_started_again(queue: WatchedQueue, emulator: EmulatorHandle, start: Start) -> None:
    """kill -9 of the event process: another takes over and the messages arrive."""
    gateway = start(queue, emulator.url)
    victim = gateway.call("GET", "/_local/status").read_json()["events_pid"]
    os.kill(victim, signal.SIGKILL)
    queue.send({"name": "after"})
    wait_until(lambda: queue.count_seen("after"))
    assert gateway.call("GET", "/_local/status").read_json()["events_pid"] != victim


def test_a_schedule_runs_soon_and_again(tmp_path: Path) -> None:
    """EventBridge's own event, or the constant payload, at the rate asked for."""
    note = tmp_path / "note"
    schedules = [Schedule("scheduled", 0.5, None), Schedule("scheduled", 3600, {"command": "sweep"})]
    functions = [make_function("scheduled", environment={"NOTE": str(note)})]
    with run_gateway(make_stack(functions, [], schedules=schedules), tmp_path):
        wait_until(lambda: note.exists() and len(note.read_text().splitlines()) >= 4)
    events = [json.loads(line) for line in note.read_text().splitlines()]
    assert events.count({"command": "sweep"}) == 1
    own = next(event for event in events if "command" not in event)
    assert (own["source"], own["detail-type"], own["detail"]) == ("aws.events", "Scheduled Event", {})
