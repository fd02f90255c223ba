"""A real gateway process on a stack of the tests, and a client that sends the bytes a test chooses."""

import http.client
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from local.stack import DeployedFunction, DeployedRoute, GatewayResponse, QueueSource, Schedule, Stack

ROOT = Path(__file__).resolve().parents[2]
HANDLERS = str(Path(__file__).with_name("handlers"))
PYTHON = str(ROOT / ".venvs/local/bin/python")
NOWHERE = "http://127.0.0.1:9"
DEADLINE_S = 20.0

T = TypeVar("T")


def make_function(name: str, **changes: Any) -> DeployedFunction:
    """Return a function whose handler is `sample.<name>`; `changes` override the defaults."""
    shape = {
        "logical_id": name,
        "handler": f"sample.{name}",
        "code_dir": HANDLERS,
        "layer_dirs": [],
        "environment": {},
        "timeout_s": 10,
        "memory_mb": 256,
        "reserved_concurrency": 10,
    }
    return DeployedFunction(**{**shape, **changes})


def make_route(method: str, resource: str, name: str, **changes: Any) -> DeployedRoute:
    """Return a route without authorizer or throttle of its own."""
    shape = {"authorized": False, "rate": None, "burst": None}
    return DeployedRoute(method=method, resource=resource, function=name, **{**shape, **changes})


def make_gateway_response(response_type: str, status: int | None) -> GatewayResponse:
    """Return a gateway response as the template writes them."""
    body = '{"type": "urn:test:%s", "detail": $context.error.messageString, "instance": "$context.requestId"}'
    headers = {"Content-Type": "'application/problem+json'", "X-Request-Id": "context.requestId"}
    return GatewayResponse(response_type, status, headers, {"application/json": body % response_type.lower()})


def make_stack(functions: list[DeployedFunction], routes: list[DeployedRoute], **changes: Any) -> Stack:
    """Return a stack of these functions and routes."""
    shape: dict[str, Any] = {
        "schedules": list[Schedule](),
        "queue_sources": list[QueueSource](),
        "user_pool_id": "eu-central-1_test",
        "client_id": "test-client",
        "jwks_url": f"{NOWHERE}/jwks.json",
        "issuer": "https://issuer.example.test/pool",
        "allowed_origins": ["https://app.example.test"],
        "stage": "api",
        "stage_rate": None,
        "stage_burst": None,
        "endpoint_url": NOWHERE,
    }
    return Stack(functions=functions, routes=routes, **{**shape, **changes})


@dataclass
class GatewayReply:
    """An HTTP answer; header names are lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def read_json(self) -> Any:
        """Return the body as JSON."""
        return json.loads(self.body)


@dataclass
class RunningGateway:
    """A running gateway."""

    port: int
    process: subprocess.Popen[str]
    logs: Path

    def call(
        self, method: str, path: str, *, body: bytes | None = None, source: str = "127.0.0.1", **headers: str
    ) -> GatewayReply:
        """Make one request from the address `source`; underscores in header names become dashes."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE_S, source_address=(source, 0))
        try:
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            response = connection.getresponse()
            names = {name.lower(): value for name, value in response.getheaders()}
            return GatewayReply(response.status, names, response.read())
        finally:
            connection.close()

    def invoke(self, name: str, payload: Any = None, **headers: str) -> GatewayReply:
        """Make one call of the Invoke API."""
        body = json.dumps(payload or {}).encode()
        return self.call("POST", f"/2015-03-31/functions/{name}/invocations", body=body, **headers)

    def read_status(self, name: str) -> dict[str, Any]:
        """Return a function's part of /_local/status."""
        status: dict[str, Any] = self.call("GET", "/_local/status").read_json()["functions"][name]
        return status

    def log(self, name: str) -> str:
        """Return a log file's text."""
        return (self.logs / f"{name}.log").read_text()


@contextmanager
def run_gateway(description: Stack, home: Path, *options: str) -> Iterator[RunningGateway]:
    """Run a gateway on a free port, its logs under `home`, gone when the block ends."""
    home.mkdir(parents=True, exist_ok=True)
    description.save(home / "stack.json")
    place = ["--stack", str(home / "stack.json"), "--port", "0", "--logs", str(home / "logs")]
    command = [PYTHON, "-m", "local.gateway", *place, *options]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("listening "), line
        yield RunningGateway(int(line.rpartition(":")[2]), process, home / "logs")
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def wait_until(query: Callable[[], T], *, deadline_s: float = DEADLINE_S) -> T:
    """Wait for the first true value that `look` gives and return it; fail when the deadline has passed."""
    end = time.monotonic() + deadline_s
    while not (seen := query()):
        assert time.monotonic() < end, f"still not so after {deadline_s} s"
        time.sleep(0.02)
    return seen
