"""The custom resource that makes the schema's owner: it asks the Data API, and always answers CloudFormation."""

import json
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from botocore.exceptions import ClientError

from database_setup import app

PROPERTIES = {"ClusterArn": "arn:cluster", "SecretArn": "arn:secret", "Database": "interdomestik"}
REFUSED = ClientError({"Error": {"Code": "BadRequestException", "Message": "not enabled"}}, "ExecuteStatement")
Answers = list[tuple[str, dict[str, Any]]]


class FakeDataApi:
    """Refuses so many times, and then takes the statement."""

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
def answers() -> Iterator[tuple[str, Answers]]:
    """Yield the address where CloudFormation waits, and the answers it got: content type and body."""
    told: Answers = []

    class AnswerReceiver(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            told.append((self.headers["Content-Type"], json.loads(body)))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), AnswerReceiver) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/signed", told
        server.shutdown()


def request(url: str, kind: str = "Create") -> dict[str, Any]:
    """Return a request of CloudFormation's."""
    ids = {"StackId": "arn:stack", "RequestId": "r-1", "LogicalResourceId": "Setup"}
    return {"RequestType": kind, "ResponseURL": url, "ResourceProperties": PROPERTIES, **ids}


@pytest.mark.parametrize("kind", ["Create", "Update"])
def test_the_statement_is_run_and_the_stack_goes_on(
    kind: str, answers: tuple[str, Answers], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It runs as the main user of the cluster, whose password the Data API reads itself."""
    url, told = answers
    api = FakeDataApi()
    monkeypatch.setattr("boto3.client", lambda _service: api)
    app.handler(request(url, kind), None)

    assert api.calls == [
        {"resourceArn": "arn:cluster", "secretArn": "arn:secret", "database": "interdomestik", "sql": app.STATEMENT}
    ]
    [(content_type, body)] = told
    assert content_type == ""
    assert body == {
        "Status": "SUCCESS",
        "Reason": "",
        "PhysicalResourceId": "setup",
        "StackId": "arn:stack",
        "RequestId": "r-1",
        "LogicalResourceId": "Setup",
    }


def test_nothing_is_done_when_the_resource_goes(answers: tuple[str, Answers], monkeypatch: pytest.MonkeyPatch) -> None:
    """The cluster may be gone by then, or be kept with its roles."""
    url, told = answers
    api = FakeDataApi()
    monkeypatch.setattr("boto3.client", lambda _service: api)
    app.handler(request(url, "Delete"), None)

    assert api.calls == []
    assert [body["Status"] for _, body in told] == ["SUCCESS"]


def test_a_failure_is_told_with_its_reason(answers: tuple[str, Answers], monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise CloudFormation would wait until its timeout, and not say why."""
    url, told = answers
    monkeypatch.setattr("boto3.client", lambda _service: FakeDataApi(refusals=99))
    monkeypatch.setattr("time.sleep", lambda _seconds: None)
    app.handler(request(url), None)

    [(_, body)] = told
    assert body["Status"] == "FAILED"
    assert "BadRequestException" in body["Reason"]


def test_a_data_api_that_is_not_ready_yet_is_asked_again() -> None:
    """A new cluster's may refuse for a moment."""
    api = FakeDataApi(refusals=2)
    app.set_up(api, PROPERTIES, attempts=3, pause_s=0)
    assert len(api.calls) == 3


def test_the_attempts_end_before_lambda_does() -> None:
    """They end early enough for the answer to leave, even if each takes a while."""
    assert app.ATTEMPTS * app.PAUSE_S + app.ANSWER_S < 180 - 30
