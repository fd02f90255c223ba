"""CodeDeploy is told the result of each run of the hook once, and `Failed` whatever goes wrong."""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, ConnectionClosedError, NoRegionError

from pretraffic import app, report, versions
from pretraffic.report import REPORT_S
from pretraffic.versions import ATTEMPTS, CALL_S
from tests.settings.deployed import load_template
from tests.unit.pretraffic.fake_aws import FakeAws, Fault, run_fake_aws
from tests.unit.pretraffic.test_hook import CHECKS, GOOD, VERSIONS

EVENT = {"DeploymentId": "d-1", "LifecycleEventHookExecutionId": "run-1"}
PATIENCE_S = 5.0


class CountdownContext:
    """Lambda's context with a given time left."""

    def __init__(self, seconds: float) -> None:
        self._ends = time.monotonic() + seconds

    def get_remaining_time_in_millis(self) -> int:
        return int((self._ends - time.monotonic()) * 1000)


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeAws]:
    """AWS for the hook's real clients, which wait and pause for less than they do in Lambda."""
    for module, name, seconds in (
        (versions, "READ_S", 0.3),
        (versions, "PAUSE_S", 0.01),
        (versions, "FIRST_WAIT_S", 0.01),
        (report, "READ_S", 0.3),
        (report, "LONGEST_PAUSE_S", 0.01),
    ):
        monkeypatch.setattr(module, name, seconds)
    with run_fake_aws(dict(GOOD)) as started:
        for name, value in {
            "AWS_ENDPOINT_URL": started.url,
            "AWS_DEFAULT_REGION": "eu-central-1",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "VERSIONS": json.dumps(VERSIONS),
            "USER_POOL_CLIENT_ID": "client",
        }.items():
            monkeypatch.setenv(name, value)
        yield started


def run_hook(*, seconds: float = 300.0) -> None:
    """Run the hook `seconds` before Lambda ends it."""
    app.handler(EVENT, CountdownContext(seconds))


def make_report(status: str) -> dict[str, str]:
    """Return what CodeDeploy gets."""
    return {"deploymentId": "d-1", "lifecycleEventHookExecutionId": "run-1", "status": status}


def test_a_release_whose_versions_all_pass_succeeds(aws: FakeAws) -> None:
    """It is reported once."""
    run_hook()
    assert aws.invoked == list(CHECKS)
    assert aws.reports == [make_report("Succeeded")]


def test_a_release_with_a_version_that_does_not_pass_fails(aws: FakeAws) -> None:
    """No version after it is called."""
    aws.answers["pages"] = {"statusCode": 500, "body": "{}"}
    run_hook()
    assert aws.invoked == ["health", *["pages"] * ATTEMPTS]
    assert aws.reports == [make_report("Failed")]


@pytest.mark.parametrize("fault", ["hang", "close", "unavailable", "no JSON", "raise"])
def test_a_call_that_fails_is_repeated_twice(aws: FakeAws, fault: Fault) -> None:
    """By the hook alone: the client repeats nothing, so a call takes no longer than it says."""
    aws.invoking = [fault] * (ATTEMPTS - 1)
    run_hook()
    assert aws.reports == [make_report("Succeeded")]
    aws.invoked.clear()
    aws.invoking = [fault] * ATTEMPTS
    run_hook()
    assert aws.invoked == ["health"] * ATTEMPTS
    assert aws.reports[1:] == [make_report("Failed")]


def test_throttled_calls_are_repeated_for_longer(aws: FakeAws) -> None:
    """Lambda has no execution free."""
    aws.invoking = ["throttle"] * (2 * ATTEMPTS)
    run_hook()
    assert aws.reports == [make_report("Succeeded")]


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}", '{"health": 7}', '{"health": null}'])
def test_versions_that_can_not_be_read_fail(aws: FakeAws, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """The hook's own settings are wrong."""
    monkeypatch.setenv("VERSIONS", text)
    run_hook()
    assert aws.invoked == []
    assert aws.reports == [make_report("Failed")]


@pytest.mark.parametrize("variable", ["VERSIONS", "USER_POOL_CLIENT_ID"])
def test_a_missing_setting_fails(aws: FakeAws, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    """The hook is deployed without a variable."""
    monkeypatch.delenv(variable)
    run_hook()
    assert aws.reports == [make_report("Failed")]


@pytest.mark.parametrize(
    "answer", [7, "text", {"statusCode": {}, "body": 7}, {"statusCode": 403, "body": "[" * 100_000}]
)
def test_an_answer_of_any_form_fails(aws: FakeAws, answer: Any) -> None:
    """JSON that no function answers."""
    aws.answers["claims"] = answer
    run_hook()
    assert aws.reports == [make_report("Failed")]


def break_clients(monkeypatch: pytest.MonkeyPatch, service: str, failures: int) -> None:
    """Let boto3 raise an exception for the first clients of a service."""
    make_client: Callable[..., Any] = boto3.client
    left = [failures]

    def make_or_raise(name: str, **options: Any) -> Any:
        if name == service and left[0]:
            left[0] -= 1
            raise NoRegionError
        return make_client(name, **options)

    monkeypatch.setattr(boto3, "client", make_or_raise)


def test_a_client_that_can_not_be_made_fails(aws: FakeAws, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client that invokes; the other one reports it."""
    break_clients(monkeypatch, "lambda", 1)
    run_hook()
    assert aws.reports == [make_report("Failed")]


@pytest.mark.parametrize("fault", ["hang", "close", "unavailable", "throttle"])
def test_a_report_that_fails_is_repeated_unchanged(aws: FakeAws, fault: Fault) -> None:
    """It is sent again until CodeDeploy has taken it, once."""
    aws.reporting = [fault] * (report.ATTEMPTS - 1)
    run_hook()
    assert aws.report_attempts == report.ATTEMPTS
    assert aws.reports == [make_report("Succeeded")]
    assert aws.invoked == list(CHECKS)


def test_a_report_is_repeated_if_its_client_can_not_be_made(aws: FakeAws, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each attempt makes a new client."""
    break_clients(monkeypatch, "codedeploy", report.ATTEMPTS - 1)
    run_hook()
    assert aws.reports == [make_report("Succeeded")]


def test_a_report_that_stays_impossible_raises(aws: FakeAws) -> None:
    """The function's errors have an alarm, which ends the deployment."""
    aws.reporting = ["close"] * 100
    with pytest.raises(ConnectionClosedError):
        run_hook()
    aws.reporting = ["refuse"] * 100
    with pytest.raises(ClientError, match="InvalidLifecycleEventHookExecutionIdException"):
        run_hook()
    assert aws.report_attempts == 2 * report.ATTEMPTS
    assert aws.reports == []


def test_a_result_that_codedeploy_has_is_not_reported_again(aws: FakeAws) -> None:
    """The answer to the first report was lost, or Lambda runs the hook a second time."""
    aws.reporting = ["close", "repeat"]
    run_hook()
    assert aws.report_attempts == 2


@pytest.mark.parametrize(
    "event",
    [{}, {"DeploymentId": "d-1"}, {"LifecycleEventHookExecutionId": "run-1"}, {"deploymentId": "d-1"}],
)
def test_an_event_that_names_no_run_raises(aws: FakeAws, event: Mapping[str, str]) -> None:
    """There is nobody to report to, so no version is called."""
    with pytest.raises(KeyError):
        app.handler(event, CountdownContext(300.0))
    assert (aws.invoked, aws.report_attempts) == ([], 0)


@pytest.mark.parametrize("seconds", [0.0, REPORT_S - 1, REPORT_S + CALL_S - 1])
def test_a_run_without_time_for_a_call_fails(aws: FakeAws, seconds: float) -> None:
    """It reports at once."""
    run_hook(seconds=seconds)
    assert aws.invoked == []
    assert aws.reports == [make_report("Failed")]


def test_a_call_that_never_ends_fails_when_the_time_for_the_report_begins(
    aws: FakeAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as the resolution of a name, which no timeout of the client's ends."""
    ended = threading.Event()

    class HangingClient:
        def invoke(self, **_call: object) -> Mapping[str, Any]:
            ended.wait(PATIENCE_S)
            return {}

    monkeypatch.setattr(versions, "CALL_S", 0.0)
    monkeypatch.setattr(app, "make_lambda", HangingClient)
    began = time.monotonic()
    run_hook(seconds=REPORT_S + 0.2)
    took_s = time.monotonic() - began
    ended.set()
    assert aws.reports == [make_report("Failed")]
    assert took_s < PATIENCE_S


def test_a_failed_check_is_logged_without_the_message(
    aws: FakeAws, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its class and the places in the code."""
    monkeypatch.setenv("VERSIONS", "somebody@example.test")
    with caplog.at_level("INFO", logger="pretraffic"):
        run_hook()
    [failed, reported] = [json.loads(record.message) for record in caplog.records]
    assert (failed["message"], failed["error"]) == ("check_failed", "JSONDecodeError")
    assert any("pretraffic/app.py" in frame and "check_versions" in frame for frame in failed["frames"])
    assert reported == {"message": "reported", "status": "Failed"}
    assert "example.test" not in caplog.text


def test_the_functions_timeout_has_room_for_all_attempts_and_the_report() -> None:
    """Each attempt may take as long as a function of the API may."""
    resources = load_template()["Resources"]
    timeout_s = resources["PreTrafficFunction"]["Properties"]["Timeout"]
    pauses_s = sum(report.LONGEST_PAUSE_S * attempt for attempt in range(1, report.ATTEMPTS))
    assert report.ATTEMPTS * (report.CONNECT_S + report.READ_S) + pauses_s <= REPORT_S
    assert timeout_s >= ATTEMPTS * CALL_S + (ATTEMPTS - 1) * versions.PAUSE_S + REPORT_S
    assert load_template()["Globals"]["Function"]["Timeout"] < versions.READ_S
