"""The local side of the front, below /_local: the inbox, the state of the environments, and the Invoke API."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from uuid import uuid4

from local.inbox.messages import Message
from local.inbox.page import render
from local.runtime.invocation import Invocation, Outcome, ThrottledError
from local.runtime.pool import Fleet, Pool
from local.wire import Request, Response, is_from_here

INVOKE = re.compile(r"(?:/_local/lambda)?/2015-03-31/functions/([^/]+)/invocations")
JSON = ("Content-Type", "application/json")
LISTED = 100  # messages on the page; the JSON has them all
# an asynchronous invocation of a busy function waits in Lambda's own queue
QUEUED_RETRY_S = 1.0
QUEUED_LIMIT_S = 300.0

Inbox = Callable[[], Awaitable[list[Message]]]


class Desk:
    """Answers what is ours, and says which requests are."""

    def __init__(self, fleet: Fleet, inbox: Inbox, status: Callable[[], dict[str, object]]) -> None:
        self._fleet = fleet
        self._inbox = inbox
        self._status = status
        self._queued: set[asyncio.Task[None]] = set()

    def owns(self, path: str) -> bool:
        """Whether a path is ours rather than the API's."""
        return path.startswith(("/_local/", "/2015-03-31/"))

    async def handle(self, request: Request) -> Response:
        """The answer to a request of ours. One that a web page of elsewhere could have sent is refused."""
        if not is_from_here(request):
            return _json(403, {"message": "Only for programs and people on this machine"})
        if invoked := INVOKE.fullmatch(request.path):
            return await self._invoke(request, invoked[1].rpartition(":function:")[2])
        if request.path == "/_local/status":
            return _json(200, self._status())
        if request.path in ("/_local/mail", "/_local/mail.json"):
            return await self._mail(request)
        return _json(404, {"message": "Not found"})

    async def _mail(self, request: Request) -> Response:
        try:
            messages = await self._inbox()
        except OSError:
            return _json(503, {"message": "The emulator does not answer"})
        if request.path.endswith(".json"):
            return _json(200, [message.as_json() for message in messages])
        return render(messages, query=request.query, listed=LISTED)

    async def _invoke(self, request: Request, name: str) -> Response:
        pool = self._fleet.pools.get(name)
        if pool is None:
            return _failure(404, "ResourceNotFoundException", f"Function not found: {name}")
        invocation = Invocation(str(uuid4()), request.body or b"{}", request.header("x-amzn-trace-id") or "")
        if request.header("x-amz-invocation-type") == "Event":
            task = asyncio.get_running_loop().create_task(_queue(pool, invocation))
            self._queued.add(task)
            task.add_done_callback(self._queued.discard)
            return Response(202, [("x-amzn-RequestId", invocation.request_id)])
        try:
            return _outcome(invocation, await pool.invoke(invocation))
        except ThrottledError:
            return _failure(429, "TooManyRequestsException", "Rate Exceeded.")


async def _queue(pool: Pool, invocation: Invocation) -> None:
    deadline = asyncio.get_running_loop().time() + QUEUED_LIMIT_S
    while asyncio.get_running_loop().time() < deadline:
        try:
            await pool.invoke(invocation)
        except ThrottledError:
            await asyncio.sleep(QUEUED_RETRY_S)
        else:
            return


def _json(status: int, document: object) -> Response:
    return Response(status, [JSON], json.dumps(document).encode())


def _failure(status: int, kind: str, message: str) -> Response:
    answer = _json(status, {"Type": "User", "Message": message})
    answer.headers.append(("x-amzn-ErrorType", kind))
    return answer


def _outcome(invocation: Invocation, outcome: Outcome) -> Response:
    headers = [JSON, ("x-amzn-RequestId", invocation.request_id), ("X-Amz-Executed-Version", "$LATEST")]
    if outcome.error:
        headers.append(("X-Amz-Function-Error", outcome.error))
    return Response(200, headers, outcome.payload)
