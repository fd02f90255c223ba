"""A job that raises is a failure of the worker's version; one that the outage of another service prevents is none."""

import uuid
from types import SimpleNamespace
from typing import Any, cast

import pytest

from local.events.embedded_metrics import read_metrics
from shared.deadline import Deadline
from shared.errors import Unavailable
from worker.app import run_batch
from worker.job_runner import JobRunner

VARIABLES = {"STACK_NAME": "s", "POWERTOOLS_SERVICE_NAME": "worker", "AWS_LAMBDA_FUNCTION_VERSION": "7"}


def count_failures(
    error: Exception, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> list[dict[str, str]]:
    """Return the dimensions of what a batch of one message has counted, whose job raises."""
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)

    def run_job(_job_id: uuid.UUID, _deadline: Deadline, *, hops: int) -> str:
        raise error

    queues = SimpleNamespace(delay_message=lambda *_arguments, **_options: True)
    runner = SimpleNamespace(run_job=run_job, queues=queues, uniform=lambda low, _high: low)
    record: dict[str, Any] = {
        "messageId": "m",
        "receiptHandle": "r",
        "body": f'{{"job_id": "{uuid.uuid4()}"}}',
        "attributes": {"ApproximateReceiveCount": "1"},
        "messageAttributes": {},
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:eu-central-1:111122223333:high",
        "awsRegion": "eu-central-1",
    }
    answer = run_batch({"Records": [record]}, Deadline.from_seconds(60, lambda: 0.0), cast("JobRunner", runner))
    assert answer == {"batchItemFailures": [{"itemIdentifier": "m"}]}
    return [dict(each.dimensions) for each in read_metrics(capsys.readouterr().out.encode())]


def test_a_job_that_raises_counts(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Under the version's number."""
    counted = count_failures(LookupError(), capsys, monkeypatch)
    assert counted == [{"stack": "s", "service": "worker", "version": "7"}]


def test_a_job_without_a_database_does_not(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """It is repeated when there is one."""
    assert count_failures(Unavailable("database"), capsys, monkeypatch) == []
