"""A job that raises, or that the version gives up, is its failure; one that another service prevents is none."""

import uuid
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest

from local.events.embedded_metrics import read_metrics
from shared.deadline import Deadline
from shared.errors import Unavailable
from shared.tracing import begin_trace
from worker.app import run_batch
from worker.job_runner import JobRunner, MailSettings

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


@pytest.mark.parametrize(
    ("template", "email", "counts", "code"),
    [("no-such-mail", "a@example.test", 1, "template-unknown"), ("member-welcome", None, 0, "recipient-unknown")],
)
def test_a_job_that_the_version_gives_up_by_itself_counts(
    template: str,
    email: str | None,
    counts: int,
    code: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nobody repeats it: a mail that can't be written. That somebody has left is nothing that a version does."""
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    settings = MailSettings("desk@example.test", "en", "https://app.example.test")
    nothing = cast("Any", None)
    runner = JobRunner(nothing, nothing, nothing, nothing, settings, lambda: datetime(2026, 11, 27, tzinfo=UTC))
    payload = {"template": template, "to": "account:1", "facts": {}}
    job = {"kind": "mail", "payload": payload, "email": email, "language": "en", "priority": "high", "attempts": 1}
    outcome = runner._perform_job(job, begin_trace("r"), Deadline.from_seconds(60, lambda: 0.0))
    assert (outcome.state, outcome.error) == ("failed", code)
    assert [each.values for each in read_metrics(capsys.readouterr().out.encode())] == [(1.0,)] * counts
