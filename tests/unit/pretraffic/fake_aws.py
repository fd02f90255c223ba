"""An address that answers as Lambda and CodeDeploy do, or fails in a way that a test chooses."""

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import unquote

Fault = Literal["hang", "close", "unavailable", "throttle", "refuse", "no JSON", "raise", "repeat"]
POLL_S = 0.01  # how soon the server ends
HANG_S = 1.0  # longer than the clients wait in these tests
ERRORS: dict[Fault, tuple[int, str]] = {
    "unavailable": (500, "ServiceException"),
    "throttle": (429, "TooManyRequestsException"),
    "refuse": (400, "InvalidLifecycleEventHookExecutionIdException"),
    "repeat": (400, "LifecycleEventAlreadyCompletedException"),
}


@dataclass
class FakeAws:
    """The address, the faults of the next calls of each service, and what was called.

    `answers` are the functions' by name. `reports` are those that CodeDeploy has taken.
    """

    answers: dict[str, Any]
    url: str = ""
    invoking: list[Fault] = field(default_factory=list)
    reporting: list[Fault] = field(default_factory=list)
    invoked: list[str] = field(default_factory=list)
    report_attempts: int = 0
    reports: list[dict[str, str]] = field(default_factory=list)


class FakeAwsServer(ThreadingHTTPServer):
    """The server of an address."""

    def __init__(self, aws: FakeAws) -> None:
        super().__init__(("127.0.0.1", 0), Answerer)
        self.aws = aws
        aws.url = f"http://127.0.0.1:{self.server_port}"


class Answerer(BaseHTTPRequestHandler):
    """Answers one call."""

    server: FakeAwsServer

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("X-Amz-Target", "").startswith("CodeDeploy"):
            self._take_report(json.loads(body))
        else:
            self._invoke(unquote(self.path).split("/")[-2].split(":")[-2])

    def _take_report(self, report: dict[str, str]) -> None:
        aws = self.server.aws
        aws.report_attempts += 1
        if aws.reporting:
            self._fail(aws.reporting.pop(0))
        else:
            aws.reports.append(report)
            self._answer(200, {})

    def _invoke(self, name: str) -> None:
        aws = self.server.aws
        aws.invoked.append(name)
        if aws.invoking:
            self._fail(aws.invoking.pop(0))
        else:
            self._answer(200, aws.answers[name])

    def _fail(self, fault: Fault) -> None:
        if fault == "hang":
            time.sleep(HANG_S)
        elif fault == "no JSON":
            self._write(200, b"<html>")
        elif fault == "raise":
            self._answer(200, {"errorType": "KeyError"}, {"X-Amz-Function-Error": "Unhandled"})
        elif fault != "close":
            status, code = ERRORS[fault]
            self._answer(status, {"__type": code, "message": "no"}, {"X-Amzn-ErrorType": code})
        self.close_connection = True

    def _answer(self, status: int, document: Any, headers: Mapping[str, str] | None = None) -> None:
        self._write(status, json.dumps(document).encode(), headers)

    def _write(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def run_fake_aws(answers: dict[str, Any]) -> Iterator[FakeAws]:
    """Answer calls within the block."""
    aws = FakeAws(answers)
    with FakeAwsServer(aws) as server:
        threading.Thread(target=server.serve_forever, args=(POLL_S,), daemon=True).start()
        yield aws
        server.shutdown()
