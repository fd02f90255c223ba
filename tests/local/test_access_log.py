"""The gateway's access log: a line for each request, by the stage's format."""

import asyncio
import json
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from local.gateway.access_log import AccessLog
from local.gateway.request_pipeline import RequestPipeline
from local.http_server import HttpRequest
from local.runtime.invocation import FunctionInvocation, InvocationOutcome
from local.runtime.logs import FunctionLog
from tests.local.gateways import make_route, make_stack

if TYPE_CHECKING:
    from local.gateway.authorizer import Authorizer
    from local.runtime.versions import FunctionFleet

FORMAT = json.dumps(
    {
        "gateway_id": "$context.extendedRequestId",
        "method": "$context.httpMethod",
        "route": "$context.resourcePath",
        "status": "$context.status",
        "latency_ms": "$context.responseLatency",
        "response_bytes": "$context.responseLength",
        "refused_as": "$context.error.responseType",
        "function_status": "$context.integration.status",
    }
)


class AnsweringFunction:
    """A function that answers at once."""

    async def invoke(self, _invocation: FunctionInvocation) -> InvocationOutcome:
        """Return a body of five bytes."""
        return InvocationOutcome(b'{"statusCode": 201, "body": "hello"}')


def read_log_lines(folder: Path, line_format: str) -> list[str]:
    """Return the log of two calls: one that is answered, one without a route."""
    path = folder / "access.log"
    environments = cast("FunctionFleet", SimpleNamespace(pools={"f": AnsweringFunction()}))
    log = AccessLog(line_format, FunctionLog(path))

    async def call() -> None:
        stack = make_stack([], [make_route("GET", "/a", "f")])
        authorizer = cast("Authorizer", None)
        pipeline = RequestPipeline(stack, environments, authorizer, port=1, access_log=log)
        for method in ("GET", "PUT"):
            await pipeline.handle(HttpRequest(method, "/api/a", "email=besa@example.test", [], "127.0.0.9"))

    asyncio.run(call())
    return path.read_text().splitlines()


def test_each_request_leaves_a_line(tmp_path: Path) -> None:
    """Unknown values are a dash; the query and the address are left out."""
    answered, refused = read_log_lines(tmp_path, FORMAT)
    line: dict[str, Any] = json.loads(answered)
    assert line | {"gateway_id": "", "latency_ms": ""} == {
        "gateway_id": "",
        "method": "GET",
        "route": "/a",
        "status": "201",
        "latency_ms": "",
        "response_bytes": "5",
        "refused_as": "-",
        "function_status": "-",
    }
    assert len(line["gateway_id"]) == 36
    assert int(line["latency_ms"]) >= 0
    assert (json.loads(refused)["refused_as"], json.loads(refused)["route"]) == ("MISSING_AUTHENTICATION_TOKEN", "-")
    assert "besa" not in answered + refused
    assert "127.0.0.9" not in answered + refused


def test_a_stage_without_a_format_writes_nothing(tmp_path: Path) -> None:
    """AWS does the same."""
    assert read_log_lines(tmp_path, "") == []
