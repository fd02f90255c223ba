"""The handler of the job queues: which messages come back, how soon, and what the worker is made of."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

import pytest

from shared.aws.cognito import CognitoIdentityProvider
from shared.aws.sqs import format_message
from shared.background import BackgroundInvocation
from shared.deadline import Deadline
from shared.errors import Unavailable
from tests.fakes.queues import FakeJobQueues
from tests.gateway_events import QUEUE_ARN, build_batch_event
from worker import app
from worker.app import MOST_DELIVERIES, run_batch
from worker.circuit_protected import CircuitProtectedIdentityProvider, CircuitProtectedMailer
from worker.dynamodb_mail_pacing import DynamoDbPacingStore
from worker.job_runner import JobRunner, MailSettings, NotEnoughTime
from worker.mail_pacing import MailRateLimiter
from worker.priority_pacing import PacingRules
from worker.ses import SesMailer

JOBS = [UUID(int=number) for number in (1, 2, 3)]
DEADLINE = Deadline(60.0, lambda: 0.0)
ENVIRON = {
    "AWS_DEFAULT_REGION": "eu-central-1",
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "MAIL_SENDER": "no-reply@interdomestik.test",
    "USER_POOL_ID": "eu-central-1_pool",
    "DESK_MAILBOX": "desk@interdomestik.test",
    "DESK_LANGUAGE": "mk",
    "APP_URL": "https://app.example.test",
    "STATE_TABLE": "state",
    "MAIL_RATE": "7",
    "MAIL_BURST": "2",
}


@dataclass
class ScriptedRunner:
    """A job runner whose jobs end as they are told; `runs` has what it was called with."""

    ends: dict[UUID, Exception] = field(default_factory=dict)
    runs: list[tuple[UUID, Deadline, int]] = field(default_factory=list)
    queues: FakeJobQueues = field(default_factory=FakeJobQueues)

    def run_job(self, job_id: UUID, deadline: Deadline, *, hops: int) -> str:
        """See JobRunner.run_job."""
        self.runs.append((job_id, deadline, hops))
        if job_id in self.ends:
            raise self.ends[job_id]
        return "done"

    @staticmethod
    def uniform(_low: float, high: float) -> float:
        """Draw the longest wait."""
        return high

    def run(self, *, received: int = 1, hops: int = 0) -> list[str]:
        """Run a batch of three jobs; return the places of those that have to come again."""
        event = build_batch_event(*(format_message(job, hops=hops) for job in JOBS), received=received)
        answer = run_batch(event, DEADLINE, cast("JobRunner", self))
        assert list(answer) == ["batchItemFailures"]
        return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """Return the errors that are logged."""
    lines: list[tuple[str, dict[str, Any]]] = []
    monkeypatch.setattr(app, "logger", SimpleNamespace(error=lambda event, extra: lines.append((event, extra))))
    return lines


def test_all_jobs_of_a_batch_are_done_with_its_deadline_and_its_hops() -> None:
    """None comes again."""
    runner = ScriptedRunner()
    assert runner.run(hops=3) == []
    assert runner.runs == [(job, DEADLINE, 3) for job in JOBS]
    assert runner.queues.shown_again == {}


def test_a_batch_whose_jobs_all_fail_is_no_failed_invocation(log: list[tuple[str, dict[str, Any]]]) -> None:
    """Lambda would count an error, and the messages would wait for their visibility timeout."""
    runner = ScriptedRunner({job: NotEnoughTime() for job in JOBS})
    assert runner.run() == ["0", "1", "2"]
    assert len(log) == 3


def test_after_an_outage_the_rest_of_the_batch_is_not_attempted(log: list[tuple[str, dict[str, Any]]]) -> None:
    """Each job of it would only wait for the database too."""
    runner = ScriptedRunner({JOBS[1]: Unavailable("database")})
    assert runner.run() == ["1", "2"]
    assert [job for job, _, _ in runner.runs] == JOBS[:2]
    assert runner.queues.shown_again == {"1": 10.0, "2": 10.0}
    assert [(event, line["message_id"], line["error"]) for event, line in log] == [
        ("job_not_done", "1", "Unavailable"),
        ("job_not_done", "2", "Unavailable"),
    ]


def test_a_job_for_which_too_little_time_is_left_holds_up_no_other(log: list[tuple[str, dict[str, Any]]]) -> None:
    """Another may need none: its job is done already."""
    runner = ScriptedRunner({JOBS[0]: NotEnoughTime()})
    assert runner.run() == ["0"]
    assert len(runner.runs) == 3
    assert [line["error"] for _, line in log] == ["NotEnoughTime"]


@pytest.mark.parametrize(("received", "delay_s"), [(1, 10.0), (2, 30.0), (4, 270.0)])
def test_a_message_comes_back_later_each_time(
    log: list[tuple[str, dict[str, Any]]], received: int, delay_s: float
) -> None:
    """It stays in its own queue."""
    runner = ScriptedRunner({JOBS[0]: NotEnoughTime()})
    delayed: list[tuple[str, str, float]] = []

    def delay_message(queue_arn: str, receipt: str, *, delay_s: float) -> bool:
        delayed.append((queue_arn, receipt, delay_s))
        return True

    runner.queues.delay_message = delay_message  # type: ignore[method-assign]
    runner.run(received=received)
    assert delayed == [(QUEUE_ARN, "0", delay_s)]


@pytest.mark.parametrize("received", [MOST_DELIVERIES, MOST_DELIVERIES + 1])
def test_the_last_delivery_of_a_message_ends_it(log: list[tuple[str, dict[str, Any]]], received: int) -> None:
    """SQS would move it to the dead-letter queue; the relay publishes the job again."""
    runner = ScriptedRunner({JOBS[0]: Unavailable("database")})
    assert runner.run(received=received) == []
    assert runner.queues.shown_again == {}
    assert len(log) == 3


def test_a_job_that_raises_comes_back_by_its_visibility_timeout(log: list[tuple[str, dict[str, Any]]]) -> None:
    """It is no outage: the others are done."""
    runner = ScriptedRunner({JOBS[0]: LookupError("besa@example.test")})
    assert runner.run(received=MOST_DELIVERIES) == ["0"]
    assert len(runner.runs) == 3
    assert runner.queues.shown_again == {}
    [(event, line)] = log
    assert (event, line["message_id"], line["error"]) == ("job_not_done", "0", "LookupError")
    assert "besa" not in str(line)


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> Iterator[JobRunner]:
    """Yield the worker of an environment with these variables."""
    for name, value in ENVIRON.items():
        monkeypatch.setenv(name, value)
    app.get_job_runner.cache_clear()
    yield app.get_job_runner()
    app.get_job_runner.cache_clear()


def test_the_worker_is_built_once_from_its_settings(built: JobRunner) -> None:
    """The settings give it the texts and the sender of mails."""
    assert app.get_job_runner() is built
    assert built.mail_settings == MailSettings(
        "desk@interdomestik.test", "mk", "https://app.example.test", built.mail_settings.time_zone
    )
    assert str(built.mail_settings.time_zone) == "Europe/Belgrade"
    assert built.clock().tzinfo is not None
    assert type(built.database).__name__ == "Database"
    assert type(built.queues).__name__ == "SqsJobQueues"


def test_each_service_stands_behind_its_own_circuit(built: JobRunner) -> None:
    """The kind of job decides which one; the worker waits a second for the table of circuits."""
    mailer, people = built.mailer, built.identities
    assert isinstance(mailer, CircuitProtectedMailer)
    assert isinstance(people, CircuitProtectedIdentityProvider)
    assert {kind: circuit.name for kind, circuit in cast("Any", built.circuits).items()} == {
        "mail": "email",
        "identity": "identity",
    }
    assert (mailer._circuit, people._circuit) == (built.circuits["mail"], built.circuits["identity"])
    assert mailer._circuit._client.patience_s == 1.0
    assert isinstance(mailer._mailer, SesMailer)
    assert mailer._mailer._sender == "no-reply@interdomestik.test"
    assert mailer._mailer._client.meta.service_model.service_name == "sesv2"
    assert isinstance(people._identities, CognitoIdentityProvider)
    assert people._identities._client.meta.service_model.service_name == "cognito-idp"
    assert people._identities._pool_id == "eu-central-1_pool"


def test_mails_keep_the_pace_of_the_settings(built: JobRunner) -> None:
    """The state table keeps the pace of all workers together."""
    limiter = cast("Any", built.wait_for_slot).__self__
    assert isinstance(limiter, MailRateLimiter)
    assert limiter.rules == PacingRules.from_rate(7.0, 2)
    assert limiter.sleep.__name__ == "sleep"
    assert isinstance(limiter.store, DynamoDbPacingStore)
    assert limiter.store._table == "state"
    assert limiter.store._client.meta.service_model.service_name == "dynamodb"


def test_the_entry_point_runs_the_batch_with_the_time_that_lambda_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    """It uses the one worker of the environment."""
    runner, event = ScriptedRunner(), build_batch_event(format_message(JOBS[0]))
    monkeypatch.setattr(app, "get_job_runner", lambda: runner)
    context = SimpleNamespace(aws_request_id="r-1", get_remaining_time_in_millis=lambda: 60_000)
    assert app.handler(event, cast("BackgroundInvocation", context)) == {"batchItemFailures": []}
    [(job_id, deadline, hops)] = runner.runs
    assert (job_id, hops) == (JOBS[0], 0)
    assert 58 < deadline.seconds_left <= 59.5
