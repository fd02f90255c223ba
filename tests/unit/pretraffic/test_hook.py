"""The hook lets a release pass only if every new version gives the answer that it must give."""

import io
import json
from collections.abc import Mapping
from typing import Any

import pytest
from botocore.exceptions import ClientError

from pretraffic.app import ATTEMPTS, check_release
from pretraffic.checks import build_checks

CHECKS = build_checks("client")
VERSIONS = {name: f"arn:aws:lambda:eu-central-1:111122223333:function:{name}:7" for name in CHECKS}
FORBIDDEN = {"statusCode": 403, "body": json.dumps({"type": "urn:interdomestik:problem:forbidden"})}
GOOD: Mapping[str, dict[str, Any]] = {
    **dict.fromkeys(("agents", "members", "claims", "jobs"), FORBIDDEN),
    **{name: {"statusCode": 200, "body": "{}"} for name in ("health", "pages")},
    "worker": {"batchItemFailures": []},
}


class ScriptedLambda:
    """Answers each version's events, one after another; the last answer for ever."""

    def __init__(self, **answers: list[Any]) -> None:
        self.calls: list[str] = []
        self._answers = {**{name: [answer] for name, answer in GOOD.items()}, **answers}

    def invoke(self, *, FunctionName: str, Payload: bytes) -> Mapping[str, Any]:  # noqa: N803 - AWS's names
        assert json.loads(Payload)
        name = FunctionName.split(":")[-2]
        self.calls.append(name)
        answers = self._answers[name]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        failed = {"FunctionError": "Unhandled"} if "errorType" in answer else {}
        return {"Payload": io.BytesIO(json.dumps(answer).encode()), **failed}


def check(client: ScriptedLambda) -> dict[str, str]:
    """Return the faults that the hook finds, without its pauses."""
    return check_release(client, VERSIONS, CHECKS, lambda _seconds: None)


def test_a_release_whose_versions_all_answer_passes() -> None:
    """Each is asked once."""
    client = ScriptedLambda()
    assert check(client) == {}
    assert sorted(client.calls) == sorted(CHECKS)


@pytest.mark.parametrize("name", CHECKS)
def test_a_version_that_raises_is_refused(name: str) -> None:
    """After all attempts."""
    client = ScriptedLambda(**{name: [{"errorType": "Runtime.ImportModuleError"}]})
    assert check(client) == {name: "raised Runtime.ImportModuleError"}
    assert client.calls.count(name) == ATTEMPTS


@pytest.mark.parametrize(
    ("name", "answer", "fault"),
    [
        ("health", {"statusCode": 503, "body": '{"status": "unhealthy"}'}, "answered 503"),
        ("pages", {"statusCode": 404, "body": "{}"}, "answered 404"),
        ("members", {"statusCode": 200, "body": '{"items": []}'}, "answered 200"),
        ("claims", {"statusCode": 503, "body": '{"type": "urn:x:unavailable"}'}, "answered 503 urn:x:unavailable"),
        ("jobs", {"statusCode": 403, "body": '{"type": "urn:x:other"}'}, "answered 403 urn:x:other"),
        ("worker", {"batchItemFailures": [{"itemIdentifier": "1"}]}, "answered None"),
    ],
)
def test_another_answer_is_refused(name: str, answer: dict[str, Any], fault: str) -> None:
    """Also one that lets nobody's identity read."""
    assert check(ScriptedLambda(**{name: [answer]})) == {name: fault}


def test_a_version_that_is_not_ready_yet_is_asked_again() -> None:
    """Lambda refuses a version that was published a moment ago."""
    refused = ClientError({"Error": {"Code": "ResourceConflictException"}}, "Invoke")
    assert check(ScriptedLambda(members=[refused, GOOD["members"]])) == {}
    assert check(ScriptedLambda(members=[refused])) == {"members": "could not be invoked: ClientError"}
