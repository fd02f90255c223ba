"""The steps of one request through the gateway: limits, route, throttle, authorizer, function, response."""

import asyncio
import time

from local.gateway.access_log import AccessLog
from local.gateway.authorizer import Authorizer
from local.gateway.compression import compress_response, decompress_request
from local.gateway.function_response import build_http_response
from local.gateway.gateway_responses import (
    FUNCTION_THROTTLED,
    HEADERS_TOO_LARGE,
    MISSING_TOKEN,
    THROTTLED,
    TIMEOUT,
    TOO_LARGE,
    GatewayRejection,
    GatewayResponses,
)
from local.gateway.proxy_event import GatewayRequest, build_proxy_event
from local.gateway.routes import RouteMatch, Router
from local.gateway.throttle import Clock, Throttle
from local.http_server import HttpRequest, HttpResponse
from local.runtime.invocation import PAYLOAD_LIMIT, FunctionInvocation, InvocationOutcome, ThrottledError
from local.runtime.versions import FunctionFleet
from local.stack import DeployedRoute, Stack

BODY_LIMIT = 10 * 1024 * 1024  # bytes of a request's body
HEAD_LIMIT = 10_240  # bytes of request line and headers together
INTEGRATION_LIMIT_S = 29.0
# a path outside the stage belongs to no API, so no gateway response applies
NO_SUCH_STAGE = HttpResponse(403, [("Content-Type", "application/json")], b'{"message":"Forbidden"}')


class RequestPipeline:
    """The API that `stack` describes, in front of `environments`. `port` is what clients connected to."""

    def __init__(
        self,
        stack: Stack,
        environments: FunctionFleet,
        authorizer: Authorizer,
        *,
        port: int,
        clock: Clock = time.monotonic,
        integration_limit_s: float = INTEGRATION_LIMIT_S,
        access_log: AccessLog | None = None,
    ) -> None:
        self._stack = stack
        self._environments = environments
        self._authorizer = authorizer
        self._port = port
        self._limit_s = integration_limit_s
        self._access_log = access_log
        self._prefix = f"/{stack.stage}"
        self._router = Router(stack.routes)
        self._throttle = Throttle(stack, clock)
        self._gateway_responses = GatewayResponses(stack.gateway_responses)
        self._running: set[asyncio.Task[InvocationOutcome]] = set()

    async def handle(self, request: HttpRequest) -> HttpResponse:
        """Return the response to any request."""
        path = request.path.removeprefix(self._prefix)
        if not request.path.startswith(self._prefix) or path[:1] not in ("", "/"):
            return NO_SUCH_STAGE
        call = GatewayRequest.from_request(request, stage=self._stack.stage, path=path or "/")
        match = self._router.match(call.path)
        route = match.find_route(request.method) if match else None
        answer = self._check_size(request) or await self._route_request(call, match, route)
        return self._finish(call, route, answer)

    def _check_size(self, request: HttpRequest) -> GatewayRejection | None:
        if request.head_bytes > HEAD_LIMIT:
            return HEADERS_TOO_LARGE
        return TOO_LARGE if request.body_too_large else None

    async def _route_request(
        self, call: GatewayRequest, match: RouteMatch | None, route: DeployedRoute | None
    ) -> HttpResponse | GatewayRejection:
        if match is None or route is None:
            return MISSING_TOKEN
        if not self._throttle.admit(route):
            return THROTTLED
        if not route.authorized:
            return await self._call_function(call, match, route, None)
        claims = await self._authorizer.check_header(call.request.find_header("authorization"))
        return claims if isinstance(claims, GatewayRejection) else await self._call_function(call, match, route, claims)

    async def _call_function(
        self, call: GatewayRequest, match: RouteMatch, route: DeployedRoute, claims: dict[str, str] | None
    ) -> HttpResponse | GatewayRejection:
        if self._stack.minimum_compression is not None:
            unpacked = decompress_request(call.request, limit=BODY_LIMIT)
            if isinstance(unpacked, GatewayRejection):
                return unpacked
            call.request = unpacked
        event = build_proxy_event(call, route, match, claims, self._stack.binary_media_types, self._port)
        if len(event) > PAYLOAD_LIMIT:
            return TOO_LARGE
        invocation = FunctionInvocation(call.own_id, event, call.trace_id)
        try:
            outcome = await self._invoke_within_limit(route.function, invocation)
        except ThrottledError:
            return FUNCTION_THROTTLED
        except TimeoutError:
            return TIMEOUT
        accept = call.request.find_header("accept") or ""
        return build_http_response(outcome, accept=accept, binary=self._stack.binary_media_types)

    async def _invoke_within_limit(self, function: str, invocation: FunctionInvocation) -> InvocationOutcome:
        """Return the outcome within the limit; later, or without a client, the invocation goes on by itself."""
        task = asyncio.get_running_loop().create_task(self._environments.pools[function].invoke(invocation))
        self._running.add(task)
        task.add_done_callback(self._forget_task)
        done, _ = await asyncio.wait((task,), timeout=self._limit_s)
        if not done:
            raise TimeoutError
        return task.result()

    def _forget_task(self, task: asyncio.Task[InvocationOutcome]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # marks the exception as seen; the pool has counted it

    def _finish(
        self, call: GatewayRequest, route: DeployedRoute | None, answer: HttpResponse | GatewayRejection
    ) -> HttpResponse:
        resource, refused_as = route.resource if route else "", ""
        if isinstance(answer, GatewayRejection):
            refused_as = answer.response_type
            accept = call.request.find_header("accept") or ""
            answer = self._gateway_responses.build_response(answer, call.build_context(resource), accept=accept)
        response = self._complete_response(call, answer)
        if self._access_log:
            self._access_log.record(
                call, resource=resource, status=response.status, size=len(response.body), refused_as=refused_as
            )
        return response

    def _complete_response(self, call: GatewayRequest, answer: HttpResponse) -> HttpResponse:
        answer.headers.append(("x-amzn-RequestId", call.request_id))
        answer.headers.append(("X-Amzn-Trace-Id", call.trace_id))
        if self._stack.minimum_compression is None:
            return answer
        accepted = call.request.find_header("accept-encoding") or ""
        return compress_response(answer, accept_encoding=accepted, minimum=self._stack.minimum_compression)
