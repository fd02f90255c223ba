"""The hook lets a release pass only if every new version gives the answer that it must give."""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from pretraffic.checks import MOST_CHARACTERS, build_checks, draw_caller
from pretraffic.versions import ATTEMPTS, CALL_S, FIRST_WAIT_S, LONGEST_WAIT_S, PAUSE_S, VersionChecker

CHECKS = build_checks("client", draw_caller(Random(1)))
VERSIONS = {name: f"arn:aws:lambda:eu-central-1:111122223333:function:{name}:7" for name in CHECKS}
FORBIDDEN = {"statusCode": 403, "body": json.dumps({"type": "urn:interdomestik:problem:forbidden"})}
GOOD: Mapping[str, dict[str, Any]] = {
    **dict.fromkeys(("agents", "members", "claims", "jobs"), FORBIDDEN),
    **{name: {"statusCode": 200, "body": "{}"} for name in ("health", "pages")},
    "worker": {"batchItemFailures": []},
}
TIME_S = 240.0  # as the function's timeout leaves


def make_error(code: str) -> ClientError:
    """Return an error that AWS answers a call with."""
    return ClientError({"Error": {"Code": code, "Message": "of somebody@example.test"}}, "Invoke")


@dataclass
class Simulation:
    """Versions that answer each event with the next of their answers, the last one for ever, and the time that passes.

    A call takes `call_s` seconds, a pause as long as it says.
    """

    answers: dict[str, list[Any]]
    call_s: float = 0.0
    time_left_s: float = TIME_S
    calls: list[str] = field(default_factory=list)
    times_left_s: list[float] = field(default_factory=list)  # when the calls began
    pauses: list[float] = field(default_factory=list)

    def invoke(self, *, FunctionName: str, Payload: bytes) -> Mapping[str, Any]:  # noqa: N803 - AWS's names
        assert json.loads(Payload)
        name = FunctionName.split(":")[-2]
        self.calls.append(name)
        self.times_left_s.append(self.time_left_s)
        self.time_left_s -= self.call_s
        answers = self.answers[name]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, bytes):
            return {"Payload": io.BytesIO(answer)}
        failed = {"FunctionError": "Unhandled"} if "errorType" in answer else {}
        return {"Payload": io.BytesIO(json.dumps(answer).encode()), **failed}

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        if seconds:
            self.pauses.append(seconds)
            self.time_left_s -= seconds

    def make_checker(self, seed: int = 1) -> VersionChecker:
        """Return a checker of these versions."""
        return VersionChecker(self, Random(seed), self.sleep, lambda: self.time_left_s)

    def check_release(self) -> bool:
        """Return whether the release passes."""
        return self.make_checker().check_release(VERSIONS, CHECKS)

    def find_fault(self, name: str) -> str:
        """Return what is wrong with one version."""
        return self.make_checker().find_fault(VERSIONS[name], CHECKS[name])


def simulate(**answers: list[Any]) -> Simulation:
    """Return versions that answer as they must, except for those that are given."""
    return Simulation({**{name: [answer] for name, answer in GOOD.items()}, **answers})


def test_a_release_whose_versions_all_answer_passes() -> None:
    """Each is called once, without a pause."""
    release = simulate()
    assert release.check_release()
    assert sorted(release.calls) == sorted(CHECKS)
    assert release.pauses == []


@pytest.mark.parametrize("name", CHECKS)
def test_a_version_that_raises_is_refused(name: str) -> None:
    """After all attempts; no version after it is called any more."""
    release = simulate(**{name: [{"errorType": "Runtime.ImportModuleError"}]})
    assert not release.check_release()
    before = list(CHECKS)[: list(CHECKS).index(name)]
    assert release.calls == [*before, *[name] * ATTEMPTS]
    assert release.pauses == [PAUSE_S] * (ATTEMPTS - 1)
    assert release.find_fault(name) == "raised Runtime.ImportModuleError"


@pytest.mark.parametrize(
    ("name", "answer", "fault"),
    [
        ("health", {"statusCode": 503, "body": '{"status": "unhealthy"}'}, "answered 503"),
        ("pages", {"statusCode": 404, "body": "{}"}, "answered 404"),
        ("members", {"statusCode": 200, "body": '{"items": []}'}, "answered 200"),
        ("claims", {"statusCode": 503, "body": '{"type": "urn:x:unavailable"}'}, "answered 503 urn:x:unavailable"),
        ("jobs", {"statusCode": 403, "body": '{"type": "urn:x:other"}'}, "answered 403 urn:x:other"),
        ("worker", {"batchItemFailures": [{"itemIdentifier": "1"}]}, "answered None"),
        ("worker", b"not JSON", "answered no JSON"),
        ("worker", b"\xff", "answered no JSON"),
        ("worker", b"", "answered no JSON"),
        ("worker", b"null", "raised NoneType"),
        ("agents", b"[403]", "raised list"),
        ("agents", {"statusCode": 403, "body": ["urn:x:forbidden"]}, "answered 403"),
        ("agents", {"statusCode": 500, "body": "7"}, "answered 500"),
    ],
)
def test_another_answer_is_refused(name: str, answer: Any, fault: str) -> None:
    """An answer that lets the read pass is refused, and so is one that no function of ours gives."""
    release = simulate(**{name: [answer]})
    assert not release.check_release()
    assert release.find_fault(name) == fault


def test_what_is_logged_of_an_answer_is_short() -> None:
    """The log line stays short whatever a broken version answers."""
    fault = simulate(agents=[{"statusCode": 500, "body": json.dumps({"type": "x" * 5000})}]).find_fault("agents")
    assert len(fault) == MOST_CHARACTERS


def test_a_version_that_is_not_ready_yet_is_called_again() -> None:
    """Lambda refuses a version that was published a moment ago."""
    refused = make_error("ResourceConflictException")
    assert simulate(members=[refused, GOOD["members"]]).check_release()
    release = simulate(members=[refused])
    assert release.find_fault("members") == "could not be invoked: ClientError ResourceConflictException"
    assert release.calls == ["members"] * ATTEMPTS


@pytest.mark.parametrize("code", ["TooManyRequestsException", "EC2ThrottledException"])
def test_throttled_calls_are_no_attempts(code: str) -> None:
    """Seven hooks at once meet the ten executions of a new account."""
    release = simulate(members=[*[make_error(code)] * (3 * ATTEMPTS), GOOD["members"]])
    assert release.check_release()
    assert release.calls.count("members") == 3 * ATTEMPTS + 1


def test_the_waits_of_throttled_calls_grow_to_a_limit_and_are_drawn() -> None:
    """So hooks that were throttled together don't come back together."""
    throttled = [make_error("TooManyRequestsException")] * 8
    runs = []
    for seed in range(200):
        release = simulate(members=[*throttled, GOOD["members"]])
        assert release.make_checker(seed).find_fault(VERSIONS["members"], CHECKS["members"]) == ""
        runs.append(release.pauses)
    for number, waits in enumerate(zip(*runs, strict=True)):
        most = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2**number)
        assert 0.9 * most < max(waits) <= most
        assert min(waits) < 0.1 * most
        assert len(set(waits)) == len(waits)


def test_a_version_that_stays_throttled_is_refused_in_time() -> None:
    """No call begins that could last until the time for the report."""
    release = simulate(members=[make_error("TooManyRequestsException")])
    fault = release.find_fault("members")
    assert fault == "no time left: could not be invoked: ClientError TooManyRequestsException"
    assert CALL_S <= release.time_left_s < CALL_S + LONGEST_WAIT_S
    assert len(release.calls) < TIME_S


@pytest.mark.parametrize("call_s", [0.0, 7.0, CALL_S])
@pytest.mark.parametrize("time_left_s", [0.0, CALL_S - 0.1, CALL_S, CALL_S + PAUSE_S - 0.1, 60.0, 100.0])
def test_calls_and_pauses_end_before_the_time_is_up(call_s: float, time_left_s: float) -> None:
    """However long the calls of a version that hangs take: each begins with time for the longest."""
    hanging = ReadTimeoutError(endpoint_url="https://lambda.example.test")
    release = simulate(health=[hanging])
    release.call_s, release.time_left_s = call_s, time_left_s
    assert not release.check_release()
    assert release.time_left_s >= 0
    assert all(left_s >= CALL_S for left_s in release.times_left_s)
    assert (release.calls == []) == (time_left_s < CALL_S)


def test_a_release_is_refused_if_the_time_ends_between_two_versions() -> None:
    """The versions called so far have passed, but the others are unknown."""
    release = simulate()
    release.call_s, release.time_left_s = 20.0, CALL_S + 40.0
    assert not release.check_release()
    assert release.calls == list(CHECKS)[:3]


def test_a_release_without_one_of_the_versions_is_refused() -> None:
    """The handler reports `Failed` then."""
    versions = {name: arn for name, arn in VERSIONS.items() if name != "worker"}
    with pytest.raises(KeyError, match="worker"):
        simulate().make_checker().check_release(versions, CHECKS)


def test_the_log_names_versions_faults_and_no_messages(caplog: pytest.LogCaptureFixture) -> None:
    """A line for each version that was called."""
    with caplog.at_level("INFO", logger="pretraffic"):
        simulate(pages=[make_error("ResourceConflictException")]).check_release()
    lines = [json.loads(record.message) for record in caplog.records]
    assert lines == [
        {"message": "version_passed", "function": "health", "version": "7"},
        {
            "message": "version_refused",
            "function": "pages",
            "version": "7",
            "fault": "could not be invoked: ClientError ResourceConflictException",
        },
    ]
