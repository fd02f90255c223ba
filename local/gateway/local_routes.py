"""The routes that AWS does not have: front page, inbox, dashboard, releases, status; and two operations of Lambda."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from urllib.parse import unquote
from uuid import uuid4

from local.dashboard.page import read_range_s, render_dashboard, wants_reload
from local.dashboard.widgets import Dashboard
from local.front.routes import FrontRoutes
from local.gateway.code_route import CODE_PATH, CodeRoute
from local.gateway.concurrency_route import ConcurrencyRoute
from local.gateway.release_routes import ReleaseRoutes
from local.http_server import HttpRequest, HttpResponse, is_from_this_machine
from local.inbox.messages import InboxMessage
from local.inbox.page import render_page
from local.runtime.invocation import FunctionInvocation, InvocationOutcome, ThrottledError
from local.runtime.lineage import RecursionStopped
from local.runtime.versions import FunctionFleet, FunctionVersions, UnknownVersion

INVOKE = re.compile(r"(?:/_local/lambda)?/2015-03-31/functions/([^/]+)/invocations")
JSON = ("Content-Type", "application/json")
LISTED = 100  # messages on the page; the JSON has them all
# for asynchronous invocations of a busy function, which on AWS wait in Lambda's own queue
QUEUED_RETRY_S = 1.0
QUEUED_LIMIT_S = 300.0

Inbox = Callable[[], Awaitable[list[InboxMessage]]]
# Returns the dashboard of the last seconds that it is given; raises OSError while the emulator does not answer.
LoadDashboard = Callable[[float], Awaitable[Dashboard]]


class LocalRoutes:
    """The handler of the local routes, which decides which requests are for them."""

    def __init__(
        self,
        environments: FunctionFleet,
        inbox: Inbox,
        dashboard: LoadDashboard,
        status: Callable[[], dict[str, object]],
        front: FrontRoutes,
    ) -> None:
        self._environments = environments
        self._inbox = inbox
        self._dashboard = dashboard
        self._status = status
        self._front = front
        self._queued: set[asyncio.Task[None]] = set()
        self._releases = ReleaseRoutes(environments)
        self._concurrency = ConcurrencyRoute(environments)
        self._code = CodeRoute(environments)

    def is_local_path(self, path: str) -> bool:
        """Return whether a path is a local route rather than the API's."""
        return path in ("/", "/_local") or path.startswith(("/_local/", "/2015-03-31/", "/2017-10-31/"))

    async def handle(self, request: HttpRequest) -> HttpResponse:
        """Return the response of a local route; refuse a request that a web page of another site could have sent."""
        if not is_from_this_machine(request):
            return _make_json_response(403, {"message": "Only for programs and people on this machine"})
        if invoked := INVOKE.fullmatch(request.path):
            return await self._invoke_function(request, unquote(invoked[1]).rpartition(":function:")[2])
        if changed := self._concurrency.handle(request) or self._releases.handle(request):
            return changed
        if request.path == CODE_PATH:
            return await self._code.handle(request)
        if request.path == "/_local/status":
            return _make_json_response(200, self._status())
        if request.path in ("/_local/mail", "/_local/mail.json"):
            return await self._show_mail(request)
        if request.path == "/_local/dashboard":
            return await self._show_dashboard(request)
        return await self._front.handle(request) or _make_json_response(404, {"message": "Not found"})

    async def _show_dashboard(self, request: HttpRequest) -> HttpResponse:
        try:
            return render_dashboard(
                await self._dashboard(read_range_s(request.query)), reloads=wants_reload(request.query)
            )
        except OSError:
            return _make_json_response(503, {"message": "The emulator does not answer"})

    async def _show_mail(self, request: HttpRequest) -> HttpResponse:
        try:
            messages = await self._inbox()
        except OSError:
            return _make_json_response(503, {"message": "The emulator does not answer"})
        if request.path.endswith(".json"):
            return _make_json_response(200, [message.to_json() for message in messages])
        return render_page(messages, query=request.query, listed=LISTED)

    async def _invoke_function(self, request: HttpRequest, name: str) -> HttpResponse:
        name, _, version = name.partition(":")
        pool = self._environments.pools.get(name)
        if pool is None:
            return _build_failure(404, "ResourceNotFoundException", f"Function not found: {name}")
        invocation = FunctionInvocation(
            str(uuid4()), request.body or b"{}", request.find_header("x-amzn-trace-id") or ""
        )
        if request.find_header("x-amz-invocation-type") == "Event":
            task = asyncio.get_running_loop().create_task(_run_queued(pool, invocation))
            self._queued.add(task)
            task.add_done_callback(self._queued.discard)
            return HttpResponse(202, [("x-amzn-RequestId", invocation.request_id)])
        try:
            return _build_outcome(invocation, await pool.invoke(invocation, version=version))
        except ThrottledError:
            return _build_failure(429, "TooManyRequestsException", "Rate Exceeded.")
        except RecursionStopped:
            return _build_failure(400, "RecursiveInvocationException", "Lambda has detected a recursive loop.")
        except UnknownVersion:
            return _build_failure(404, "ResourceNotFoundException", f"Version not found: {name}:{version}")


async def _run_queued(pool: FunctionVersions, invocation: FunctionInvocation) -> None:
    deadline = asyncio.get_running_loop().time() + QUEUED_LIMIT_S
    while asyncio.get_running_loop().time() < deadline:
        try:
            await pool.invoke(invocation)
        except ThrottledError:
            await asyncio.sleep(QUEUED_RETRY_S)
        except RecursionStopped:
            return
        else:
            return


def _make_json_response(status: int, document: object) -> HttpResponse:
    return HttpResponse(status, [JSON], json.dumps(document).encode())


def _build_failure(status: int, kind: str, message: str) -> HttpResponse:
    answer = _make_json_response(status, {"Type": "User", "Message": message})
    answer.headers.append(("x-amzn-ErrorType", kind))
    return answer


def _build_outcome(invocation: FunctionInvocation, outcome: InvocationOutcome) -> HttpResponse:
    headers = [JSON, ("x-amzn-RequestId", invocation.request_id)]
    if outcome.error:
        headers.append(("X-Amz-Function-Error", outcome.error))
    return HttpResponse(200, headers, outcome.payload)
