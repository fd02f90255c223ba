"""Parts of the front alone, on a clock and a fleet that the test holds."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

from local.gateway.authorizer import Authorizer
from local.gateway.request_pipeline import RequestPipeline
from local.gateway.routes import Router
from local.gateway.throttle import Throttle
from local.http_server import HttpRequest, HttpResponse, encode_response, serve
from local.runtime.invocation import FunctionInvocation, InvocationOutcome
from local.runtime.versions import FunctionFleet
from tests.local.gateways import make_route, make_stack


class MovableClock:
    """A clock that the test sets."""

    now = 0.0

    def __call__(self) -> float:
        """Seconds."""
        return self.now


def test_a_throttle_refills_at_its_rate_and_never_over_its_burst() -> None:
    """Burst 2, one each half second; a long pause earns no more than the burst."""
    clock, method = MovableClock(), make_route("GET", "/a", "f", rate=2.0, burst=2)
    throttle = Throttle(make_stack([], [method]), clock)
    assert [throttle.admit(method) for _ in range(3)] == [True, True, False]
    clock.now = 0.5
    assert [throttle.admit(method) for _ in range(2)] == [True, False]
    clock.now = 100.0
    assert [throttle.admit(method) for _ in range(3)] == [True, True, False]


def test_a_method_without_a_throttle_has_the_stages_as_its_own() -> None:
    """Calls of one method take nothing from another's limit."""
    tight, first, second = (
        make_route("GET", "/a", "f", rate=0.1, burst=1),
        make_route("GET", "/b", "f"),
        make_route("GET", "/c", "f"),
    )
    throttle = Throttle(make_stack([], [tight, first, second], stage_rate=0.1, stage_burst=2), MovableClock())
    assert [throttle.admit(tight) for _ in range(2)] == [True, False]
    assert [throttle.admit(first) for _ in range(3)] == [True, True, False]
    assert [throttle.admit(second) for _ in range(3)] == [True, True, False]


def test_a_more_general_resource_is_tried_when_the_specific_one_leads_nowhere() -> None:
    """/claims/me has nothing below it, so /claims/{id}/history takes the path."""
    router = Router([make_route("GET", p, "f") for p in ("/claims/me", "/claims/{id}/history", "/{proxy+}")])
    found = router.match("/claims/me/history")
    assert found is not None
    assert found.parameters == {"id": "me"}
    assert getattr(router.match("/claims/me/other"), "parameters", None) == {"proxy": "claims/me/other"}
    assert router.match("/") is None


def test_a_method_is_not_looked_for_in_a_more_general_resource() -> None:
    """The resource is chosen by the path alone; ANY takes what it does not name."""
    router = Router(
        [
            make_route("GET", "/a", "f"),
            make_route("ANY", "/{proxy+}", "g"),
            make_route("POST", "/b", "f"),
            make_route("ANY", "/b", "g"),
        ]
    )
    found = router.match("/a")
    assert found is not None
    assert found.find_route("POST") is None
    both = router.match("/b")
    assert both is not None
    assert [getattr(both.find_route(m), "function", None) for m in ("POST", "PUT")] == ["f", "g"]


class SlowFunction:
    """A function that answers when it is let."""

    def __init__(self) -> None:
        self.released = asyncio.Event()
        self.ended = 0

    async def invoke(self, _invocation: FunctionInvocation) -> InvocationOutcome:
        """Waits."""
        await self.released.wait()
        self.ended += 1
        return InvocationOutcome(b'{"statusCode": 200}')


def test_a_function_over_the_integration_limit_is_a_504_and_goes_on() -> None:
    """API Gateway stops waiting; Lambda does not stop the invocation."""

    async def scenario() -> tuple[HttpResponse, int, int]:
        slow = SlowFunction()
        fleet = cast("FunctionFleet", SimpleNamespace(pools={"f": slow}))
        description = make_stack([], [make_route("GET", "/a", "f")])
        front = RequestPipeline(description, fleet, cast("Authorizer", None), port=1, integration_limit_s=0.01)
        response = await front.handle(HttpRequest("GET", "/api/a", "", [], "127.0.0.1"))
        before = slow.ended
        slow.released.set()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return response, before, slow.ended

    response, before, after = asyncio.run(scenario())
    assert (response.status, response.body) == (504, b'{"message":"Endpoint request timed out"}')
    assert (before, after) == (0, 1)


def test_a_body_over_the_limit_is_read_and_thrown_away() -> None:
    """The handler learns that it was too large, and keeps none of it."""

    async def scenario() -> list[tuple[bytes, bool]]:
        seen: list[tuple[bytes, bool]] = []

        async def handle_request(request: HttpRequest) -> HttpResponse:
            seen.append((request.body, request.body_too_large))
            return HttpResponse(200)

        server = await serve(handle_request, port=0, max_body=10)
        for size in (10, 11):
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            head = f"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {size}\r\n\r\n"
            writer.write(head.encode() + b"x" * size)
            await reader.read()
            writer.close()
        server.stop_accepting()
        return seen

    assert asyncio.run(scenario()) == [(b"x" * 10, False), (b"", True)]


def test_a_bodiless_status_has_neither_body_nor_length() -> None:
    """204 and 304 end with their headers."""
    sent: Any = encode_response(HttpResponse(204, [], b"ignored"), method="GET", keep_alive=True)
    assert b"Content-Length" not in sent
    assert sent.endswith(b"\r\n\r\n")
