"""CloudFormation's side of a custom resource: the request, and the address where it waits for the answer."""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any


@dataclass
class AnswerBox:
    """The address, and the content type and body of each answer that came."""

    url: str = ""
    answers: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    @property
    def statuses(self) -> list[str]:
        """The outcomes that came."""
        return [body["Status"] for _, body in self.answers]

    def build_request(self, kind: str, properties: Mapping[str, Any], **more: Any) -> dict[str, Any]:
        """A request of CloudFormation's."""
        ids = {"StackId": "arn:stack", "RequestId": "r-1", "LogicalResourceId": "It"}
        return {"RequestType": kind, "ResponseURL": self.url, "ResourceProperties": properties, **ids, **more}


@contextmanager
def receive_answers() -> Iterator[AnswerBox]:
    """Wait for answers within the block."""
    box = AnswerBox()

    class AnswerReceiver(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            box.answers.append((self.headers["Content-Type"], json.loads(body)))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), AnswerReceiver) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        box.url = f"http://127.0.0.1:{server.server_port}/signed"
        yield box
        server.shutdown()
