"""One request through the gateway: limits, route, throttle, authorizer, function, answer."""

import asyncio
import time

from local.gateway.answer import http_answer
from local.gateway.authorizer import Authorizer
from local.gateway.compression import compressed, decompressed
from local.gateway.event import Call, proxy_event
from local.gateway.refusals import (
    FUNCTION_THROTTLED,
    HEADERS_TOO_LARGE,
    MISSING_TOKEN,
    THROTTLED,
    TIMEOUT,
    TOO_LARGE,
    Refusal,
    Refusals,
)
from local.gateway.routes import Match, Router
from local.gateway.throttle import Clock, Throttle
from local.runtime.invocation import PAYLOAD_LIMIT, Invocation, Outcome, ThrottledError
from local.runtime.pool import Fleet
from local.stack import Route, Stack
from local.wire import Request, Response

BODY_LIMIT = 10 * 1024 * 1024  # bytes of a request's body
HEAD_LIMIT = 10_240  # bytes of request line and headers together
INTEGRATION_LIMIT_S = 29.0
# there is no API behind a path outside the stage, so nobody customised this answer
NO_SUCH_STAGE = Response(403, [("Content-Type", "application/json")], b'{"message":"Forbidden"}')


class Front:
    """The API: what `stack` describes, in front of `fleet`. `port` is what clients connected to."""

    def __init__(
        self,
        stack: Stack,
        fleet: Fleet,
        authorizer: Authorizer,
        *,
        port: int,
        clock: Clock = time.monotonic,
        integration_limit_s: float = INTEGRATION_LIMIT_S,
    ) -> None:
        self._stack = stack
        self._fleet = fleet
        self._authorizer = authorizer
        self._port = port
        self._limit_s = integration_limit_s
        self._prefix = f"/{stack.stage}"
        self._router = Router(stack.routes)
        self._throttle = Throttle(stack, clock)
        self._refusals = Refusals(stack.gateway_responses)
        self._running: set[asyncio.Task[Outcome]] = set()

    async def handle(self, request: Request) -> Response:
        """The answer to a request, whatever becomes of it."""
        path = request.path.removeprefix(self._prefix)
        if not request.path.startswith(self._prefix) or path[:1] not in ("", "/"):
            return NO_SUCH_STAGE
        call = Call.of(request, stage=self._stack.stage, path=path or "/")
        match = self._router.match(call.path)
        route = match.route(request.method) if match else None
        answer = self._oversize(request) or await self._routed(call, match, route)
        return self._finish(call, route, answer)

    def _oversize(self, request: Request) -> Refusal | None:
        if request.head_bytes > HEAD_LIMIT:
            return HEADERS_TOO_LARGE
        return TOO_LARGE if request.body_too_large else None

    async def _routed(self, call: Call, match: Match | None, route: Route | None) -> Response | Refusal:
        if match is None or route is None:
            return MISSING_TOKEN
        if not self._throttle.admits(route):
            return THROTTLED
        if not route.authorized:
            return await self._integrated(call, match, route, None)
        claims = await self._authorizer.check(call.request.header("authorization"))
        return claims if isinstance(claims, Refusal) else await self._integrated(call, match, route, claims)

    async def _integrated(
        self, call: Call, match: Match, route: Route, claims: dict[str, str] | None
    ) -> Response | Refusal:
        if self._stack.minimum_compression is not None:
            unpacked = decompressed(call.request, limit=BODY_LIMIT)
            if isinstance(unpacked, Refusal):
                return unpacked
            call.request = unpacked
        event = proxy_event(call, route, match, claims, self._stack.binary_media_types, self._port)
        if len(event) > PAYLOAD_LIMIT:
            return TOO_LARGE
        invocation = Invocation(call.own_id, event, call.trace_id)
        try:
            outcome = await self._invoke(route.function, invocation)
        except ThrottledError:
            return FUNCTION_THROTTLED
        except TimeoutError:
            return TIMEOUT
        accept = call.request.header("accept") or ""
        return http_answer(outcome, accept=accept, binary=self._stack.binary_media_types)

    async def _invoke(self, function: str, invocation: Invocation) -> Outcome:
        """The outcome within the limit; past it, or when the client is gone, the invocation goes on by itself."""
        task = asyncio.get_running_loop().create_task(self._fleet.pools[function].invoke(invocation))
        self._running.add(task)
        task.add_done_callback(self._done)
        done, _ = await asyncio.wait((task,), timeout=self._limit_s)
        if not done:
            raise TimeoutError
        return task.result()

    def _done(self, task: asyncio.Task[Outcome]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # one that nobody waits for any more was counted by its pool

    def _finish(self, call: Call, route: Route | None, answer: Response | Refusal) -> Response:
        if isinstance(answer, Refusal):
            accept = call.request.header("accept") or ""
            answer = self._refusals.answer(answer, call.context(route.resource if route else ""), accept=accept)
        answer.headers.append(("x-amzn-RequestId", call.request_id))
        answer.headers.append(("X-Amzn-Trace-Id", call.trace_id))
        if self._stack.minimum_compression is None:
            return answer
        accepted = call.request.header("accept-encoding") or ""
        return compressed(answer, accept_encoding=accepted, minimum=self._stack.minimum_compression)
