"""The shallow check opens no connection to anything."""

import json
import os
import socket
import subprocess
import sys
from contextlib import suppress
from threading import Thread
from typing import Any

import pytest

from tests.services import ROOT

# In a process of its own, since an audit hook stays. Importing alone tries for IPv6, by a socket that goes nowhere.
PROGRAM = """
import json, sys

events = []
sys.addaudithook(lambda name, _: events.append(name) if name.startswith("socket.") else None)

from health.app import handler


class Context:
    aws_request_id = "request-1"

    def get_remaining_time_in_millis(self):
        return 10_000


event = {
    "httpMethod": "GET", "resource": sys.argv[1], "headers": {}, "body": None, "isBase64Encoded": False,
    "requestContext": {"requestId": "request-1", "identity": {"sourceIp": "127.0.0.9"}},
}
before, events = events, []
answer = handler(event, Context())
print(json.dumps({"status": answer["statusCode"], "before": before, "during": events}), file=sys.stderr)
"""


class ConnectionTrap:
    """Listens where the database and AWS are said to be, and counts who comes."""

    def __init__(self) -> None:
        self.visits = 0
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        Thread(target=self._count, daemon=True).start()

    def _count(self) -> None:
        with suppress(OSError):
            while True:
                self._server.accept()[0].close()
                self.visits += 1

    def close(self) -> None:
        """Stop listening."""
        self._server.close()


def ask_new_environment(resource: str, trap: ConnectionTrap) -> dict[str, Any]:
    """Ask a new environment; return its answer and the socket events that Python saw."""
    paths = [ROOT / "layers/shared", ROOT / "functions/health", ROOT]
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(map(str, paths)),
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{trap.port}",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "DB_HOST": "127.0.0.1",
        "DB_PORT": str(trap.port),
        "DB_AUTH": "trust",
        "DB_SSLMODE": "disable",
    }
    command = [sys.executable, "-c", PROGRAM, resource]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
    answer: dict[str, Any] = json.loads(done.stderr.splitlines()[-1])
    return answer


@pytest.mark.parametrize(("resource", "status", "touches"), [("/health", 200, False), ("/health/deep", 503, True)])
def test_only_the_deep_check_touches_anything(resource: str, status: int, touches: bool) -> None:
    """Until the answer no socket is opened, and nobody connects to the addresses of database and services."""
    trap = ConnectionTrap()
    try:
        answer = ask_new_environment(resource, trap)
    finally:
        trap.close()
    assert answer["status"] == status
    assert "socket.connect" not in answer["before"]
    assert ("socket.connect" in answer["during"], trap.visits > 0) == (touches, touches)
    assert touches or answer["during"] == []
