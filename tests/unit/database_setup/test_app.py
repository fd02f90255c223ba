"""The custom resource that makes the schema's owner: it asks the Data API, and always answers CloudFormation."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from botocore.exceptions import ClientError

from database_setup import app
from tests.custom_resources import AnswerBox, receive_answers

PROPERTIES = {"ClusterArn": "arn:cluster", "SecretArn": "arn:secret", "Database": "interdomestik"}
REFUSED = ClientError({"Error": {"Code": "BadRequestException", "Message": "not enabled"}}, "ExecuteStatement")


class FakeDataApi:
    """Refuses the statement a number of times, and then takes it."""

    def __init__(self, refusals: int = 0) -> None:
        self.refusals = refusals
        self.calls: list[Mapping[str, str]] = []

    def execute_statement(self, **call: str) -> Mapping[str, Any]:
        """Note the call, or refuse it."""
        self.calls.append(call)
        if len(self.calls) <= self.refusals:
            raise REFUSED
        return {}


@pytest.fixture
def box() -> Iterator[AnswerBox]:
    """Yield where CloudFormation waits for an answer."""
    with receive_answers() as waiting:
        yield waiting


@pytest.mark.parametrize("kind", ["Create", "Update"])
def test_the_statement_is_run_and_the_stack_goes_on(kind: str, box: AnswerBox, monkeypatch: pytest.MonkeyPatch) -> None:
    """It runs as the main user of the cluster, whose password the Data API reads itself."""
    api = FakeDataApi()
    monkeypatch.setattr("boto3.client", lambda _service: api)
    app.handler(box.build_request(kind, PROPERTIES), None)

    assert api.calls == [
        {"resourceArn": "arn:cluster", "secretArn": "arn:secret", "database": "interdomestik", "sql": app.STATEMENT}
    ]
    [(content_type, body)] = box.answers
    assert content_type == ""
    assert body == {
        "Status": "SUCCESS",
        "Reason": "",
        "PhysicalResourceId": "setup",
        "StackId": "arn:stack",
        "RequestId": "r-1",
        "LogicalResourceId": "It",
    }


def test_nothing_is_done_when_the_resource_goes(box: AnswerBox, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cluster may be gone by then, or be kept with its roles."""
    api = FakeDataApi()
    monkeypatch.setattr("boto3.client", lambda _service: api)
    app.handler(box.build_request("Delete", PROPERTIES), None)

    assert api.calls == []
    assert box.statuses == ["SUCCESS"]


def test_a_failure_is_reported_with_its_reason(box: AnswerBox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise CloudFormation would wait until its timeout, and couldn't say why."""
    monkeypatch.setattr("boto3.client", lambda _service: FakeDataApi(refusals=99))
    monkeypatch.setattr("time.sleep", lambda _seconds: None)
    app.handler(box.build_request("Create", PROPERTIES), None)

    [(_, body)] = box.answers
    assert body["Status"] == "FAILED"
    assert "BadRequestException" in body["Reason"]


def test_a_data_api_that_is_not_ready_yet_is_asked_again() -> None:
    """A new cluster's may refuse for a moment."""
    api = FakeDataApi(refusals=2)
    app.create_owner(api, PROPERTIES, attempts=3, pause_s=0)
    assert len(api.calls) == 3


def test_the_attempts_end_before_lambda_does() -> None:
    """They end early enough for the answer to leave, even if each takes a while."""
    assert app.ATTEMPTS * app.PAUSE_S + app.ANSWER_S < 180 - 30
